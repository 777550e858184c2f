"""CBSP: vectors octet for octet, total on any octets, and every message there and back."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cbgateway.codec import cbsp
from cbgateway.codec.cbsp_elements import RULES
from cbgateway.codec.cbsp_messages import DCS_SLOT, EMERGENCY_SLOTS, MESSAGES, TEXT_SLOTS
from cbgateway.codec.cells import ALL_CELLS, Cgi, Ci, Lac, LacCi, Lai, Plmn
from cbgateway.domain.errors import EncodeError

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "vectors" / "cbsp.jsonl").read_text().splitlines()
]
MESSAGES_OF_VECTORS = [vector for vector in VECTORS if "hex" in vector]
REFUSED = {
    "unknown-msgtype": cbsp.Cause.UNRECOGNISED_MESSAGE,
    "unknown-ie": cbsp.Cause.PARAMETER_NOT_RECOGNISED,
}
"""Names of vectors that were made to be refused."""
KT = Plmn("450", "08")


@pytest.mark.parametrize(
    "vector",
    [one for one in MESSAGES_OF_VECTORS if one["name"] not in REFUSED],
    ids=lambda one: f"{one['name']}-{one['dir'].strip()}",
)
def test_message_matches_vector(vector: dict[str, Any]) -> None:
    """A decoded vector encodes to the same octets; a real peer or a dissector has read it."""
    octets = bytes.fromhex(vector["hex"])

    assert octets == cbsp.encode(cbsp.decode(octets))


@pytest.mark.parametrize(
    "vector", [one for one in MESSAGES_OF_VECTORS if "dec" in one and one["name"] not in REFUSED]
)
def test_values_are_the_vectors(vector: dict[str, Any]) -> None:
    """What another decoder found is what this one finds."""
    message, said = cbsp.decode(bytes.fromhex(vector["hex"])), vector["dec"]
    names = {
        "msg_id": "message_identifier",
        "new_serial": "new_serial_number",
        "old_serial": "old_serial_number",
        "channel_ind": "channel",
        "category": "category",
        "rep_period": "repetition_period",
        "num_bcast_req": "number_of_broadcasts",
        "dcs": "dcs",
        "warning_type": "warning_type",
        "warning_period": "warning_period",
        "bcast_msg_type": "broadcast_type",
        "recovery_ind": "recovery",
        "keepalive_period": "period",
    }
    for theirs, ours in names.items():
        if theirs in said and hasattr(message, ours):
            assert said[theirs] == getattr(message, ours), theirs
    if isinstance(message, cbsp.WriteReplace):
        assert said["pages"] == [[page.used_octets, page.octets.hex()] for page in message.pages]


@pytest.mark.parametrize(("name", "cause"), REFUSED.items())
def test_what_cannot_be_read_says_why(name: str, cause: cbsp.Cause) -> None:
    """By the cause that an ERROR INDICATION would carry."""
    vector = next(one for one in MESSAGES_OF_VECTORS if one["name"] == name)
    with pytest.raises(cbsp.CbspError) as caught:
        cbsp.decode(bytes.fromhex(vector["hex"]))

    assert cause is caught.value.cause


OCTET = st.integers(0, 255)
TWO = st.integers(0, 65535)
KINDS: dict[cbsp.Discriminator, st.SearchStrategy[Any]] = {
    cbsp.Discriminator.CGI: st.builds(Cgi, st.just(KT) | st.just(Plmn("310", "410")), TWO, TWO),
    cbsp.Discriminator.LAC_CI: st.builds(LacCi, TWO, TWO),
    cbsp.Discriminator.CI: st.builds(Ci, TWO),
    cbsp.Discriminator.LAI: st.builds(Lai, st.just(KT), TWO),
    cbsp.Discriminator.LAC: st.builds(Lac, TWO),
    cbsp.Discriminator.ALL_CELLS: st.just(ALL_CELLS),
}


def cells_of(kind: cbsp.Discriminator) -> st.SearchStrategy[tuple[Any, ...]]:
    """Give entries of one kind; all cells stand in a list once."""
    least, most = (1, 1) if kind is cbsp.Discriminator.ALL_CELLS else (0, 4)
    return st.lists(KINDS[kind], min_size=least, max_size=most).map(tuple)


CELL_LISTS = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.builds(cbsp.CellList, st.just(kind), cells_of(kind))
) | st.just(cbsp.CellList(cbsp.Discriminator.NO_CELL))
CELLS = st.one_of(*KINDS.values())


def entries(make: Any, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[cbsp.EntryList]:
    """Give entry lists of one kind of cell."""
    return st.sampled_from(sorted(KINDS)).flatmap(
        lambda kind: st.builds(
            cbsp.EntryList,
            st.just(kind),
            st.lists(
                st.builds(make, KINDS[kind], *parts),
                max_size=1 if kind is cbsp.Discriminator.ALL_CELLS else 4,
            ).map(tuple),
        )
    )


CONTENTS = st.builds(
    cbsp.Content, st.binary(min_size=82, max_size=82), st.integers(0, cbsp.CONTENT_OCTETS)
)
ELEMENTS: dict[cbsp.ElementId, st.SearchStrategy[Any]] = {
    cbsp.ElementId.CELL_LIST: CELL_LISTS,
    cbsp.ElementId.NUMBER_OF_BROADCASTS_COMPLETED_LIST: entries(
        cbsp.Completed, TWO, st.sampled_from(cbsp.CountInfo)
    ),
    cbsp.ElementId.RADIO_RESOURCE_LOADING_LIST: entries(cbsp.Load, OCTET, OCTET),
    cbsp.ElementId.FAILURE_LIST: st.lists(st.builds(cbsp.Failed, CELLS, OCTET), max_size=5).map(
        tuple
    ),
    cbsp.ElementId.REPETITION_PERIOD: st.integers(0, cbsp.PERIOD_SLOTS_MAX),
    cbsp.ElementId.WARNING_SECURITY_INFORMATION: st.binary(min_size=50, max_size=50),
}


def element(identity: cbsp.ElementId) -> st.SearchStrategy[Any]:
    """Give values of an element."""
    number = TWO if RULES[identity].octets == 2 else OCTET
    return ELEMENTS.get(identity, number)


def messages(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Give messages of one type."""
    fields = {
        slot.field: element(slot.element)
        if slot.is_mandatory
        else st.none() | element(slot.element)
        for slot in kind.LAYOUT
    }
    if kind is not cbsp.WriteReplace:
        return st.builds(kind, **fields)
    text = {slot.field: element(slot.element) for slot in (*TEXT_SLOTS, DCS_SLOT)}
    emergency = {slot.field: element(slot.element) for slot in EMERGENCY_SLOTS}
    pages = st.lists(CONTENTS, min_size=1, max_size=15).map(tuple)
    return st.builds(kind, **fields, **text, pages=pages) | st.builds(kind, **fields, **emergency)


@given(st.sampled_from(list(MESSAGES.values())).flatmap(messages))
def test_every_message_comes_back(message: Any) -> None:
    """Whatever stands in it."""
    assert message == cbsp.decode(cbsp.encode(message))


def test_every_message_type_has_a_vector_and_a_class() -> None:
    """Nothing of the table is left out."""
    seen = {bytes.fromhex(one["hex"])[0] for one in MESSAGES_OF_VECTORS}

    assert set(cbsp.MessageType) == set(MESSAGES)
    without = {"SET_DRX_COMPLETE", "SET_DRX_FAILURE"}  # no peer of ours has ever sent them
    assert without >= {kind.name for kind in cbsp.MessageType if kind not in seen}


@given(st.sampled_from(MESSAGES_OF_VECTORS), st.data())
def test_any_change_gives_a_message_or_an_error(
    vector: dict[str, Any], data: st.DataObject
) -> None:
    """One octet changed, taken out or put in."""
    octets = bytearray.fromhex(vector["hex"])
    at = data.draw(st.integers(0, len(octets) - 1))
    match data.draw(st.sampled_from(["set", "cut", "put"])):
        case "set":
            octets[at] = data.draw(OCTET)
        case "cut":
            del octets[at]
        case _:
            octets.insert(at, data.draw(OCTET))
    octets[1:4] = (len(octets) - 4).to_bytes(3, "big") if len(octets) >= 4 else b""
    try:
        message = cbsp.decode(bytes(octets))
    except cbsp.CbspError as error:
        assert 0 <= error.offset <= len(octets)
    else:
        assert message == cbsp.decode(cbsp.encode(message))


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x01\x00\x00")
@example(b"\x16\x00\x00\x01\x18\x01")
def test_any_octets_give_a_message_or_an_error(octets: bytes) -> None:
    """Nothing else happens."""
    try:
        cbsp.decode(octets)
    except cbsp.CbspError as error:
        assert not error.framing_lost


def frame(kind: int, body: str) -> bytes:
    """Put a header before a body."""
    octets = bytes.fromhex(body)
    return bytes([kind]) + len(octets).to_bytes(3, "big") + octets


WRITE = "0e111203001004000106"
TEXT = WRITE + "120005020600140700051301" + "0c0f" + "01" + "00" + 82 * "0d"


@pytest.mark.parametrize(
    ("octets", "problem", "cause"),
    [
        (frame(0x10, "04000106ff"), "is no element", cbsp.Cause.PARAMETER_NOT_RECOGNISED),
        (frame(0x10, "04000206ff"), "after the discriminator for all cells", None),
        (frame(0x10, "0400020300"), "without entries", None),
        (frame(0x10, "040002000b"), "no multiple of 7", None),
        (frame(0x10, "04000107"), "7", None),
        (frame(0x10, "040000"), "no discriminator", None),
        (frame(0x10, "0400080054ffff03e9000b"), "is no network", None),
        (frame(0x10, "0400"), "ends behind its message", None),
        (frame(0x10, "040001"), "ends behind its message", None),
        (frame(0x10, ""), "Cell list.*missing", cbsp.Cause.MISSING_MANDATORY_ELEMENT),
        (frame(0x10, "0400010604000106"), "twice", None),
        (frame(0x14, "09000106" + "1600"), "ends early", None),
        (frame(0x14, "0900020300" + "1600"), "names no cell", None),
        (frame(0x01, WRITE), "Channel indicator.*missing", cbsp.Cause.MISSING_MANDATORY_ELEMENT),
        (frame(0x01, WRITE + "12000f01"), "beside an Emergency", None),
        (frame(0x01, WRITE + "1200"), "Number of pages", cbsp.Cause.MISSING_MANDATORY_ELEMENT),
        (frame(0x01, TEXT.replace("1301", "1302")), "2 pages are announced, 1 are", None),
        (frame(0x01, TEXT.replace("1301", "1300")), "0 pages", None),
        (frame(0x01, TEXT.replace("1301", "1310")), "16 is not in 0..15", None),
        (frame(0x01, TEXT.replace("0c0f0100", "0c0f0153")), "useful length 83", None),
        (frame(0x0B, "0e111202001008000606000100031200"), "3", None),
    ],
)
def test_what_breaks_the_specification_is_named(
    octets: bytes, problem: str, cause: cbsp.Cause | None
) -> None:
    """With its element and the cause that would be told."""
    with pytest.raises(cbsp.CbspError, match=problem) as caught:
        cbsp.decode(octets)

    assert caught.value.cause is (cbsp.Cause.PARAMETER_VALUE_INVALID if cause is None else cause)


def test_elements_may_stand_in_any_order() -> None:
    """And spare bits may be set, and known elements too many."""
    message = cbsp.decode(frame(0x04, "1200" + "04000106" + "021234" + "0e1112" + "0c0f"))

    assert cbsp.Kill(0x1112, 0x1234, cbsp.WHOLE_BSS, 0) == message
    assert cbsp.Reset() == cbsp.decode(frame(0x10, "040001f6"))


TEXT_MESSAGE = cbsp.WriteReplace(
    0x1112,
    0x10,
    cbsp.WHOLE_BSS,
    channel=0,
    category=2,
    repetition_period=20,
    number_of_broadcasts=5,
    dcs=15,
    pages=(cbsp.Content(b"\r" * 82, 1),),
)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"message_identifier": 65536}, "Message identifier: 65536"),
        ({"new_serial_number": -1}, "New serial number"),
        ({"repetition_period": 4096}, "Repetition period: 4096 is not in 0..4095"),
        ({"category": None}, "Category: is missing"),
        ({"pages": ()}, "Message content: is missing"),
        ({"pages": TEXT_MESSAGE.pages * 16}, "Number of pages: 16"),
        ({"pages": (cbsp.Content(b"", 0),)}, "a page has 82 octets"),
        ({"pages": (cbsp.Content(b"\r" * 82, 83),)}, "a page has 82 octets"),
        ({"channel": None}, "either this or an Emergency"),
        ({"emergency_indicator": 1}, "either this or an Emergency"),
        ({"cells": cbsp.CellList(cbsp.Discriminator.CI, (Lac(1),))}, "of the kind CI"),
        ({"cells": cbsp.CellList(cbsp.Discriminator.NO_CELL, (Lac(1),))}, "of the kind NO_CELL"),
        ({"cells": cbsp.CellList.of(ALL_CELLS, ALL_CELLS)}, "once"),
        ({"cells": cbsp.CellList.of(*[Ci(1)] * 32768)}, "65537 octets, at most 65535"),
    ],
)
def test_what_no_message_can_carry_is_refused(changes: dict[str, Any], problem: str) -> None:
    """By the element and its limit; nothing is cut or masked."""
    with pytest.raises(EncodeError, match=problem):
        cbsp.encode(dataclasses.replace(TEXT_MESSAGE, **changes))


def test_an_emergency_needs_all_its_elements() -> None:
    """Security information has fifty octets, used or not."""
    emergency = cbsp.WriteReplace(0x1100, 0x10, cbsp.WHOLE_BSS, emergency_indicator=1)
    with pytest.raises(EncodeError, match="Warning type: is missing"):
        cbsp.encode(emergency)
    with pytest.raises(EncodeError, match="50 octets are needed, not 49"):
        cbsp.encode(
            dataclasses.replace(
                emergency, warning_type=0x0180, warning_security=bytes(49), warning_period=15
            )
        )


def test_the_longest_message_comes_back() -> None:
    """Three full lists fit."""
    cells = cbsp.CellList.of(*[LacCi(1, 1)] * 16383)
    failures = (cbsp.Failed(Cgi(KT, 1, 1), 1),) * 7281
    completed = cbsp.EntryList.of(*[cbsp.Completed(Ci(1), 1)] * 13106)
    message = cbsp.WriteReplaceFailure(1, 1, failures, 1, completed, cells, 0)

    assert message == cbsp.decode(cbsp.encode(message))


@given(st.lists(st.sampled_from(MESSAGES_OF_VECTORS), max_size=4), st.data())
def test_pieces_make_no_difference(vectors: list[dict[str, Any]], data: st.DataObject) -> None:
    """A stream cut anywhere gives the messages of the stream in one piece."""
    stream = b"".join(bytes.fromhex(one["hex"]) for one in vectors)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    framer = cbsp.Framer()
    items = [
        item
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for item in framer.receive(stream[begin:end])
    ]

    def told(found: list[Any]) -> list[Any]:
        return [str(one.error) if isinstance(one, cbsp.Unparsed) else one for one in found]

    assert told(cbsp.Framer().receive(stream)) == told(items)
    assert len(vectors) == len(items)
    assert not framer.is_incomplete


def test_a_length_that_cannot_be_believed_ends_the_stream() -> None:
    """Nothing after it is read, and nothing is kept."""
    framer = cbsp.Framer()
    keep_alive = cbsp.encode(cbsp.KeepAlive(20))
    items = framer.receive(keep_alive + b"\x01\xff\xff\xff" + keep_alive)

    assert [cbsp.KeepAlive(20)] == items[:1]
    assert isinstance(items[1], cbsp.Unparsed)
    assert items[1].error.framing_lost
    assert 1 == items[1].message_type
    assert [] == framer.receive(keep_alive)
    assert not framer.is_incomplete


def test_half_a_message_waits_for_the_rest() -> None:
    """And says so."""
    framer = cbsp.Framer()

    assert [] == framer.receive(b"\x16\x00\x00")
    assert framer.is_incomplete
    assert [cbsp.KeepAlive(20)] == framer.receive(b"\x02\x18\x14")
    assert not framer.is_incomplete


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(1, 1), (10, 10), (20, 15), (30, 20), (45, 23), (60, 26), (120, 38), (600, 86), (3600, 186)],
)
def test_periods_are_those_of_the_table(seconds: int, code: int) -> None:
    """Both ways; osmo-cbc is wrong above 30 s."""
    assert code == cbsp.period_code(seconds)
    assert seconds == cbsp.PERIOD_S[code]


def test_a_period_between_two_codes_is_the_longer_one() -> None:
    """A warning must not end early; what has no code is refused."""
    assert 24 == cbsp.period_code(45.1)
    assert 186 == len(cbsp.PERIOD_S)
    for seconds in (0, -1, 3600.5):
        with pytest.raises(ValueError, match="period"):
            cbsp.period_code(seconds)


def test_causes_have_names() -> None:
    """Those without one are told by number."""
    assert "MESSAGE_REFERENCE_ALREADY_USED" == cbsp.cause_name(13)
    assert "cause 0x7f" == cbsp.cause_name(127)
