"""Scripts: what may stand in them, what they do, and what they say when a step fails."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbgateway.codec import smpp
from cbsim.esme import Bind
from cbsim.esme_dialogue import Dialogue, Entry
from cbsim.esme_script import load_script, parse_script

BIND = Bind(system_id="me", password="secret")
OK = smpp.Status.ESME_ROK


class Bench:
    """A conversation with a peer that the test plays."""

    def __init__(self, *steps: dict[str, Any], answers: bool = True) -> None:
        self.entries: list[Entry] = []
        script = parse_script(list(steps), {"answers": answers}, BIND)
        self.dialogue = Dialogue(script, self.entries.append)
        self.dialogue.go_on(0.0)

    def sent(self) -> list[smpp.Pdu]:
        """Give what was sent since."""
        items = smpp.Framer().receive(self.dialogue.outgoing())
        assert all(isinstance(item, smpp.Pdu) for item in items)
        return items  # type: ignore[return-value]

    def say(
        self, body: smpp.Body, number: int, status: int = OK, tlvs: Sequence[smpp.Tlv] = ()
    ) -> None:
        """Say something as the peer."""
        self.dialogue.receive(smpp.encode(smpp.Pdu(body, number, status, tuple(tlvs))), 0.0)

    @property
    def text(self) -> str:
        """Give what people are shown."""
        return "\n".join(line for entry in self.entries for line in entry.lines())


def test_conversation_that_goes_as_told() -> None:
    """Bind, submit, save the name, ask for it, unbind; every PDU is shown field by field."""
    bench = Bench(
        {"do": "bind", "mode": "transmitter"},
        {"do": "expect", "command": "bind_transmitter_resp", "fields": {"system_id": "smsc"}},
        {"do": "submit", "destination_addr": "8210", "text": "가", "data_coding": 8},
        {"do": "expect", "command": "submit_sm_resp", "save": {"id": "message_id"}},
        {"do": "request", "command": "query_sm", "message_id": "$id"},
        {"do": "expect", "command": "query_sm_resp", "fields": {"message_state": 2}},
        {"do": "unbind"},
        {"do": "expect", "command": "unbind_resp"},
        {"do": "expect_close"},
    )
    bench.say(smpp.BindTransmitterResp(system_id="smsc"), 1)
    bench.say(smpp.SubmitSmResp(message_id="a7"), 2)
    bench.say(smpp.QuerySmResp(message_id="a7", message_state=2), 3)
    bench.say(smpp.UnbindResp(), 4)
    bodies = [pdu.body for pdu in bench.sent()]
    assert not bench.dialogue.is_over
    bench.dialogue.closed(1.0)

    assert (True, "") == (bench.dialogue.is_over, bench.dialogue.failure)
    assert bodies == [
        smpp.BindTransmitter(system_id="me", password="secret"),
        smpp.SubmitSm(
            destination=smpp.Address(0, 0, "8210"), data_coding=8, short_message=b"\xac\x00"
        ),
        smpp.QuerySm(message_id="a7"),
        smpp.Unbind(),
    ]
    assert "-> bind_transmitter, ESME_ROK, 1\n     system_id: 'me'\n" in bench.text
    assert "password: '(6 characters)'" in bench.text
    assert "<- query_sm_resp, ESME_ROK, 3" in bench.text
    assert "     short_message: ac00" in bench.text
    assert "secret" not in json.dumps([entry.as_dict() for entry in bench.entries])


SUBMIT = {"do": "submit", "destination_addr": "8210"}
ANSWER = {"do": "expect", "command": "submit_sm_resp", "fields": {"message_id": "7"}}


@pytest.mark.parametrize(
    ("body", "number", "status", "why"),
    [
        (
            smpp.SubmitSmResp(message_id="8"),
            1,
            OK,
            "step 2: message_id is '8', expected '7'",
        ),
        (
            smpp.SubmitSmResp(message_id="7"),
            2,
            OK,
            "step 2: sequence_number 2 is that of no request without an answer",
        ),
        (
            smpp.SubmitSmResp(message_id="7"),
            1,
            smpp.Status.ESME_RTHROTTLED,
            "step 2: command_status is ESME_RTHROTTLED, expected ESME_ROK",
        ),
        (
            smpp.GenericNack(),
            1,
            smpp.Status.ESME_RINVCMDID,
            "step 2: expected submit_sm_resp, got generic_nack (ESME_RINVCMDID, sequence number 1)",
        ),
    ],
)
def test_wrong_answer_fails_the_step(body: smpp.Body, number: int, status: int, why: str) -> None:
    """The failure says what came instead."""
    bench = Bench(SUBMIT, ANSWER)
    bench.say(body, number, status)

    assert why == bench.dialogue.failure
    assert bench.dialogue.is_over


def test_silence_and_closing_fail_the_step() -> None:
    """After the time that the step allows, and at once when the peer has gone."""
    silent, gone, stays = (
        Bench(SUBMIT, {**ANSWER, "within_s": 2}),
        Bench(SUBMIT, ANSWER),
        Bench({"do": "expect_close", "within_s": 3}),
    )
    assert silent.dialogue.wake_at_s() == 2.0
    silent.dialogue.go_on(1.9)
    assert silent.dialogue.failure == ""
    silent.dialogue.go_on(2.0)
    gone.dialogue.closed(0.5)
    stays.dialogue.go_on(3.0)
    speaks = Bench({"do": "expect_close"})
    speaks.say(smpp.GenericNack(), 0, smpp.Status.ESME_RINVCMDLEN)
    late = Bench({"do": "expect_close"}, SUBMIT)
    late.dialogue.closed(0.0)

    assert silent.dialogue.failure == "step 2: expected submit_sm_resp, nothing came in 2 s"
    assert gone.dialogue.failure == "step 2: expected submit_sm_resp, the connection was closed"
    assert stays.dialogue.failure == "step 1: the connection was not closed in 3 s"
    assert "to be closed, got generic_nack (ESME_RINVCMDLEN" in speaks.dialogue.failure
    assert "submit_sm cannot be sent: the connection is closed" in late.dialogue.failure


def test_broken_octets_go_out_as_they_are() -> None:
    """The answer may carry their sequence number; a wait lets time pass, close ends."""
    bench = Bench(
        {"do": "send", "hex": "00000011 00000015 00000000 00000009 ff"},
        {
            "do": "expect",
            "command": "generic_nack",
            "status": "ESME_RINVTLVSTREAM",
        },
        {"do": "wait", "seconds": 1},
        {"do": "close"},
    )
    assert bench.dialogue.outgoing() == bytes.fromhex("000000110000001500000000 00000009ff")
    bench.say(smpp.GenericNack(), 9, smpp.Status.ESME_RINVTLVSTREAM)
    bench.dialogue.go_on(0.9)
    assert not bench.dialogue.is_over
    bench.dialogue.go_on(1.0)

    assert (True, "") == (bench.dialogue.is_over, bench.dialogue.failure)
    assert "-> octets: 00000011 00000015 00000000 00000009 ff" in bench.text


def test_tlvs_are_sent_and_looked_at() -> None:
    """By name or number; true asks that one is there, false that it is not."""
    tlvs = {"user_message_reference": 7, "0x1401": "beef", "receipted_message_id": "a"}
    expect = {
        "do": "expect",
        "command": "deliver_sm",
        "fields": {"text": "가", "data_coding": 8, "short_message": "AC 00"},
        "tlvs": {**tlvs, "message_state": True, "message_payload": False},
        "save": {"sequence": "sequence_number", "state": "message_state"},
    }
    bench = Bench(
        {**SUBMIT, "tlvs": tlvs},
        expect,
        {"do": "request", "command": "deliver_sm_resp", "sequence": "$sequence"},
        answers=False,
    )
    (request,) = bench.sent()
    state = smpp.Tlv.integer(smpp.TlvTag.MESSAGE_STATE, 2)
    body = smpp.DeliverSm(data_coding=8, short_message=b"\xac\x00")
    bench.say(body, 77, OK, (*request.tlvs, state))

    assert request.tlv(smpp.TlvTag.USER_MESSAGE_REFERENCE) == b"\0\7"
    assert request.tlv(0x1401) == b"\xbe\xef"
    assert bench.dialogue.failure == ""
    assert [(smpp.DeliverSmResp(), 77)] == [(p.body, p.sequence_number) for p in bench.sent()]
    other = Bench(expect)
    other.say(body, 1)
    assert "user_message_reference is not there, expected 7" in other.dialogue.failure


def test_peers_requests_are_answered_unless_told_otherwise() -> None:
    """enquire_link is never in the way; what may come in between is named."""
    steps = ({**ANSWER, "skip": ["deliver_sm"]},)
    bench = Bench(SUBMIT, *steps)
    bench.sent()
    bench.say(smpp.EnquireLink(), 5)
    bench.say(smpp.DeliverSm(), 6)
    bench.say(smpp.SubmitSmResp(message_id="7"), 1)
    quiet = Bench(SUBMIT, *steps, answers=False)
    quiet.sent()
    quiet.say(smpp.EnquireLink(), 5)

    assert [smpp.EnquireLinkResp(), smpp.DeliverSmResp()] == [pdu.body for pdu in bench.sent()]
    assert bench.dialogue.failure == ""
    assert quiet.sent() == []
    assert "got enquire_link" in quiet.dialogue.failure


def test_what_no_step_looked_at_is_told() -> None:
    """A note, as the script did not say that nothing else may come."""
    bench = Bench(SUBMIT, {"do": "wait", "seconds": 1})
    bench.say(smpp.SubmitSmResp(message_id="7"), 1)
    bench.dialogue.go_on(1.0)

    assert bench.dialogue.failure == ""
    assert "-- no step looked at submit_sm_resp" in bench.text


def test_unreadable_answer_fails_the_step() -> None:
    """With the field and the octet."""
    bench = Bench(SUBMIT, ANSWER)
    bench.dialogue.receive(bytes.fromhex("00000011 80000004 00000000 00000001 ff"), 0.0)

    assert "what came cannot be read: message_id at octet 17" in bench.dialogue.failure


@given(st.binary(max_size=80))
def test_any_octets_give_a_verdict(octets: bytes) -> None:
    """Whatever a peer says, nothing is raised and everything can be shown."""
    bench = Bench(SUBMIT, ANSWER, {"do": "expect_close"})
    bench.dialogue.receive(octets, 0.0)
    bench.dialogue.closed(1.0)
    bench.dialogue.go_on(100.0)

    assert bench.dialogue.is_over
    assert bench.dialogue.failure
    assert bench.text
    json.dumps([entry.as_dict() for entry in bench.entries])


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("submit", "is no table"),
        ({"do": "dance"}, "'dance' is not known"),
        ({"do": "bind", "mode": "sideways"}, "sideways"),
        ({"do": "submit", "destination": "8210"}, "no field 'destination'"),
        ({"do": "submit", "data_coding": "8"}, "data_coding is a number"),
        ({"do": "submit", "data_coding": 256}, "does not fit"),
        ({"do": "submit", "destination_addr": "8" * 30}, "30 characters"),
        ({"do": "submit", "short_message": "xyz"}, "hexadecimal"),
        ({"do": "submit", "short_message": "00", "text": "x"}, "instead of it"),
        ({"do": "submit", "text": "가"}, "not in the GSM"),
        ({"do": "submit", "tlvs": {"nonsense": 1}}, "no TLV is called 'nonsense'"),
        ({"do": "submit", "tlvs": {"message_state": 256}}, "does not fit"),
        ({"do": "submit", "tlvs": {"message_state": "0202"}}, "2 octets, it has 1"),
        ({"do": "submit", "sequence": "any"}, "a request has a sequence number"),
        ({"do": "submit", "tlvs": []}, "tlvs is a table"),
        ({"do": "submit", "sequence": "next"}, "sequence is a number"),
        ({"do": "submit", "status": "ESME_ROKAY"}, "no status is called"),
        ({"do": "request", "command": "submit"}, "no command is called"),
        ({"do": "send", "hex": 12}, "hexadecimal"),
        ({"do": "send", "octets": "00"}, "send has no 'octets'"),
        ({"do": "wait", "seconds": -1}, "no number of seconds"),
        ({"do": "wait"}, "no number of seconds"),
        ({"do": "expect", "command": "submit_sm_resp", "fields": {"id": 1}}, "no field 'id'"),
        ({"do": "expect", "command": "submit_sm_resp", "save": {"x": "id"}}, "no field 'id'"),
        ({"do": "expect", "command": "submit_sm_resp", "skip": "all"}, "a list of commands"),
        ({"do": "expect", "command": "submit_sm_resp", "wihtin_s": 1}, "no 'wihtin_s'"),
    ],
)
def test_wrong_script_is_refused_before_anything_is_sent(step: Any, why: str) -> None:
    """With the number of the step."""
    with pytest.raises(ValueError, match=f"step 2: .*{why}"):
        parse_script([SUBMIT, step], {}, BIND)


def test_script_is_toml_or_json_lines(tmp_path: Path) -> None:
    """Both say the same; what is neither is refused with the file's name."""
    toml, lines = tmp_path / "talk.toml", tmp_path / "talk.jsonl"
    toml.write_text('answers = false\n[[step]]\ndo = "bind"\n[[step]]\ndo = "close"\n', "utf-8")
    lines.write_text('{"answers": false}\n{"do": "bind"}\n\n{"do": "close"}\n', "utf-8")

    assert load_script(toml, BIND) == load_script(lines, BIND)
    assert load_script(toml, BIND).answers is False
    for text in ("step = 1", "x = 1", "= nonsense", "[[step]]\ndo='close'\n[[step]]\ndo='unbind'"):
        toml.write_text(text, "utf-8")
        with pytest.raises(ValueError, match=r"talk\.toml: "):
            load_script(toml, BIND)
    lines.write_text("[" * 100_000, "utf-8")
    with pytest.raises(ValueError, match=r"talk\.jsonl: "):
        load_script(lines, BIND)


def test_replace_sm_is_shown_and_compared() -> None:
    """It has a text and no data_coding."""
    bench = Bench({"do": "expect", "command": "replace_sm", "fields": {"text": "hi"}})
    bench.say(smpp.ReplaceSm(short_message=b"hi"), 1)

    assert (True, "") == (bench.dialogue.is_over, bench.dialogue.failure)


def test_saved_names_are_known() -> None:
    """A name that nothing was saved under fails its step; $$ is a dollar."""
    bench = Bench({"do": "request", "command": "query_sm", "message_id": "$id"})
    dollar = Bench({"do": "request", "command": "query_sm", "message_id": "$$id"})

    assert bench.dialogue.failure == "step 1: nothing was saved as $id"
    assert [smpp.QuerySm(message_id="$id")] == [pdu.body for pdu in dollar.sent()]
