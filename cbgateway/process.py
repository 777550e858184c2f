"""The process itself: its log, and the failpoints that campaigns stop it at."""

import gc
import json
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC
from typing import Any, TextIO

from loguru import logger

from cbgateway.domain import failpoints
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import ConfigurationError
from cbgateway.preflight import FAILPOINTS_VARIABLE

SWITCH_INTERVAL_S = 0.0005
"""How long one thread may keep another from running. The writer gives way at each of some fifteen
statements of a bulletin, and waited up to 5 ms for its turn each time."""


def shorten_pauses() -> None:
    """Have the process answer evenly; called once everything that stays is loaded.

    Profiles and code are a hundred thousand objects: a collection of garbage that looks at all of
    them stops the process for 30 to 80 ms.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.freeze()


def configure_logging(mode: Mode, stream: TextIO) -> None:
    """Send log records to a stream, one JSON object a line, with the mode in every one.

    Everything outside ASCII is escaped, so that no text can break a line or turn it around.
    """

    def write(message: Any) -> None:  # noqa: ANN401 - loguru's record has no public type
        stream.write(_log_line(message.record) + "\n")
        stream.flush()

    logger.remove()
    logger.add(write, level="INFO", diagnose=False)
    logger.configure(extra={"mode": mode.value})


def _log_line(record: Mapping[str, Any]) -> str:
    line = {
        "at": record["time"].astimezone(UTC).isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        **record["extra"],
    }
    if record["exception"] is not None:
        line["exception"] = str(record["exception"].type)
    return json.dumps(line, ensure_ascii=True, default=str)


def arm_failpoints(mode: Mode) -> None:
    """Have the process kill itself at the failpoint that the environment names, as campaigns do.

    The variable holds a name, and how often it is to be passed first: ``send.answered:3``.

    Raises:
        ConfigurationError: mode live, or no such failpoint.
    """
    wanted = os.environ.get(FAILPOINTS_VARIABLE, "")
    if not wanted:
        return
    name, _, count = wanted.partition(":")
    if mode is Mode.LIVE:
        msg = f"{FAILPOINTS_VARIABLE} is set; it makes the gateway stop on purpose"
        raise ConfigurationError(msg)
    if name not in failpoints.KNOWN or not (count or "0").isdecimal():
        msg = f"{FAILPOINTS_VARIABLE}={wanted}: known are {', '.join(failpoints.KNOWN)}"
        raise ConfigurationError(msg)
    left = int(count or "0")

    def handler(passed: str) -> None:
        nonlocal left
        if passed == name:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    failpoints.arm(handler)
