"""A headless Chromium, driven over a pipe by the DevTools protocol."""

import base64
import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any

PATIENCE_S = 20
LOOK_OCTETS = 1 << 20


class Chromium:
    """A browser with one page."""

    def __init__(self, command: str, profile: Path) -> None:
        asked, self._write = os.pipe()
        self._read, answered = os.pipe()
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe")
        self._process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$@" 3<&{asked} 4>&{answered}', "-", command, *options),
                *(f"--user-data-dir={profile}", "--window-size=1400,1700", "about:blank"),
            ],
            pass_fds=(asked, answered),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(asked)
        os.close(answered)
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self._is_loaded = False
        self.problems: list[Any] = []

    def open(self, url: str, *, with_scripts: bool = True) -> None:
        """Open a page; what goes wrong on it is kept in `problems`."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.ask("Runtime.enable")
        self.ask("Log.enable")
        self.ask("Page.enable")
        self.ask("Emulation.setScriptExecutionDisabled", value=not with_scripts)
        self._is_loaded = False
        self.ask("Page.navigate", url=url)
        while not self._is_loaded:  # before, a script may wait in the page that goes
            self._note(self._message())

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have the browser do something; gives its result."""
        self._number += 1
        request: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            request["sessionId"] = self._session
        os.write(self._write, json.dumps(request).encode("utf-8") + b"\0")
        while True:
            message = self._message()
            if message.get("id") == self._number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def run(self, script: str) -> Any:
        """Run a script on the page; gives its value."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Wait until a script's value is true; gives it."""
        look = f"""new Promise((done, fail) => {{
            const end = performance.now() + {PATIENCE_S * 1000};
            const look = () => {{
                let value = false;
                try {{ value = {script}; }} catch {{}}
                if (value) done(value);
                else if (performance.now() > end) fail(new Error("nothing came"));
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        return self.run(look)

    def click(self, selector: str) -> None:
        """Click an element as a mouse would."""
        place = self.run(
            f"""(() => {{
                const one = document.querySelector({json.dumps(selector)});
                one.scrollIntoView({{ block: "center" }});
                const box = one.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask(
                "Input.dispatchMouseEvent",
                type=kind,
                x=place[0],
                y=place[1],
                button="left",
                clickCount=1,
            )

    def type(self, selector: str, text: str) -> None:
        """Write into a field."""
        self.click(selector)
        self.ask("Input.insertText", text=text)

    def screenshot(self) -> bytes:
        """Give what is seen, as PNG."""
        self.run("scrollTo(0, 0)")
        return base64.b64decode(self.ask("Page.captureScreenshot")["data"])

    def close(self) -> None:
        """End the browser."""
        self._session = None
        self.ask("Browser.close")
        self._process.wait(PATIENCE_S)
        os.close(self._write)
        os.close(self._read)

    def _note(self, message: dict[str, Any]) -> None:
        """Take note of what the browser tells by itself."""
        if message.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
            self.problems.append(message["params"])
        self._is_loaded = self._is_loaded or message.get("method") == "Page.loadEventFired"

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], 2 * PATIENCE_S)
            assert ready, "the browser says nothing"
            octets = os.read(self._read, LOOK_OCTETS)
            assert octets, "the browser has gone"
            self._rest += octets
        one, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        return message
