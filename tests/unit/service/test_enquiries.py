"""Enquiries in the store: decided about once, counted, and nothing kept of whom they were from."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cbgateway.domain.enquiry import Round
from cbgateway.domain.errors import InputError, KeyUnusableError, PermissionDeniedError
from cbgateway.domain.incident import IncidentState
from cbgateway.domain.incoming import IncomingMessage
from cbgateway.domain.outcomes import Outcome
from cbgateway.service.guard import Guard, Verdict
from cbgateway.signing.pseudonyms import Pseudonyms, new_key
from tests.enquirers import NUMBER, phone


def reports(enquirers: Any) -> list[tuple[str, str, int]]:
    """Give what operators see of reports."""
    asking = enquirers.office.gateway.asking
    with enquirers.store.read() as tx:
        found = asking.reports(tx)
    return [(one["carrier"], one["region"], one["reports"]) for one in found]


def questions(enquirers: Any) -> list[tuple[str, int]]:
    """Give the questions that were not answered."""
    with enquirers.store.read() as tx:
        return [(one.text, one.count) for one in tx.questions(limit=10)]


def everything_stored(enquirers: Any) -> bytes:
    """Give every octet of the database, the log beside it, and the keys' file."""
    path: Path = enquirers.store.path
    enquirers.store._connection.pragma("wal_checkpoint", "TRUNCATE")
    files = [path, path.with_name(f"{path.name}-wal")]
    return b"".join(one.read_bytes() for one in files if one.exists())


def test_sixth_question_in_a_minute_gets_a_notice_then_silence(enquirers: Any) -> None:
    """Others are answered all the same; after a minute, so is the first one again."""
    replies = [enquirers.ask("상태") for _ in range(8)]

    assert all(replies[:5])
    assert "멈춥니다" in (replies[5] or "")
    assert replies[6:] == [None, None]
    assert enquirers.ask("상태", source=phone(2))
    enquirers.office.clock.advance(60)
    assert "멈춥니다" not in enquirers.ask("상태")
    summary = enquirers.summary()
    assert (summary["asked"], summary["answered"], summary["limited"]) == (10, 8, 3)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("1588", "상태"),
        ("CBGATEWAY", "상태"),
        (NUMBER, "상태"),
        (phone(1), "자동응답: 지금은 운전 중입니다"),
        (phone(1), "I am out of the office until Monday"),
    ],
)
def test_machines_are_not_answered(enquirers: Any, source: str, text: str) -> None:
    """By what they are called, and by what they write."""
    assert enquirers.ask(text, source=source) is None
    assert enquirers.summary()["blocked"] == 1


def test_our_own_words_are_not_answered(enquirers: Any) -> None:
    """However the other machine changes spaces."""
    reply = enquirers.ask("서울")
    assert enquirers.ask(f"  {reply}  ") is None
    assert enquirers.ask(reply.replace(" ", "\n"), source=phone(2)) is None
    bulletin = enquirers.office.issue(enquirers.office.document()).bulletin
    assert enquirers.ask(bulletin.texts["ko"], source=phone(3)) is None


def test_whoever_asks_on_and_on_is_a_machine(enquirers: Any) -> None:
    """Twenty in an hour, however slowly; then an hour of silence."""
    answered = 0
    for _ in range(25):
        answered += enquirers.ask("상태") is not None
        enquirers.office.clock.advance(30)
    assert answered == 20
    enquirers.office.clock.advance(3600)
    assert enquirers.ask("상태")


def test_guard_remembers_no_more_than_it_may(
    enquirers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wrote longest ago are forgotten."""
    monkeypatch.setattr("cbgateway.service.guard.SENDERS_MAX", 2)
    monkeypatch.setattr("cbgateway.service.guard.SENT_MAX", 1)
    rules = enquirers.office.gateway.deployment.country.enquiries
    guard = Guard(rules, auto_replies=(), own_numbers=())
    guard.sent("하나")
    guard.sent("둘")
    for name in ("a", "b", "c", "a"):
        verdict = guard.look(name, phone(1), "하나", now_s=0)
    assert verdict is Verdict.ANSWER
    assert guard.look("c", phone(1), "둘", now_s=0) is Verdict.BLOCKED
    assert len(guard._senders) == 2


def test_nothing_names_who_asked_once_it_is_answered(enquirers: Any) -> None:
    """Not in the database, nor in the log beside it; a subscriber's number is encrypted."""
    someone = phone(98765432)
    for text in ("상태", "신고 서울", "언제 되나요 010-9876-5432", "알림 부산"):
        assert enquirers.ask(text, source=someone)

    assert someone.encode() not in everything_stored(enquirers)
    assert questions(enquirers) == [("언제 되나요 ###-####-####", 1)]


def test_question_is_gone_once_it_is_decided_about(enquirers: Any) -> None:
    """One commit holds its end and the answer's beginning; nobody is answered twice."""
    enquirers.write("상태")
    taken = enquirers.take()

    assert (taken.looked_at, len(taken.answers)) == (1, 1)
    assert enquirers.take().looked_at == 0
    assert enquirers.summary()["under_way"] == 1
    enquirers.restart()
    with enquirers.store.transaction() as tx:
        assert enquirers.enquiries.recover(tx) == 1
    assert enquirers.take().looked_at == 0
    summary = enquirers.summary()
    assert (summary["in_doubt"], summary["under_way"], summary["answered"]) == (1, 0, 0)


def test_every_outcome_is_counted(enquirers: Any) -> None:
    """Accepted with its latency, refused, in doubt, too late, and back in the inbox."""
    for outcome in (Outcome.ACCEPTED, Outcome.REFUSED, Outcome.IN_DOUBT):
        enquirers.write("상태", source=phone(outcome))
        answers = enquirers.take().answers
        enquirers.office.clock.advance(2.5)
        enquirers.settle(answers, outcome)
    enquirers.write("상태", source=phone(9))
    enquirers.write("상태", source=phone(10))
    back, late = enquirers.take().answers
    with enquirers.store.transaction() as tx:
        enquirers.enquiries.put_back(tx, "kt", [back])
        enquirers.enquiries.give_up(tx, "kt", [late])
    summary = enquirers.summary()

    assert {name: summary[name] for name in ("answered", "refused", "in_doubt", "late")} == {
        "answered": 1,
        "refused": 1,
        "in_doubt": 1,
        "late": 1,
    }
    assert (summary["under_way"], summary["waiting"], summary["asked"]) == (0, 1, 4)
    assert summary["latency_s_sum"] == 2.5
    assert [count for limit, count in summary["latency_s_buckets"]] == [0] * 5 + [1] * 4
    assert enquirers.take().answers[0].question.message == back.question.message


def test_what_is_too_old_is_not_answered_but_stop_is_obeyed(enquirers: Any) -> None:
    """An answer to an old question costs and helps nobody."""
    now = enquirers.office.clock.now()
    enquirers.ask("알림 서울")
    enquirers.write("상태", source=phone(2), at=now - timedelta(seconds=601))
    enquirers.write("중지", at=now - timedelta(seconds=601))

    assert enquirers.take().answers == ()
    assert enquirers.summary()["late"] == 2
    assert enquirers.summary()["subscribers"] == 0


def test_messages_to_other_numbers_are_left_alone(enquirers: Any) -> None:
    """`cbgateway incoming take` gives them; so are those of carriers that are not answered."""
    at = enquirers.office.clock.now()
    with enquirers.store.transaction() as tx:
        tx.add_message("kt", IncomingMessage(phone(1), "9999", "상태"), at=at)
        tx.add_message("lguplus", IncomingMessage(phone(1), NUMBER, "상태"), at=at)
    assert enquirers.take().looked_at == 0
    assert enquirers.take("skt").looked_at == 0
    with enquirers.store.read() as tx:
        assert tx.count_messages() == 2


def test_only_the_first_part_of_a_long_text_is_looked_at(enquirers: Any) -> None:
    """The others are counted and gone."""
    with enquirers.store.transaction() as tx:
        for part in (1, 2):
            message = IncomingMessage(phone(1), NUMBER, "서울", part, 2, 7)
            tx.add_message("kt", message, at=enquirers.office.clock.now())
    taken = enquirers.take()
    assert (taken.looked_at, len(taken.answers)) == (2, 1)


def test_region_is_known_from_lists_and_subscriptions(enquirers: Any) -> None:
    """And so is the language, where the text does not tell."""
    office = enquirers.office
    rows = f"number,region,language\n{phone(1)},KR-49,en\n"
    office.gateway.import_recipients("kt", rows.encode())
    assert "Jeju" in enquirers.ask("")
    assert "제주" in enquirers.ask("신고")
    assert "제주" in enquirers.ask("알림")
    enquirers.ask("알림 서울", source=phone(2))
    assert "서울" in enquirers.ask("상태", source=f"+{phone(2)}")
    assert "예: 알림 서울" in enquirers.ask("알림", source=phone(3))
    assert "예: 신고 서울" in enquirers.ask("신고", source=phone(3))


def test_reports_count_once_for_each_sender_and_hour(enquirers: Any) -> None:
    """By carrier and region; the next hour counts anew, and old ones are forgotten."""
    for index in (1, 1, 2):
        enquirers.ask("신고 부산", source=phone(index))
    enquirers.ask("OUT Busan", source=phone(3), peer="skt")
    assert reports(enquirers) == [("kt", "KR-26", 2), ("skt", "KR-26", 1)]
    enquirers.office.clock.advance(3600)
    enquirers.ask("신고 부산")
    assert reports(enquirers)[-1] == ("kt", "KR-26", 1)
    enquirers.office.clock.advance(27 * 3600)
    with enquirers.store.transaction() as tx:
        enquirers.enquiries.sweep(tx, now=enquirers.office.clock.now())
    assert reports(enquirers) == []


def crowd(enquirers: Any, count: int = 30) -> list[Any]:
    """Have many people report; gives what is noticed."""
    for index in range(count):
        enquirers.write("신고 부산", source=phone(index))
    enquirers.take()
    with enquirers.store.transaction() as tx:
        return list(enquirers.office.gateway.asking.crowds(tx))


def test_many_reports_are_written_down_once_an_hour_and_tell_nobody(enquirers: Any) -> None:
    """Below the threshold nothing happens; without a proposer nothing is proposed."""
    assert crowd(enquirers, 29) == []
    (found,) = crowd(enquirers)
    assert (found.peer_id, found.region, found.reports) == ("kt", "KR-26", 30)
    assert crowd(enquirers) == []
    assert enquirers.office.gateway.asking.proposing(found) is None
    with enquirers.store.read() as tx:
        assert [event.detail["reports"] for event in tx.events("KR-26")] == [30]
        assert tx.incidents() == ()


def test_many_reports_propose_a_suspected_outage(enquirers: Any) -> None:
    """By the machine that the settings name, as an alarm does: a draft, and never more."""
    office = enquirers.office
    office.add("listener", may_submit=True, owner="alice")
    asking = office.gateway.asking
    settings = asking.settings
    enquiries = settings.enquiries.model_copy(update={"proposer": "listener"})
    asking = replace(asking, settings=settings.model_copy(update={"enquiries": enquiries}))
    (found,) = crowd(enquirers)
    propose = asking.proposing(found)
    with enquirers.store.transaction() as tx:
        proposal = propose(tx)
        (incident,) = tx.incidents()
        draft = tx.bulletin(proposal.draft)
    assert incident.state is IncidentState.SUSPECTED
    assert (incident.carrier, draft.bulletin.regions) == ("kt", ("KR-26",))
    assert draft.decision is None
    office.gateway.keyring.revoke("listener")
    with pytest.raises(PermissionDeniedError), enquirers.store.transaction() as tx:
        propose(tx)


def test_reports_are_watched_while_the_gateway_serves(
    enquirers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proposer without a key is said in the log, and costs nothing else."""
    monkeypatch.setattr("cbgateway.asking.WATCH_S", 0.001)
    asking = enquirers.office.gateway.asking
    enquiries = asking.settings.enquiries.model_copy(update={"proposer": "nobody"})
    settings = asking.settings.model_copy(update={"enquiries": enquiries})
    for index in range(30):
        enquirers.write("신고 부산", source=phone(index))
    enquirers.take()

    async def watch() -> None:
        task = asyncio.create_task(replace(asking, settings=settings).watch_reports())
        async with asyncio.timeout(10):
            while not enquirers.store.has_changed():
                await asyncio.wait([task], timeout=0.01)
            await asyncio.wait([task], timeout=0.1)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    enquirers.store.has_changed()
    asyncio.run(watch())
    with enquirers.store.read() as tx:
        assert [event.what for event in tx.events("KR-26")] == ["reports-passed"]
        assert tx.incidents() == ()


def test_questions_are_ranked_and_forgotten(enquirers: Any) -> None:
    """The most frequent first; agents add theirs; what nobody asks again goes."""
    office = enquirers.office
    for index in range(3):
        enquirers.ask("보상은 언제 받나요?", source=phone(index))
    enquirers.ask("부산은 언제 되나요", source=phone(5))
    kept = office.gateway.asking.note("  카드는 언제 되나요? 1588-0000 ", source="desk 7")
    assert kept == "카드는 언제 되나요? ####-####"
    assert questions(enquirers)[0] == ("보상은 언제 받나요", 3)
    assert len(questions(enquirers)) == 3
    for text, source in (("  ", "desk"), ("왜요", " "), ("왜요", "x" * 61), ("왜요", "a\nb")):
        with pytest.raises(InputError):
            office.gateway.asking.note(text, source=source)
    office.clock.advance(31 * 86_400)
    with enquirers.store.transaction() as tx:
        enquirers.enquiries.sweep(tx, now=office.clock.now())
    assert questions(enquirers) == []


def test_rarest_questions_go_first(enquirers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are too many different ones."""
    monkeypatch.setattr("cbgateway.service.enquiries.QUESTIONS_MAX", 1)
    for index, text in enumerate(("왜요", "언제요", "언제요")):
        enquirers.ask(text, source=phone(index))
    with enquirers.store.transaction() as tx:
        enquirers.enquiries.sweep(tx, now=enquirers.office.clock.now())
    assert questions(enquirers) == [("언제요", 2)]


# Subscribers


def live(enquirers: Any, document: dict[str, Any]) -> Any:
    """Issue a bulletin, and have something of it leave."""
    record = enquirers.office.issue(document)
    enquirers.office.send("kt")
    return record.bulletin


def test_subscribers_are_told_of_a_live_bulletin_once(enquirers: Any) -> None:
    """Those of its regions, in their language, with the approved text."""
    office = enquirers.office
    enquirers.ask("알림 부산", source=phone(1))
    enquirers.ask("SUB Korea", source=phone(2))
    enquirers.ask("알림 서울", source=phone(3))
    enquirers.ask("알림 부산", source=phone(4), peer="skt")
    office.submit(office.document())
    assert enquirers.tell() == []
    office.approve("inc-1/1")
    assert enquirers.tell() == [], "nothing of it has left"
    office.send("kt")
    with enquirers.store.read() as tx:
        texts = tx.bulletin("inc-1/1").bulletin.texts

    told = {one.recipients: one.text for one in enquirers.tell()}

    assert told == {(phone(1),): texts["ko"], (phone(2),): texts["en"]}
    assert enquirers.tell() == []
    assert [one.recipients for one in enquirers.tell("skt")] == [(phone(4),)]
    with enquirers.store.read() as tx:
        events = [one.detail for one in tx.events("inc-1/1") if one.what == "subscribers-told"]
    assert [(one["peer"], one["told"]) for one in events] == [("kt", 2), ("skt", 1)]


def test_subscriber_is_kept_once_and_renewed(enquirers: Any) -> None:
    """One row for each number; regions inside another are not kept twice; five at most."""
    for text in ("알림 부산", "알림 서울", "알림 부산"):
        enquirers.ask(text)
    enquirers.office.clock.advance(60)
    for place in ("대구", "인천", "광주", "대전"):
        reply = enquirers.ask(f"알림 {place}")
    assert "5곳까지" in reply
    assert enquirers.summary()["subscribers"] == 1
    enquirers.office.clock.advance(60)
    enquirers.ask("알림 전국")
    live(enquirers, enquirers.office.document(regions=["KR-11", "KR-26"]))
    (reply,) = enquirers.tell()
    assert reply.recipients == (phone(1),)


def test_stop_deletes_the_number_everywhere(enquirers: Any) -> None:
    """At every carrier, whoever is limited or not; nothing of it is left on the disk."""
    enquirers.ask("알림 부산")
    enquirers.ask("알림 부산", peer="skt")
    with enquirers.store.read() as tx:
        (kept,) = tx.subscriptions("kt", after=0, up_to=10, limit=10)
    for _ in range(8):
        enquirers.write("상태")
    enquirers.write("중지")
    assert len(enquirers.take().answers) < 9
    assert enquirers.summary()["subscribers"] == enquirers.summary("skt")["subscribers"] == 0
    stored = everything_stored(enquirers)
    assert kept.sealed not in stored
    assert kept.name.encode() not in stored
    live(enquirers, enquirers.office.document())
    assert enquirers.tell() == []


def test_subscription_ends_by_itself(enquirers: Any) -> None:
    """After thirty days nobody is told, and the row goes."""
    enquirers.ask("알림 부산")
    enquirers.office.clock.advance(30 * 86_400)
    live(enquirers, enquirers.office.document())
    assert enquirers.tell() == []
    with enquirers.store.transaction() as tx:
        enquirers.enquiries.sweep(tx, now=enquirers.office.clock.now())
        assert tx.last_subscription("kt") == 0


def test_newer_bulletin_ends_an_older_round(enquirers: Any) -> None:
    """Who was not told of the first is told of the second alone; withdrawn is told of, too."""
    enquirers.ask("알림 부산")
    office = enquirers.office
    live(enquirers, office.document())
    second = live(enquirers, office.later("progress", next_update="PT30M"))
    (reply,) = enquirers.tell()
    assert reply.bulletin_id == second.bulletin_id


def test_crash_while_subscribers_are_told_leaves_one_batch_in_doubt(enquirers: Any) -> None:
    """Nobody is told twice; the others go on."""
    office, clock = enquirers.office, enquirers.office.clock
    for index in range(3):
        enquirers.ask("알림 부산", source=phone(index))
    live(enquirers, office.document())
    with enquirers.store.transaction() as tx:
        names = enquirers.keys.of(clock.now())
        enquirers.subscribers.next_batch(tx, "kt", names, limit=2, now=clock.now())
    enquirers.restart()
    with enquirers.store.transaction() as tx:
        assert enquirers.subscribers.recover(tx, now=clock.now()) == 2
    assert [one.recipients for one in enquirers.tell()] == [(phone(2),)]
    with enquirers.store.read() as tx:
        one = tx.round("inc-1/1", "kt")
    assert (one.told, one.in_doubt, one.in_flight) == (1, 2, 0)


def test_crash_after_the_last_batch_is_written_down(enquirers: Any) -> None:
    """A round whose last batch is in doubt is over."""
    enquirers.ask("알림 부산")
    live(enquirers, enquirers.office.document())
    with enquirers.store.transaction() as tx:
        now = enquirers.office.clock.now()
        enquirers.subscribers.next_batch(tx, "kt", enquirers.keys.of(now), limit=9, now=now)
        enquirers.subscribers.recover(tx, now=now)
        events = [one.detail for one in tx.events("inc-1/1") if one.what == "subscribers-told"]
    assert events == [{"peer": "kt", "told": 0, "refused": 0, "in_doubt": 1}]


def test_subscribers_are_not_told_what_nobody_may_send(enquirers: Any) -> None:
    """Revoked, expired, or other words than the history's."""
    office = enquirers.office
    enquirers.ask("알림 부산")
    live(enquirers, office.document())
    office.gateway.keyring.revoke("bob")
    assert enquirers.tell() == []
    with enquirers.store.read() as tx:
        assert tx.open_rounds("kt") == ()


def test_subscribers_get_the_words_of_the_history_or_none(enquirers: Any) -> None:
    """Somebody who changes the database changes nothing that is told."""
    office = enquirers.office
    enquirers.ask("알림 부산")
    live(enquirers, office.document())
    connection = enquirers.store._connection
    connection.execute("DROP TRIGGER bulletin_is_immutable")
    connection.execute("UPDATE bulletin SET document = replace(document, '전국 KT', '전국 SKT')")
    assert enquirers.tell() == []


def test_number_of_another_key_is_refused_not_fatal(enquirers: Any) -> None:
    """After the file with the keys was lost, its subscribers cannot be told."""
    enquirers.ask("알림 부산")
    enquirers.office.gateway.settings.enquiries.keys_file.unlink()
    enquirers.restart()
    enquirers.ask("알림 부산", source=phone(2))
    live(enquirers, enquirers.office.document())
    (reply,) = enquirers.tell()
    assert reply.recipients == (phone(2),)
    with enquirers.store.read() as tx:
        assert tx.round("inc-1/1", "kt") == Round("inc-1/1", "kt", 2, 2, told=1, refused=1)


# Keys


def test_keys_of_askers_change_every_day_and_those_of_subscribers_last(enquirers: Any) -> None:
    """Yesterday's hashes tell nothing any more; a clock that goes back brings no key back."""
    clock = enquirers.office.clock
    today = enquirers.keys.of(clock.now())
    enquirers.restart()
    again = enquirers.keys.of(clock.now())
    tomorrow = enquirers.keys.of(clock.now() + timedelta(days=1))
    back = enquirers.keys.of(clock.now())

    assert today == again
    assert today.of_asker(phone(1)) == today.of_asker(f"+{phone(1)}")
    assert today.of_asker(phone(1)) != tomorrow.of_asker(phone(1))
    assert today.of_subscriber(phone(1)) == tomorrow.of_subscriber(phone(1))
    assert tomorrow.open(today.seal(phone(1))) == phone(1)
    assert back == tomorrow
    assert phone(1) not in repr(today)
    stored = enquirers.office.gateway.settings.enquiries.keys_file
    assert stored.stat().st_mode & 0o077 == 0
    with pytest.raises(KeyUnusableError):
        Pseudonyms(new_key(), new_key()).open(today.seal(phone(1)))
    with pytest.raises(KeyUnusableError):
        today.open(b"short")


@pytest.mark.parametrize("text", ["{", "[]", '{"day": "x", "day_key": "AA==", "key": "AA=="}'])
def test_keys_that_cannot_be_used_are_refused(enquirers: Any, text: str) -> None:
    """Cut, of another form, or for others to read."""
    path = enquirers.office.gateway.settings.enquiries.keys_file
    path.write_text(text)
    with pytest.raises(KeyUnusableError):
        enquirers.keys.of(enquirers.office.clock.now())


def test_keys_that_cannot_be_written_are_refused(enquirers: Any) -> None:
    """A folder stands where the file belongs."""
    enquirers.office.gateway.settings.enquiries.keys_file.with_suffix(".json.new").mkdir()
    with pytest.raises(KeyUnusableError):
        enquirers.keys.of(enquirers.office.clock.now())
