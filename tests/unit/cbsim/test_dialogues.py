"""Phones that ask: which message answers which question, and after how long."""

from typing import Any

from cbgateway.codec import smpp, smpp_text
from cbsim.dialogues import WAITING_MAX, Dialogues
from cbsim.handset import Handset, Shown
from cbsim.seals import Verdict


def handset(number: str = "8210") -> Handset:
    """Give a phone."""
    return Handset(number, "KR-11", "ko", "ko", takes_broadcasts=False, keys={})


def shown(text: str, at_s: float, *, source: str = "1234", channel: str = "sms") -> Shown:
    """Give what a phone shows."""
    return Shown(at_s, channel, text, None, None, Verdict.MISSING, source)


def test_answer_belongs_to_the_oldest_question_at_its_number() -> None:
    """Others are no answers; who is not a phone of the centre is not waited for."""
    told: list[dict[str, Any]] = []
    dialogues = Dialogues({"8210"}, told.append)
    dialogues.ask("8210", "1234", "첫째", now_s=10.0)
    dialogues.ask("8210", "1234", "둘째", now_s=11.0)
    dialogues.ask("8299", "1234", "남", now_s=11.0)
    phone = handset()
    dialogues.shown(phone, shown("안내", 11.5, source="CBGATEWAY"))
    dialogues.shown(phone, shown("방송", 11.5, channel="broadcast"))
    dialogues.shown(phone, shown("답", 12.0))
    dialogues.shown(phone, shown("답", 12.0))
    dialogues.shown(phone, shown("답", 12.0))
    dialogues.shown(handset("8299"), shown("답", 12.0))

    assert [(one["question"], one["after_s"]) for one in told] == [("첫째", 2.0), ("둘째", 1.0)]
    facts = dialogues.facts()
    assert (facts["asked"], facts["answered"], facts["max_s"]) == (2, 2, 2.0)
    assert 1.0 <= facts["p50_s"] <= 1.01
    dialogues.clear()
    assert dialogues.facts()["asked"] == 0


def test_phone_waits_for_a_bounded_number_of_answers() -> None:
    """The oldest questions are given up."""
    dialogues = Dialogues({"8210"}, lambda _: None)
    for index in range(WAITING_MAX + 5):
        dialogues.ask("8210", "1234", str(index), now_s=0.0)
    for _ in range(WAITING_MAX + 5):
        dialogues.shown(handset(), shown("답", 1.0))
    assert dialogues.answered == WAITING_MAX


def test_phones_ask_in_turn_and_show_their_answers(lab: Any) -> None:
    """At a rate, each text in turn; the centre tells who was answered, and how soon."""
    rules = {"per_s": 20, "count": 4, "texts": ["상태", "{n}?"], "from_phones": True}
    one = lab({"incoming": rules})
    esme = one.esme().bind()
    one.wait(1.0)
    got = [pdu.body for pdu in esme.received()]
    esme.submit(got[1].source.address, source=smpp.Address(3, 0, "1234"))
    snapshot = one.centre.snapshot()["dialogues"]

    assert [body.source.address for body in got] == ["821000000001", "821000000002"] * 2
    texts = [smpp_text.decode_text(body.short_message, body.data_coding) for body in got]
    assert texts == ["상태", "2?", "상태", "4?"]
    (told,) = [event for event in one.events if event["event"] == "answered"]
    assert (told["phone"], told["question"], told["text"]) == ("821000000002", "2?", "hello")
    assert (snapshot["asked"], snapshot["answered"]) == (4, 1)
    one.centre.start_over()
    assert one.centre.snapshot()["dialogues"]["asked"] == 0


def test_centre_without_phones_sends_from_its_number(lab: Any) -> None:
    """As it does without the setting."""
    one = lab({"incoming": {"per_s": 20, "count": 1, "from_phones": True, "source": "8299"}})
    one.centre.network.phones.clear()
    esme = one.esme().bind()
    one.wait(1.0)
    assert [pdu.body.source.address for pdu in esme.received()] == ["8299"]
