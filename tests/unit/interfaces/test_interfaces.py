"""Documents: bulletins as JSON and recipient lists as CSV, read strictly, refused by place."""

import json
import time
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.delivery import Recipient
from cbgateway.domain.errors import InputError
from cbgateway.interfaces.recipients import read_recipients
from cbgateway.interfaces.schema import (
    DOCUMENT_OCTETS_MAX,
    parse_bulletin,
    parse_json,
    read_document,
)

SOUND: dict[str, Any] = {
    "schema": 1,
    "identifier": "b-1",
    "sender": "alice",
    "incident": {
        "id": "inc-1",
        "carrier": "kt",
        "services": ["voice"],
        "started_at": "2021-10-25T11:16:00+09:00",
    },
    "kind": "first",
    "regions": ["KR"],
    "texts": {"ko": "장애"},
    "expires": "PT2H",
    "next_update": "2021-10-25T12:00:00+09:00",
}


def octets(**changes: Any) -> bytes:
    """Give a sound document, changed as asked."""
    return json.dumps(SOUND | changes).encode()


def test_sound_document_is_read() -> None:
    """Times keep their offset, durations stay durations."""
    request = parse_bulletin(octets())

    assert request.kind is BulletinKind.FIRST
    assert request.expires == timedelta(hours=2)
    assert request.next_update == datetime(2021, 10, 25, 3, 0, tzinfo=UTC)
    assert request.incident is not None
    assert request.incident.carrier == "kt"
    assert request.document == SOUND


def test_later_document_names_its_incident_and_a_template() -> None:
    """An incident may be a name, and a template stands for texts."""
    template = {"name": "progress", "slots": {"number": 2, "cause": "routing"}}
    request = parse_bulletin(octets(incident="inc-1", kind="progress", texts={}, template=template))

    assert (request.incident_id, request.incident) == ("inc-1", None)
    assert request.template == ("progress", {"number": 2, "cause": "routing"})


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"colour": "red"}, "colour"),
        ({"identifier": "has space"}, "identifier"),
        ({"identifier": "a,b"}, "identifier"),
        ({"sender": ""}, "sender"),
        ({"kind": "rumour"}, "kind"),
        ({"regions": "KR"}, "regions"),
        ({"regions": ["KR\u0000"]}, "regions.0"),
        ({"texts": {"korean": "장애"}}, "texts"),
        ({"texts": {"ko": "가" * 2001}}, "texts.ko"),
        ({"expires": "2021-10-25T12:00:00"}, "expires"),
        ({"expires": "soon"}, "expires"),
        ({"incident": {"id": "inc-1"}}, "incident"),
        ({"schema": 2}, "schema"),
        ({"template": {"name": "first"}}, "texts or a template"),
        ({"mode": "LIVE"}, "mode"),
    ],
)
def test_fault_is_named_by_its_place(changes: dict[str, Any], place: str) -> None:
    """Where it stands, and what is expected there."""
    with pytest.raises(InputError, match=place):
        parse_bulletin(octets(**changes))


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"", "not JSON.*line 1"),
        (b'{"a": 1,}', "not JSON.*column"),
        (b"[]", "JSON object"),
        (b'{"a": 1, "a": 2}', "'a' stands there twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": ' + b"9" * 21 + b"}", "number of 21 digits"),
        (b'{"a": -' + b"9" * 5000 + b"}", "number of 5001 digits"),
        (b'{"a": ' + b"[" * 200_000 + b"}", "deeply|octets"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\\ud800"}', "UTF-8"),
        (b" " * (DOCUMENT_OCTETS_MAX + 1), "at most"),
    ],
)
def test_bad_json_is_refused(raw: bytes, what: str) -> None:
    """Each trick of the trade has its answer."""
    with pytest.raises(InputError, match=what):
        parse_json(raw)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
        lambda v: json.dumps(v).encode()
    )
)
def test_any_octets_are_a_document_or_an_input_error(raw: bytes) -> None:
    """Reading is total."""
    try:
        parse_bulletin(raw)
    except InputError as error:
        assert error.problems


def test_missing_file_is_named(tmp_path: Path) -> None:
    """As is a folder where a file is needed."""
    with pytest.raises(InputError, match="nothing.json"):
        read_document(tmp_path / "nothing.json")
    with pytest.raises(InputError, match="directory"):
        read_document(tmp_path)


REGIONS = {"KR-11", "KR-26"}
HEADER = b"number,region,language\n"


def read_list(octets: bytes) -> tuple[tuple[int, Recipient], ...]:
    """Read a list."""
    return tuple(read_recipients(BytesIO(octets), regions=REGIONS, languages={"ko", "en"}))


def test_recipients_are_read() -> None:
    """With and without plus, byte order mark and Windows line ends."""
    found = read_list(
        b"\xef\xbb\xbfnumber,region,language\r\n"
        b"+821012345678,KR-11,ko\r\n"
        b"821012345679, KR-26,en\r\n",
    )

    assert found == (
        (2, Recipient("821012345678", "KR-11", "ko")),
        (3, Recipient("821012345679", "KR-26", "en")),
    )
    assert read_list(HEADER) == ()


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (b"01012345678,KR-11,ko\n", "line 2.*E.164"),
        (b"8210\xc2\xb2345678,KR-11,ko\n", "line 2.*E.164"),
        (b"821012345678,KR-99,ko\n", "line 2.*region 'KR-99'"),
        (b"821012345678,KR-11,xx\n", "line 2.*language 'xx'"),
        (b"821012345678,KR-11\n", "line 2.*2 columns"),
        (b"x,KR-11,ko\n" * 30, "and 10 more lines"),
        (b"821012345678,KR-11,ko\n\xff\n", "line 3.*UTF-8"),
    ],
)
def test_wrong_line_is_named(rows: bytes, what: str) -> None:
    """The whole list is refused, and the lines say why."""
    with pytest.raises(InputError, match=what):
        read_list(HEADER + rows)


def test_wrong_header_is_named() -> None:
    """A list of something else is no list of recipients."""
    with pytest.raises(InputError, match="line 1.*number,region,language"):
        read_list(b"msisdn\n1\n")


NAMES = [f"{number:x}" for number in range(20_000)]


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (json.dumps(SOUND | dict.fromkeys(NAMES, 0)), "and 19980 more faults"),
        (json.dumps(dict.fromkeys(NAMES, 0))[:-1] + ', "4e1f": 1}', "'4e1f' stands there twice"),
        (json.dumps(SOUND | {"regions": [0] * 60_000}), "regions: .*60000 items, at most 512"),
        (
            json.dumps(SOUND | {"incident": SOUND["incident"] | {"services": [0] * 60_000}}),
            "services: .*60000 items, at most",
        ),
    ],
    ids=["unknown", "repeated", "regions", "services"],
)
def test_thousands_of_faults_cost_neither_time_nor_room(raw: str, what: str) -> None:
    """A few are named and the rest is counted; no work grows with the square of the document."""
    began_s = time.process_time()

    with pytest.raises(InputError, match=what) as refused:
        parse_bulletin(raw.encode())

    assert time.process_time() - began_s < 1  # the square of 20,000 took five seconds
    assert len(str(refused.value)) < 4_000


def test_long_names_are_cut() -> None:
    """A name of 100,000 characters is not said back."""
    name = "x" * 100_000
    for raw in (json.dumps(SOUND | {name: 0}), f'{{"{name}": 0, "{name}": 1}}'):
        with pytest.raises(InputError, match="x{80}") as refused:
            parse_bulletin(raw.encode())
        assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("raw", "line"),
    [(b"x" * 131_073, 1), (HEADER + b'"' + b"x\n" * 65_537, 65_538)],
    ids=["header", "quote"],
)
def test_cell_beyond_the_readers_limit_is_named(raw: bytes, line: int) -> None:
    """A quote that never ends makes one cell of everything behind it."""
    with pytest.raises(InputError, match="field limit") as refused:
        read_list(raw)

    assert f"line {line}: " in str(refused.value)
