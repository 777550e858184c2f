"""Every way in which the simulated centre can misbehave, by name, and when it does.

A fault belongs to a stage, the moment at which it is asked for. At one moment at most one fault
of a stage happens, the first in the order in which they were given.
"""

import difflib
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cbgateway.codec import smpp

TIMES_MAX = 1_000_000_000
FAULTS_MAX = 100
"""Faults at a time; more than there are names makes no sense."""


class Stage(StrEnum):
    """When a fault is asked for."""

    ACCEPT = "a connection was accepted"
    BIND = "a bind asks to be let in"
    PASSWORD = "a bind has a wrong password"  # noqa: S105 - a stage's words
    BOUND = "a bind was let in"
    ENQUIRE = "an enquire_link is to be answered"
    MESSAGE = "a message is offered"
    ANSWER = "a message is to be answered"
    DELIVER = "a deliver_sm is to be sent"


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave.

    Attributes:
        words: what it does.
        status: with which command_status a request is refused; None when it is not that.
    """

    name: str
    stage: Stage
    words: str
    status: int | None = None


def _bind(name: str, status: int) -> Fault:
    return Fault(name, Stage.BIND, f"bind refused with {smpp.status_name(status)}", status)


def _message(name: str, status: int) -> Fault:
    return Fault(name, Stage.MESSAGE, f"message refused with {smpp.status_name(status)}", status)


_S = smpp.Status
_ALL = (
    Fault("stall-accept", Stage.ACCEPT, "accepted, then nothing is read and nothing said"),
    Fault("zero-window", Stage.ACCEPT, "as stall-accept, with a receive buffer that fills at once"),
    Fault("close-accept", Stage.ACCEPT, "closed as soon as it was accepted"),
    Fault("reset-accept", Stage.ACCEPT, "reset (RST) as soon as it was accepted"),
    Fault("outbind", Stage.ACCEPT, "the centre speaks first, with an outbind"),
    Fault(
        "garbage-accept", Stage.ACCEPT, "the centre speaks first, with octets of another protocol"
    ),
    _bind("bind-fail", _S.ESME_RBINDFAIL),
    _bind("bind-system-id", _S.ESME_RINVSYSID),
    _bind("bind-password", _S.ESME_RINVPASWD),
    _bind("bind-already", _S.ESME_RALYBND),
    _bind("bind-status", _S.ESME_RINVBNDSTS),
    _bind("bind-system-type", _S.ESME_RINVSYSTYP),
    _bind("bind-system-error", _S.ESME_RSYSERR),
    _bind("bind-throttled", _S.ESME_RTHROTTLED),
    _bind("bind-command", _S.ESME_RINVCMDID),
    _bind("bind-vendor", 0x400),
    Fault("bind-nack", Stage.BIND, "bind answered with a generic_nack"),
    Fault("stall-bind", Stage.BIND, "bind not answered; the connection stays open"),
    Fault("close-bind", Stage.BIND, "connection closed instead of an answer to the bind"),
    Fault("reset-bind", Stage.BIND, "connection reset instead of an answer to the bind"),
    Fault("bind-twice", Stage.BIND, "bind answered twice"),
    Fault("bind-late-data", Stage.BIND, "a deliver_sm stands in front of the answer to the bind"),
    Fault("password-ignored", Stage.PASSWORD, "a wrong password is let in"),
    Fault("password-close", Stage.PASSWORD, "a wrong password is answered by closing"),
    Fault("password-silent", Stage.PASSWORD, "a wrong password is not answered"),
    Fault("flood", Stage.BOUND, "answers.flood deliver_sm at once, whatever the window"),
    Fault("unbind-at-once", Stage.BOUND, "unbind right behind the answer to the bind"),
    Fault("no-enquire-link", Stage.ENQUIRE, "enquire_link is not answered"),
    Fault("enquire-error", Stage.ENQUIRE, "enquire_link is answered with ESME_RSYSERR"),
    _message("throttled", _S.ESME_RTHROTTLED),
    _message("queue-full", _S.ESME_RMSGQFUL),
    _message("system-error", _S.ESME_RSYSERR),
    _message("submit-fail", _S.ESME_RSUBMITFAIL),
    _message("wrong-destination", _S.ESME_RINVDSTADR),
    _message("wrong-source", _S.ESME_RINVSRCADR),
    _message("unknown-error", _S.ESME_RUNKNOWNERR),
    _message("vendor-error", 0x4FF),
    Fault("nack", Stage.MESSAGE, "message answered with a generic_nack, and not taken"),
    Fault("lost-request", Stage.MESSAGE, "message neither taken nor answered"),
    Fault("lost-answer", Stage.ANSWER, "message taken, and not answered"),
    Fault("slow-answer", Stage.ANSWER, "answered after answers.slow_s"),
    Fault("swap-answers", Stage.ANSWER, "answered after the next answer"),
    Fault("answer-twice", Stage.ANSWER, "answered twice"),
    Fault("wrong-sequence", Stage.ANSWER, "answer has a sequence number that nobody used"),
    Fault("repeat-sequence", Stage.ANSWER, "answer has the sequence number of the answer before"),
    Fault("zero-sequence", Stage.ANSWER, "answer has the sequence number 0"),
    Fault("wrong-command", Stage.ANSWER, "answer is of another command (cancel_sm_resp)"),
    Fault("no-message-id", Stage.ANSWER, "answer has an empty message_id"),
    Fault("same-message-id", Stage.ANSWER, "answer has the message_id of the answer before"),
    Fault(
        "long-message-id", Stage.ANSWER, "answer has a message_id of 65 characters, one too many"
    ),
    Fault("header-only", Stage.ANSWER, "answer with ESME_ROK and no body"),
    Fault("length-15", Stage.ANSWER, "command_length is 15"),
    Fault("length-64k", Stage.ANSWER, "command_length is 65536, and no more comes"),
    Fault("length-4g", Stage.ANSWER, "command_length is 4294967295"),
    Fault("length-short", Stage.ANSWER, "command_length is one octet short"),
    Fault("cut", Stage.ANSWER, "half an answer, then the connection is closed"),
    Fault("stall-half", Stage.ANSWER, "half an answer, then nothing more"),
    Fault("drip", Stage.ANSWER, "answer comes octet by octet, answers.drip_s apart"),
    Fault("no-nul", Stage.ANSWER, "message_id has no final NUL"),
    Fault("tlv-overrun", Stage.ANSWER, "a TLV says that it is longer than the PDU"),
    Fault("tlv-unknown", Stage.ANSWER, "a TLV with a vendor's tag (harmless: to be skipped)"),
    Fault("unknown-command", Stage.ANSWER, "a PDU with an unknown command_id in front"),
    Fault("unasked-answer", Stage.ANSWER, "an answer in front that nobody asked for"),
    Fault("garbage", Stage.ANSWER, "octets of another protocol instead of an answer"),
    Fault("close", Stage.ANSWER, "message taken, connection closed instead of an answer"),
    Fault("reset", Stage.ANSWER, "message taken, connection reset (RST) instead of an answer"),
    Fault("unbind", Stage.ANSWER, "message taken, then unbind while requests are in flight"),
    Fault("stall-answer", Stage.ANSWER, "from now on everything is read and nothing answered"),
    Fault("stall-read", Stage.ANSWER, "from now on nothing is read"),
    Fault("restart", Stage.ANSWER, "all connections are reset; messages are kept"),
    Fault("restart-empty", Stage.ANSWER, "all connections are reset; messages are lost"),
    Fault("deliver-same-sequence", Stage.DELIVER, "deliver_sm has the sequence number 1, always"),
    Fault("deliver-cut", Stage.DELIVER, "half a deliver_sm, then the connection is closed"),
    Fault("deliver-no-nul", Stage.DELIVER, "deliver_sm whose service_type has no final NUL"),
    Fault("deliver-unknown-command", Stage.DELIVER, "an unknown command_id in place of deliver_sm"),
)
FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _ALL}


@dataclass(frozen=True, slots=True)
class FaultUse:
    """A fault that was asked for, and when it happens.

    Attributes:
        share: of the occasions.
        times: at most so often; None for no end.
        after: that many occasions go well first.
        after_s: nothing happens for that long first.
    """

    fault: Fault
    share: float = 1.0
    times: int | None = None
    after: int = 0
    after_s: float = 0.0

    def __str__(self) -> str:
        """Write it as it is set."""
        parts = [f"{self.share:g}"] if self.share < 1 else []
        if self.times is not None:
            parts.append(f"{self.times}x")
        if self.after:
            parts.append(f"after={self.after}")
        if self.after_s:
            parts.append(f"after={self.after_s:g}s")
        return f"{self.fault.name}:{','.join(parts)}".removesuffix(":")


_PART = re.compile(
    r"(?P<percent>[0-9.]+)%|(?P<times>[0-9]{1,10})x?|(?P<share>[01]?\.[0-9]*)"
    r"|after=(?P<after>[0-9]{1,10})|after=(?P<after_s>[0-9.]+)s",
    re.ASCII,
)


def read_fault(value: Any) -> FaultUse:  # noqa: ANN401 - whatever TOML holds
    """Read ``NAME``, or ``NAME:WHEN``.

    WHEN has parts, each at most once: ``5%`` or ``0.05``, ``3x``, ``after=10``, ``after=10s``.

    Raises:
        ValueError: the name is unknown, or a part is none of these.
    """
    if isinstance(value, FaultUse):
        return value
    name, _, rest = str(value).partition(":")
    fault = FAULTS.get(name)
    if fault is None:
        near = difflib.get_close_matches(name, FAULTS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "`cbsim smsc --list-faults` names them"
        raise ValueError(f"no fault is called {name!r}; {hint}")
    facts: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        match = _PART.fullmatch(part)
        facts |= {} if match is None else _fact(match.lastgroup or "", match[match.lastgroup or 0])
        if match is None or not 0 <= facts.get("share", 1) <= 1:
            raise ValueError(
                f"{part!r} says not when {name} happens: a share (5% or 0.05), a count (3), "
                "after=OCCASIONS or after=SECONDSs"
            )
    return FaultUse(fault, **facts)


def _fact(kind: str, digits: str) -> dict[str, Any]:
    try:
        match kind:
            case "percent":
                return {"share": float(digits) / 100}
            case "times" | "after":
                return {kind: min(int(digits), TIMES_MAX)}
            case _:
                return {kind: float(digits)}
    except ValueError:
        return {"share": -1.0}  # such as 1.2.3


class _Count:
    """How often a fault was possible, and how often it happened."""

    __slots__ = ("happened", "occasions")

    def __init__(self) -> None:
        self.occasions = 0
        self.happened = 0


class Faults:
    """The faults that are asked for now, and what became of them."""

    def __init__(self, uses: Iterable[FaultUse], rng: random.Random, *, began_s: float) -> None:
        """Begin to misbehave.

        Args:
            uses: in the order in which they are asked for.
            rng: draws the shares.
            began_s: when; `FaultUse.after_s` counts from there.
        """
        self._rng = rng
        self._began_s = began_s
        self._by_stage: dict[Stage, list[tuple[FaultUse, _Count]]] = {}
        for use in uses:
            self._by_stage.setdefault(use.fault.stage, []).append((use, _Count()))

    def has(self, *stages: Stage) -> bool:
        """Tell whether any fault of these stages is asked for."""
        return any(stage in self._by_stage for stage in stages)

    def draw(self, stage: Stage, now_s: float) -> Fault | None:
        """Give the fault that happens at this occasion; None when all goes well."""
        for use, count in self._by_stage.get(stage, ()):
            count.occasions += 1
            if count.occasions <= use.after or now_s - self._began_s < use.after_s:
                continue
            if use.times is not None and count.happened >= use.times:
                continue
            if use.share < 1 and self._rng.random() >= use.share:
                continue
            count.happened += 1
            return use.fault
        return None

    def counts(self) -> dict[str, int]:
        """Tell how often each has happened."""
        return {
            use.fault.name: count.happened
            for uses in self._by_stage.values()
            for use, count in uses
        }
