"""Scripts for an SMPP client: what may stand in one, checked before anything is sent.

A script is TOML with a list of ``[[step]]``, or JSON lines with a step each. Fields have the
names of the specification; octets are written in hexadecimal; ``$name`` stands for what an
earlier step has saved.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cbgateway.codec import smpp, smpp_text
from cbgateway.codec.smpp_tlv import RULES, Kind
from cbgateway.domain.errors import GatewayError
from cbsim.esme import Bind, Mode

STEPS_MAX = 10_000
WITHIN_S = 5.0
SECONDS_MAX = 86_400
ANY = "any"
COMMANDS = {smpp.name_of(body()): body for body in smpp.BODIES.values()}
_TEXT = "text"
_SEQUENCE = "sequence_number"
_STEP_KEYS = frozenset({"do", "tlvs", "sequence", "status"})


@dataclass(frozen=True, slots=True)
class Request:
    """Send a PDU.

    Attributes:
        body: what it is when nothing is said.
        fields: by specification names, as they stand in the script.
        tlvs: by specification names, or as ``0x1401``.
        sequence: None for the next one.
    """

    body: smpp.Body
    fields: Mapping[str, Any]
    tlvs: Mapping[str, Any]
    sequence: int | str | None
    status: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send octets as they are."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Expect:
    """The next PDU is this one.

    Attributes:
        status: None for any.
        sequence: None for that of a request that is not answered yet; ``any`` for any.
        skip: commands that may come before it.
        save: names by which later steps know its fields.
    """

    command: str
    status: int | None
    within_s: float
    fields: Mapping[str, Any]
    tlvs: Mapping[str, Any]
    sequence: int | str | None
    skip: frozenset[str]
    save: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExpectClose:
    """The peer closes the connection, and says nothing before."""

    within_s: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass."""

    seconds_s: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; the last step."""


Action = Request | Send | Expect | ExpectClose | Wait | Close


@dataclass(frozen=True, slots=True)
class Script:
    """A conversation.

    Attributes:
        steps: in order.
        answers: whether requests of the peer are answered without being told to.
    """

    steps: tuple[Action, ...]
    answers: bool = True


def load_script(path: Path, bind: Bind) -> Script:
    """Read a script.

    Args:
        path: TOML, or JSON lines when its name ends in ``.jsonl``.
        bind: what a step ``bind`` says when it says nothing else.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no script; names the step.
    """
    text = path.read_text("utf-8")
    try:
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            settings: dict[str, Any] = {}
            for row in rows:
                settings |= row if isinstance(row, dict) and "do" not in row else {}
            raw = [row for row in rows if not isinstance(row, dict) or "do" in row]
        else:
            settings = tomllib.loads(text)
            raw = settings.pop("step", [])
        return parse_script(raw, settings, bind)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error


def parse_script(raw: Any, settings: Mapping[str, Any], bind: Bind) -> Script:  # noqa: ANN401 - JSON
    """Check a script.

    Args:
        raw: the steps.
        settings: ``answers``, true or false.
        bind: as for `load_script`.

    Raises:
        ValueError: a step is wrong; says which, counted from 1.
    """
    answers = settings.get("answers", True)
    if set(settings) - {"answers"} or not isinstance(answers, bool):
        raise ValueError(f"a script has steps and answers = true or false, not {dict(settings)}")
    if not isinstance(raw, list) or not 1 <= len(raw) <= STEPS_MAX:
        raise ValueError(f"a script has 1 to {STEPS_MAX} steps")
    steps = []
    for number, row in enumerate(raw, start=1):
        try:
            steps.append(_action(row, bind))
        except (ValueError, TypeError, GatewayError) as error:
            raise ValueError(f"step {number}: {error}") from error
    if any(isinstance(action, Close) for action in steps[:-1]):
        raise ValueError("nothing comes after close")
    return Script(tuple(steps), answers=answers)


def _action(row: Any, bind: Bind) -> Action:  # noqa: ANN401 - JSON
    if not isinstance(row, dict):
        raise TypeError("is no table")
    rest = {key: value for key, value in row.items() if key not in {"mode", "command"}}
    match row.get("do"):
        case "bind":
            mode = Mode(row.get("mode", bind.mode.value))
            return _request(replace(bind, mode=mode).body(), rest)
        case "submit":
            return _request(smpp.SubmitSm(), row)
        case "enquire_link" | "unbind" as command:
            return _request(COMMANDS[command](), row)
        case "request":
            return _request(COMMANDS[_command(row.get("command"))](), rest)
        case "expect":
            return _expect(row)
        case _:
            return _other(row)


def _other(row: Mapping[str, Any]) -> Action:
    match row.get("do"):
        case "send":
            _check_keys(row, {"hex"})
            return Send(_octets(row.get("hex")))
        case "expect_close":
            _check_keys(row, {"within_s"})
            return ExpectClose(_seconds(row.get("within_s", WITHIN_S)))
        case "wait":
            _check_keys(row, {"seconds"})
            return Wait(_seconds(row.get("seconds")))
        case "close":
            _check_keys(row, set())
            return Close()
        case other:
            raise ValueError(f"do = {other!r} is not known")


def _request(default: smpp.Body, row: Mapping[str, Any]) -> Request:
    action = Request(
        body=default,
        fields={key: value for key, value in row.items() if key not in _STEP_KEYS},
        tlvs=_table(row, "tlvs"),
        sequence=_sequence(row.get("sequence")),
        status=_status(row.get("status", 0)) or 0,
    )
    if action.sequence == ANY:
        raise ValueError("a request has a sequence number of its own")
    smpp.encode(build(action, 1, None))
    return action


def _expect(row: Mapping[str, Any]) -> Expect:
    _check_keys(
        row, {"command", "status", "within_s", "fields", "tlvs", "sequence", "skip", "save"}
    )
    command = _command(row.get("command"))
    known = {*smpp.fields_of(COMMANDS[command]()), _TEXT, _SEQUENCE}
    fields, tlvs, save = (_table(row, key) for key in ("fields", "tlvs", "save"))
    for name in (*fields, *(one for one in save.values() if not _is_tag(one))):
        if name not in known:
            raise ValueError(f"{command} has no field {name!r}")
    for name in tlvs:
        tag_of(name)
    skip = row.get("skip", [])
    if not isinstance(skip, list):
        raise TypeError("skip is a list of commands")
    return Expect(
        command=command,
        status=_status(row.get("status", 0)),
        within_s=_seconds(row.get("within_s", WITHIN_S)),
        fields=fields,
        tlvs=tlvs,
        sequence=_sequence(row.get("sequence")),
        skip=frozenset(map(_command, skip)),
        save=save,
    )


def build(action: Request, number: int, saved: Mapping[str, Any] | None) -> smpp.Pdu:
    """Make the PDU of a step.

    Args:
        action: what it says.
        number: its sequence number.
        saved: what ``$name`` stands for; None when that is not known yet.

    Raises:
        GatewayError: a value does not fit.
        ValueError: a name that the PDU does not have, or that nothing was saved under.
    """
    fields = {name: resolve(value, saved) for name, value in action.fields.items()}
    body, default = type(action.body), action.body
    values: dict[str, Any] = {}
    if _TEXT in fields:
        if "short_message" in fields or "short_message" not in body.LAYOUT:
            raise ValueError("text goes where a short_message is, instead of it")
        octets = smpp_text.encode_text(str(fields.pop(_TEXT)), fields.get("data_coding", 0))
        fields["short_message"] = octets.hex()
    for name, kind in body.LAYOUT.items():
        value = getattr(default, name)
        if isinstance(value, smpp.Address):
            names = kind.named(name, value)
            values[name] = smpp.Address(
                *(_like(names[n], fields.pop(n, names[n]), n) for n in names)
            )
        elif name in fields:
            given = fields.pop(name)
            values[name] = _octets(given) if isinstance(value, bytes) else _like(value, given, name)
        else:
            values[name] = value
    if fields:
        raise ValueError(f"{smpp.name_of(default)} has no field {next(iter(fields))!r}")
    tlvs = tuple(
        _tlv(tag_of(name), resolve(one, saved))
        for name, value in action.tlvs.items()
        for one in (value if isinstance(value, list) else [value])
    )
    return smpp.Pdu(body(**values), number, action.status, tlvs)


def resolve(value: Any, saved: Mapping[str, Any] | None) -> Any:  # noqa: ANN401 - JSON
    """Give a value, or what was saved under its name; ``$$`` at its beginning is a ``$``.

    Raises:
        ValueError: nothing was.
    """
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    if value.startswith("$$"):
        return value[1:]
    if saved is None:
        return "0"
    if value[1:] not in saved:
        raise ValueError(f"nothing was saved as {value}")
    return saved[value[1:]]


def tag_of(name: str) -> int:
    """Give a TLV's tag by its name, or by its number in hexadecimal.

    Raises:
        ValueError: it is neither.
    """
    try:
        return smpp.TlvTag[name.upper()]
    except KeyError:
        tag = int(name, 16) if name.startswith("0x") else -1
    if not 0 <= tag <= 0xFFFF:  # noqa: PLR2004 - two octets
        raise ValueError(f"no TLV is called {name!r}")
    return tag


def _tlv(tag: int, value: Any) -> smpp.Tlv:  # noqa: ANN401 - JSON
    if isinstance(value, int):
        return smpp.Tlv.integer(tag, value)
    rule = RULES.get(tag)
    if rule is not None and rule.kind is Kind.C_STRING:
        return smpp.Tlv.string(tag, str(value))
    return smpp.Tlv(tag, _octets(value))


def _like(default: Any, value: Any, name: str) -> Any:  # noqa: ANN401 - a number or a string
    if isinstance(value, bool) or not isinstance(value, type(default)):
        kind = "a number" if isinstance(default, int) else "a string"
        raise TypeError(f"{name} is {kind}, not {value!r}")
    return value


def _octets(value: Any) -> bytes:  # noqa: ANN401 - JSON
    if not isinstance(value, str):
        raise TypeError(f"octets are written in hexadecimal, not as {value!r}")
    return bytes.fromhex(value)


def _seconds(value: Any) -> float:  # noqa: ANN401 - JSON
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError(f"{value!r} is no number of seconds")
    return min(float(value), SECONDS_MAX)


def _status(value: Any) -> int | None:  # noqa: ANN401 - JSON
    """Read a status: its name, its number, or any."""
    if value == ANY:
        return None
    if isinstance(value, int):
        return value
    try:
        return smpp.Status[str(value)]
    except KeyError:
        raise ValueError(f"no status is called {value!r}") from None


def _sequence(value: Any) -> int | str | None:  # noqa: ANN401 - JSON
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and (value == ANY or value.startswith("$")):
        return value
    raise ValueError(f'sequence is a number, "any", or "$name", not {value!r}')


def _command(value: Any) -> str:  # noqa: ANN401 - JSON
    if value not in COMMANDS:
        raise ValueError(f"no command is called {value!r}")
    return str(value)


def _table(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = row.get(key, {})
    if not isinstance(value, dict):
        raise TypeError(f"{key} is a table")
    return value


def _is_tag(name: Any) -> bool:  # noqa: ANN401 - JSON
    try:
        tag_of(str(name))
    except ValueError:
        return False
    return True


def _check_keys(row: Mapping[str, Any], known: set[str]) -> None:
    for key in set(row) - known - {"do"}:
        raise ValueError(f"{row['do']} has no {key!r}")
