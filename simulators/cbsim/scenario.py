"""How the simulated centre behaves: one frozen value, and the director who plays it.

Everything random is drawn from one generator with the scenario's seed, so a run can be repeated.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cbgateway.codec import smpp
from cbsim.delays import DELAY_S_MAX, Delay, read_delay
from cbsim.faults import FAULTS_MAX, Fault, Faults, FaultUse, Stage, read_fault
from cbsim.settings import (
    choice,
    flag,
    group,
    list_of,
    number,
    read_table,
    setting,
    share,
    table_of,
    text,
    whole,
    words,
)

ID_FORMATS = ("hex-zeros", "hex", "hex-upper", "decimal", "decimal-zeros")
STATES = ("DELIVRD", "UNDELIV", "ACCEPTD", "REJECTD", "EXPIRED")
QUEUE_MAX = 10_000_000
PER_S_MAX = 1e6
SEED_MAX = 2**63 - 1
BATCH_MAX = 100_000


def read_status(value: Any) -> int:  # noqa: ANN401 - whatever TOML holds
    """Read a command_status by name or number."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 32:
        return value
    try:
        return int(smpp.Status[str(value)])
    except KeyError:
        raise ValueError(f"{value!r} is no status, such as ESME_RSYSERR or 0x400") from None


def read_digit(value: Any) -> str:  # noqa: ANN401 - whatever TOML holds
    """Read the first character of a number."""
    if not isinstance(value, str) or len(value) != 1 or not value.isascii():
        raise ValueError(f"{value!r} is no digit in quotes")
    return value


class ExtraTlv(smpp.Tlv):
    """A TLV that is written as it is set."""

    __slots__ = ()

    def __str__(self) -> str:
        """Write it as it is set."""
        return f"{self.tag:04x}={self.value.hex()}"


def read_extra_tlv(value: Any) -> ExtraTlv:  # noqa: ANN401 - whatever TOML holds
    """Read ``TAG=OCTETS``, both in hexadecimal."""
    tag, equals, octets = str(value).partition("=")
    try:
        tlv = ExtraTlv(int(tag, 16), bytes.fromhex(octets))
    except ValueError:
        equals = ""
        tlv = ExtraTlv(0, b"")
    if not equals or not 0 <= tlv.tag <= 0xFFFF:  # noqa: PLR2004 - two octets
        raise ValueError(f"{value!r} is not TAG=OCTETS in hexadecimal, such as 1400=0102")
    return tlv


@dataclass(frozen=True, slots=True)
class Answers:
    """How requests are answered."""

    delay: Delay = setting(Delay(), read_delay, "time until a message is answered")
    in_order: bool = setting(
        True, flag, "a delayed answer waits for those before it; false lets them overtake"
    )
    error_share: float = setting(0.0, share, "share of messages that are refused")
    error_status: int = setting(
        int(smpp.Status.ESME_RSYSERR), read_status, "status that they are refused with"
    )
    per_s: float = setting(
        0.0, number(0, PER_S_MAX), "messages each second, above which ESME_RTHROTTLED; 0 for none"
    )
    limit_window_s: float = setting(
        1.0, number(0.01, 3_600), "span in which the messages of a limit are counted"
    )
    congestion: int = setting(
        -1, whole(-1, 100), "congestion_state in answers of version 5.0; -1 for none"
    )
    id_format: str = setting("hex-zeros", choice(*ID_FORMATS), "how a message_id is written")
    slow_s: float = setting(60.0, number(0, DELAY_S_MAX), "how late the fault slow-answer is")
    drip_s: float = setting(0.05, number(0, 60), "pause between octets in the fault drip")
    flood: int = setting(1_000, whole(1, BATCH_MAX), "how many deliver_sm the fault flood sends")
    down_s: float = setting(
        0.0, number(0, DELAY_S_MAX), "how long no connection is taken after a restart"
    )


@dataclass(frozen=True, slots=True)
class States:
    """What becomes of messages."""

    enroute: Delay = setting(Delay(), read_delay, "time from the submission to the final state")
    undeliv: float = setting(0.0, share, "share that ends UNDELIV")
    acceptd: float = setting(0.0, share, "share that ends ACCEPTD")
    rejectd: float = setting(0.0, share, "share that ends REJECTD")
    expired: float = setting(0.0, share, "share that ends EXPIRED")
    by_first_digit: Mapping[str, str] = setting(
        {}, table_of(read_digit, choice(*STATES)), "state by the recipient's first digit instead"
    )
    strict_numbers: bool = setting(
        False, flag, "numbers that belong to no phone and no ESME end UNDELIV"
    )
    store_max: int = setting(
        100_000, whole(1, QUEUE_MAX), "messages remembered; the oldest are forgotten"
    )
    pending_max: int = setting(
        100_000, whole(1, QUEUE_MAX), "messages under way; ESME_RMSGQFUL above"
    )

    def __post_init__(self) -> None:
        """Refuse shares that are more than everything."""
        if self.undeliv + self.acceptd + self.rejectd + self.expired > 1 + 1e-9:
            raise ValueError("undeliv, acceptd, rejectd and expired are more than 100% together")


@dataclass(frozen=True, slots=True)
class Receipts:
    """How delivery receipts are sent."""

    delay: Delay = setting(Delay(), read_delay, "time from the final state to the receipt")
    order: str = setting(
        "in-order",
        choice("in-order", "shuffled", "before-response"),
        "order of receipts; before-response sends each ahead of the answer to its message",
    )
    shuffle_s: float = setting(
        1.0, number(0, 3_600), "shuffled receipts wait at random up to this long"
    )
    loss: float = setting(0.0, share, "share that is never sent")
    duplicates: float = setting(0.0, share, "share that is sent twice")
    id_format: str = setting(
        "as-answered", choice("as-answered", *ID_FORMATS), "how a receipt writes the message_id"
    )
    form: str = setting("both", choice("both", "text", "tlvs"), "text, TLVs, or both")
    tlvs: tuple[ExtraTlv, ...] = setting(
        (), list_of(read_extra_tlv), "TLVs added to each, TAG=OCTETS in hexadecimal"
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """How deliver_sm are sent: receipts, incoming messages, loopback."""

    window: int = setting(500, whole(1, BATCH_MAX), "unanswered deliver_sm of one session")
    timeout_s: float = setting(30.0, number(0.01, 3_600), "an answer is waited for so long")
    attempts: int = setting(3, whole(1, 1_000), "how often one is sent at most")
    retry_s: float = setting(1.0, number(0.001, 3_600), "pause before one is sent again")
    queue_max: int = setting(
        100_000, whole(1, QUEUE_MAX), "how many wait for one system_id; more are lost"
    )


@dataclass(frozen=True, slots=True)
class Incoming:
    """Messages that begin at a phone."""

    per_s: float = setting(0.0, number(0, PER_S_MAX), "messages each second to bound receivers")
    count: int = setting(0, whole(0, QUEUE_MAX), "how many at most; 0 for no end")
    source: str = setting("821000000000", text(20), "who sends them")
    destination: str = setting("1234", text(20), "number they are sent to")
    text: str = setting("hello", words, "what they say; `{n}` is counted up")
    texts: tuple[str, ...] = setting((), list_of(words), "said in turn, instead of `text`")
    from_phones: bool = setting(
        False, flag, "the centre's phones send in turn, instead of `source`; so they show answers"
    )


@dataclass(frozen=True, slots=True)
class Sessions:
    """How long sessions live."""

    init_s: float = setting(30.0, number(0.01, 3_600), "a connection without a bind is closed then")
    idle_s: float = setting(0.0, number(0, DELAY_S_MAX), "a silent session is closed then; 0 never")
    enquire_s: float = setting(
        0.0, number(0, DELAY_S_MAX), "the centre sends enquire_link so often; 0 never"
    )


@dataclass(frozen=True, slots=True)
class Broadcasts:
    """How broadcasts fare."""

    areas_max: int = setting(1, whole(1, 1_000), "areas that one broadcast_sm may name")
    success: int = setting(
        100, whole(0, 255), "broadcast_area_success: percent of base stations, 255 for unknown"
    )
    failed_areas: tuple[str, ...] = setting(
        (), list_of(words), "areas that never come on air, and are reported so"
    )


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything about a centre's behaviour that can change while it runs."""

    seed: int = setting(0, whole(0, SEED_MAX), "seed of everything random")
    faults: tuple[FaultUse, ...] = setting(
        (), list_of(read_fault), "faults, NAME or NAME:WHEN; `cbsim smsc --list-faults` names them"
    )
    answers: Answers = group(Answers)
    states: States = group(States)
    receipts: Receipts = group(Receipts)
    delivery: Delivery = group(Delivery)
    incoming: Incoming = group(Incoming)
    sessions: Sessions = group(Sessions)
    broadcasts: Broadcasts = group(Broadcasts)

    def __post_init__(self) -> None:
        """Refuse more faults than there are."""
        if len(self.faults) > FAULTS_MAX:
            raise ValueError(f"{len(self.faults)} faults, at most {FAULTS_MAX}")


class Director:
    """Plays a scenario, and lets it be changed."""

    def __init__(self, scenario: Scenario, *, now_s: float) -> None:
        """Begin.

        Args:
            scenario: what to play first.
            now_s: when.
        """
        self.scenario = scenario
        self.rng = random.Random(scenario.seed)  # noqa: S311 - a simulation, repeatable
        self.faults = Faults(scenario.faults, self.rng, began_s=now_s)
        self.is_plain = _is_plain(scenario)
        self.on_change: list[Callable[[float], None]] = []

    def set(self, changes: Mapping[str, Any], *, now_s: float) -> Scenario:
        """Change some settings from plain values, tables for groups.

        Raises:
            SettingsError: a key or value is wrong; then nothing has changed.
        """
        before = self.scenario
        self.scenario = read_table(before, changes)
        if self.scenario.seed != before.seed:
            self.rng.seed(self.scenario.seed)
        if self.scenario.faults != before.faults:
            self.faults = Faults(self.scenario.faults, self.rng, began_s=now_s)
        self.is_plain = _is_plain(self.scenario)
        for call in self.on_change:
            call(now_s)
        return self.scenario

    def happens(self, stage: Stage, now_s: float) -> Fault | None:
        """Give the fault that happens at this occasion; None when all goes well."""
        return self.faults.draw(stage, now_s)


def _is_plain(scenario: Scenario) -> bool:
    """Tell whether messages are simply taken and answered at once, one like the other."""
    answers = scenario.answers
    return (
        answers.delay.is_none
        and not answers.error_share
        and not answers.per_s
        and answers.congestion < 0
        and not any(use.fault.stage in {Stage.MESSAGE, Stage.ANSWER} for use in scenario.faults)
    )
