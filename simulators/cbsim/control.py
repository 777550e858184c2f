"""Look at a running centre and change it over HTTP; serves the page for people, too."""

import asyncio
import base64
import hashlib
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from fnmatch import fnmatchcase
from http import HTTPStatus
from importlib.resources import files
from itertools import islice
from typing import Any

from cbgateway.domain.errors import EncodeError
from cbsim.centre import MessageCentre
from cbsim.dissect import dissect
from cbsim.exports import json_line
from cbsim.faults import FAULTS
from cbsim.http import Answer, HttpError, Request, answer_json
from cbsim.pcap import capture
from cbsim.settings import SettingsError, plain
from cbsim.watch import SeenPdu, Watch, shown_facts

LIMIT = 100
LIMIT_MAX = 10_000
SCREENS = 20
"""Texts that a phone's screen shows here; the newest."""
WAITING_MAX = 2_000
"""What one who looks on has not taken yet; more is left out, and told."""
STREAM_PAUSE_S = 0.1
KEEP_ALIVE_S = 15.0
TEXT_CHARACTERS_MAX = 20_000


class Control:
    """Answers requests; everything that changes the centre is sent at once."""

    def __init__(self, centre: MessageCentre, watch: Watch, flush: Callable[[], None]) -> None:
        """Make it.

        Args:
            centre: what is looked at and changed.
            watch: what has happened.
            flush: sends what sessions have to send.
        """
        self._centre = centre
        self._watch = watch
        self._flush = flush
        self._start = plain(centre.scenario)
        self._page = files("cbsim").joinpath("page.html").read_bytes()
        script = re.search(rb"<script>(.*?)</script>", self._page, re.DOTALL)
        digest = hashlib.sha256(script[1] if script else b"").digest()
        self._policy = (
            "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{base64.b64encode(digest).decode('ascii')}'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._routes: dict[tuple[str, str], Callable[[Request], Answer]] = {
            ("GET", "/"): self._get_page,
            ("GET", "/state"): self._get_state,
            ("GET", "/messages"): self._get_messages,
            ("POST", "/messages"): self._post_message,
            ("GET", "/phones"): self._get_phones,
            ("GET", "/pdus"): self._get_pdus,
            ("GET", "/capture.pcap"): self._get_capture,
            ("GET", "/events"): self._get_events,
            ("GET", "/events.jsonl"): self._get_lines,
            ("GET", "/faults"): self._get_faults,
            ("PUT", "/faults"): self._put_faults,
            ("GET", "/scenario"): self._get_scenario,
            ("PATCH", "/scenario"): self._patch_scenario,
            ("POST", "/restart"): self._post_restart,
            ("POST", "/unbind"): self._post_unbind,
            ("POST", "/reset"): self._post_reset,
        }

    async def answer(self, request: Request) -> Answer:
        """Carry out a request.

        Raises:
            HttpError: it cannot be.
        """
        call = self._routes.get((request.method, request.path))
        if call is None:
            allowed = [method for method, path in self._routes if path == request.path]
            if allowed:
                raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, f"{' and '.join(allowed)} only")
            raise HttpError(HTTPStatus.NOT_FOUND, f"there is no {request.path}")
        try:
            return call(request)
        except (SettingsError, EncodeError) as error:
            raise HttpError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
        finally:
            self._flush()

    # Looking ------------------------------------------------------------------------------------

    def _get_page(self, _: Request) -> Answer:
        headers = {"Content-Security-Policy": self._policy}
        return Answer(self._page, "text/html; charset=utf-8", headers=headers)

    def _get_state(self, _: Request) -> Answer:
        return answer_json(self._centre.snapshot(messages=0))

    def _get_messages(self, request: Request) -> Answer:
        found = (one.facts() for one in self._centre.messages.newest())
        return _matching(request, found)

    def _get_phones(self, request: Request) -> Answer:
        facts = (
            {
                "phone": phone.number,
                "region": phone.region,
                "language": phone.language,
                "takes_broadcasts": phone.takes_broadcasts,
                "shown": len(phone.screen),
                "screen": [shown_facts(phone, one) for one in phone.screen[-SCREENS:]],
            }
            for phone in self._centre.network.phones.values()
        )
        return _matching(request, facts)

    def _get_pdus(self, request: Request) -> Answer:
        return _matching(request, map(dissect, reversed(self._watch.pdus)))

    def _get_capture(self, _: Request) -> Answer:
        headers = {"Content-Disposition": 'attachment; filename="cbsim.pcap"'}
        octets = capture(self._watch.pdus)
        return Answer(octets, "application/vnd.tcpdump.pcap", headers=headers)

    def _get_lines(self, _: Request) -> Answer:
        return Answer(b"".join(map(json_line, self._watch.events)), "application/x-ndjson")

    def _get_events(self, request: Request) -> Answer:
        wants_pdus = request.query.get("pdus", "1") != "0"
        return Answer(kind="text/event-stream", stream=self._stream(wants_pdus=wants_pdus))

    async def _stream(self, *, wants_pdus: bool) -> AsyncIterator[bytes]:
        """Give what happens, as server-sent events; who is too slow misses some, and is told."""
        waiting: deque[Mapping[str, Any] | SeenPdu] = deque()
        missed = 0

        def put(one: Mapping[str, Any] | SeenPdu) -> None:
            nonlocal missed
            if len(waiting) >= WAITING_MAX:
                missed += 1
            else:
                waiting.append(one)

        watch, loop = self._watch, asyncio.get_running_loop()
        watch.on_event.append(put)
        if wants_pdus:
            watch.on_pdu.append(put)
        sent_at_s = loop.time()
        try:
            yield b": look\n\n"
            while True:
                if waiting:
                    facts = [
                        {"event": "pdu", **dissect(one)} if isinstance(one, SeenPdu) else one
                        for one in waiting
                    ]
                    waiting.clear()
                    facts += [{"event": "missed", "count": missed}] if missed else []
                    missed = 0
                    sent_at_s = loop.time()
                    yield b"".join(b"data: " + json_line(dict(one)) + b"\n" for one in facts)
                elif loop.time() - sent_at_s >= KEEP_ALIVE_S:
                    sent_at_s = loop.time()
                    yield b": still here\n\n"
                await asyncio.sleep(STREAM_PAUSE_S)
        finally:
            watch.on_event.remove(put)
            if wants_pdus:
                watch.on_pdu.remove(put)

    def _get_faults(self, _: Request) -> Answer:
        counts = self._centre.director.faults.counts()
        asked = {use.fault.name: str(use) for use in self._centre.scenario.faults}
        return answer_json(
            [
                {
                    "name": fault.name,
                    "when": fault.stage.value,
                    "what": fault.words,
                    "asked": asked.get(fault.name),
                    "happened": counts.get(fault.name, 0),
                }
                for fault in FAULTS.values()
            ]
        )

    def _get_scenario(self, _: Request) -> Answer:
        return answer_json(plain(self._centre.scenario))

    # Changing -----------------------------------------------------------------------------------

    def _put_faults(self, request: Request) -> Answer:
        self._centre.set({"faults": request.json()})
        return self._get_faults(request)

    def _patch_scenario(self, request: Request) -> Answer:
        self._centre.set(_table(request))
        return self._get_scenario(request)

    def _post_message(self, request: Request) -> Answer:
        """Let a phone send a message."""
        table = _table(request)
        known = {"system_id", "source", "destination", "text"}
        for key, value in table.items():
            if key not in known:
                raise SettingsError(f"{key} is not known; known: {', '.join(sorted(known))}")
            if not isinstance(value, str) or len(value) > TEXT_CHARACTERS_MAX:
                raise SettingsError(f"{key} is a text of at most {TEXT_CHARACTERS_MAX} characters")
        return answer_json({"sent_to": self._centre.incoming(**table)}, HTTPStatus.ACCEPTED)

    def _post_restart(self, request: Request) -> Answer:
        table = _table(request)
        keeps = table.get("keeps_messages", True)
        if set(table) - {"keeps_messages"} or not isinstance(keeps, bool):
            raise SettingsError("only keeps_messages is known, true or false")
        self._centre.restart(keeps_messages=keeps)
        return answer_json({})

    def _post_unbind(self, _: Request) -> Answer:
        self._centre.unbind_all()
        return answer_json({})

    def _post_reset(self, request: Request) -> Answer:
        """Begin anew: the scenario of the start, and nothing remembered; connections stay."""
        self._centre.set(self._start)
        self._centre.start_over()
        self._watch.clear()
        return self._get_state(request)


def _table(request: Request) -> dict[str, Any]:
    value = request.json() if request.body else {}
    if not isinstance(value, dict):
        raise HttpError(HTTPStatus.BAD_REQUEST, "the body is no object")
    return value


def _matching(request: Request, found: Any) -> Answer:  # noqa: ANN401 - an iterator of facts
    """Give those whose fields match the patterns of the query, at most so many as it says."""
    patterns = dict(request.query)
    limit = patterns.pop("limit", str(LIMIT))
    if not (limit.isascii() and limit.isdecimal()) or not 0 <= int(limit[:9]) <= LIMIT_MAX:
        raise SettingsError(f"limit is a number in 0..{LIMIT_MAX}")

    def matches(facts: Mapping[str, Any]) -> bool:
        return all(
            key in facts and fnmatchcase(_written(facts[key]), pattern)
            for key, pattern in patterns.items()
        )

    return answer_json(list(islice(filter(matches, found), int(limit))))


def _written(value: Any) -> str:  # noqa: ANN401 - any fact
    return value if isinstance(value, str) else json.dumps(value)
