"""Approval: a second person, the same plan, budgets, serial numbers, and one commit."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cbgateway.domain.broadcast import GeographicalScope, SerialNumber
from cbgateway.domain.bulletin import BulletinState, Mode
from cbgateway.domain.delivery import Channel
from cbgateway.domain.errors import (
    BudgetExhaustedError,
    ConfirmationError,
    ExpiredError,
    InputError,
    PermissionDeniedError,
    SamePersonError,
    SerialsExhaustedError,
    SignatureInvalidError,
    StaleError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.incident import IncidentState
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import Stop, Submit, WriteReplace, decode_order
from cbgateway.service import approval
from cbgateway.service.planning import CHUNK_RECIPIENTS_MAX
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.keys import SigningKey
from cbgateway.signing.seal import check_seal, open_seal


def deliveries_of(office: Any, bulletin_id: str | None = None) -> tuple[Any, ...]:
    """Give the outbox rows."""
    with office.gateway.store.read() as tx:
        return tx.deliveries(bulletin_id)


def test_approval_commits_everything_at_once(office: Any) -> None:
    """After an approval there are sealed orders for every carrier and language, all READY."""
    record = office.issue(office.document())

    rows = deliveries_of(office)
    with office.gateway.store.read() as tx:
        keys = tx.region_keys()
        assert tx.plan("inc-1/1") is not None
        assert [event.what for event in tx.events("inc-1/1")] == ["submitted", "approved"]
    assert record.state is BulletinState.APPROVED
    assert {(row.lineage.peer_id, row.language) for row in rows} == {
        (carrier, language) for carrier in ("kt", "skt", "lguplus") for language in ("ko", "en")
    }
    assert {row.state for row in rows} == {DeliveryState.READY}
    for row in rows:
        check_seal(decode_order(row.order), open_seal(row.seal, keys))


def test_languages_have_channels_of_their_own(office: Any) -> None:
    """Korean goes out on 4372, English on its twin 4385; both begin with update number 0."""
    office.issue(office.document())

    found = {
        row.language: (row.lineage.message_identifier, row.serial_number.update_number)
        for row in deliveries_of(office)
    }

    assert found == {"ko": (4372, 0), "en": (4385, 0)}


def test_exercise_goes_out_on_its_own_channel(make_office: Any) -> None:
    """No class's live message identifier is used, whatever class the exercise plays."""
    office = make_office(mode=Mode.EXERCISE, name="exercise")
    office.issue(office.document(**{"class": "critical"}))

    found = {row.lineage.message_identifier for row in deliveries_of(office)}

    assert found == {4381, 4394}


def test_update_keeps_the_code_and_raises_the_number(office: Any) -> None:
    """Every version of a message has one message code and its own update number."""
    office.issue(office.document())
    office.issue(office.later("progress"))
    office.issue(office.later("eta_change"))

    serials = [
        row.serial_number
        for row in deliveries_of(office)
        if row.lineage.peer_id == "kt" and row.language == "ko"
    ]

    assert len({serial.message_code for serial in serials}) == 1
    assert [serial.update_number for serial in serials] == [0, 1, 2]


def test_seventeenth_version_takes_a_new_code_and_stops_the_old(office: Any) -> None:
    """After update number 15 a new message begins, and the old one leaves the air."""
    office.issue(office.document(**{"class": "critical"}))
    for _ in range(15):
        office.issue(office.later("progress", **{"class": "critical"}))
    last = office.issue(office.later("progress", **{"class": "critical"}))

    rows = [
        row
        for row in deliveries_of(office, last.bulletin.bulletin_id)
        if row.lineage.peer_id == "kt" and row.language == "ko"
    ]
    orders = [decode_order(row.order) for row in rows]

    assert isinstance(orders[0], Stop)
    assert isinstance(orders[1], WriteReplace)
    assert orders[1].broadcast.serial_number.update_number == 0
    assert orders[1].broadcast.serial_number.message_code == orders[0].message_code + 1


def test_two_incidents_never_share_a_serial_number(office: Any) -> None:
    """The next incident takes the next message code."""
    other = {
        "id": "inc-2",
        "carrier": "skt",
        "services": ["voice"],
        "started_at": "2021-10-25T11:16:00+09:00",
    }
    office.issue(office.document())
    office.issue(office.document(incident=other, allow_duplicate=True))

    codes = {
        row.bulletin_id: row.serial_number.message_code
        for row in deliveries_of(office)
        if row.language == "ko"
    }

    assert codes["inc-2/1"] == codes["inc-1/1"] + 1


def test_message_codes_run_out_rather_than_repeat(office: Any) -> None:
    """A code used within the phones' memory is not given out again."""
    office.issue(office.document())
    with office.gateway.store.transaction() as tx:
        for code in range(1024):
            serial = SerialNumber(GeographicalScope.PLMN, code, 0)
            tx.put_serial_number("inc-1", 4372, serial, at=office.clock.now())
    other = {
        "id": "inc-2",
        "carrier": "skt",
        "services": ["voice"],
        "started_at": "2021-10-25T11:16:00+09:00",
    }
    record = office.submit(
        office.document(incident=other, expires="PT24H", next_update="PT1H", allow_duplicate=True)
    )

    with pytest.raises(SerialsExhaustedError, match="4372"):
        office.approve(record.bulletin.bulletin_id)
    office.clock.advance(25 * 3600 + 1)
    later = office.submit(
        office.document(incident=other | {"id": "inc-3"}, expires="PT24H", next_update="PT1H")
    )
    assert office.approve(later.bulletin.bulletin_id).state is BulletinState.APPROVED


def test_short_messages_are_cut_into_chunks(office: Any) -> None:
    """Recipients inside the region go into chunks of a bounded size, in their own language."""
    lines = ["number,region,language"]
    lines += [f"82101{n:07d},KR-26,ko" for n in range(CHUNK_RECIPIENTS_MAX + 1)]
    lines += ["821020000001,KR-26,en", "821020000002,KR-11,ko"]
    office.gateway.import_recipients("kt", "\n".join(lines).encode())

    office.issue(office.document())

    orders = [
        decode_order(row.order)
        for row in deliveries_of(office)
        if row.lineage.channel is Channel.SMS
    ]
    assert all(isinstance(order, Submit) for order in orders)
    assert [(order.language, len(order.recipients)) for order in orders] == [
        ("ko", CHUNK_RECIPIENTS_MAX),
        ("ko", 1),
        ("en", 1),
    ]


def test_newer_bulletin_supersedes_what_has_not_left(office: Any) -> None:
    """What is still READY of an older bulletin never leaves."""
    office.issue(office.document())
    office.issue(office.later("progress"))

    assert {row.state for row in deliveries_of(office, "inc-1/1")} == {DeliveryState.SUPERSEDED}
    assert {row.state for row in deliveries_of(office, "inc-1/2")} == {DeliveryState.READY}
    with office.gateway.store.read() as tx:
        assert tx.bulletin("inc-1/1").state is BulletinState.SUPERSEDED


def test_incident_follows_its_bulletins(office: Any) -> None:
    """Progress identifies, an all-clear restores."""
    states = []
    for document in (office.document(), office.later("progress"), office.later("restored")):
        office.issue(document)
        with office.gateway.store.read() as tx:
            states.append(tx.incident("inc-1").state)

    assert states == [
        IncidentState.INVESTIGATING,
        IncidentState.IDENTIFIED,
        IncidentState.RESTORED,
    ]


def test_withdrawal_stops_what_is_on_air(office: Any) -> None:
    """A withdrawal has a stop order for every broadcast, and nothing else."""
    office.issue(office.document())
    record = office.issue(office.later("withdrawal"))

    rows = deliveries_of(office, record.bulletin.bulletin_id)

    assert len(rows) == 6
    assert all(isinstance(decode_order(row.order), Stop) for row in rows)


def test_area_that_shrinks_is_stopped_where_it_was(office: Any) -> None:
    """A region that the newer bulletin leaves out gets a stop order."""
    office.issue(office.document(regions=["KR-26", "KR-11"]))
    office.issue(office.later("progress", regions=["KR-26"]))

    rows = deliveries_of(office, "inc-1/2")

    assert {row.lineage.region for row in rows if row.is_stop} == {"KR-11"}
    assert {row.lineage.region for row in rows if not row.is_stop} == {"KR-26"}


def test_author_cannot_approve(office: Any) -> None:
    """It takes a second person, and nothing is sent otherwise."""
    record = office.submit(office.document())

    with pytest.raises(SamePersonError, match="alice"):
        office.approve(record.bulletin.bulletin_id, by="alice")
    assert deliveries_of(office) == ()


def test_two_people_never_share_a_key(office: Any) -> None:
    """A key cannot be registered under two names: they would be one person."""
    with office.gateway.store.read() as tx:
        (key,) = tx.person_keys("alice")

    with pytest.raises(Exception, match="UNIQUE"), office.gateway.store.transaction() as tx:
        tx.put_person(replace(tx.person("alice"), name="alias"))
        tx.put_person_key(replace(key, key_id="other", holder="alias"))


def test_approver_needs_permission_for_region_and_class(office: Any) -> None:
    """An approver for Jeju approves nothing for Busan; a submitter approves nothing at all."""
    record = office.submit(office.document())
    office.add("jeju", may_approve=True, regions=("KR-49",))
    office.add("writer", may_submit=True)

    with pytest.raises(PermissionDeniedError, match="KR-26"):
        office.approve(record.bulletin.bulletin_id, by="jeju")
    with pytest.raises(PermissionDeniedError, match="may not approve"):
        office.approve(record.bulletin.bulletin_id, by="writer")


def test_approval_of_another_plan_is_stale(office: Any) -> None:
    """What goes out is what the approver saw: a new recipient in between voids the approval."""
    record = office.submit(office.document())
    prepared = office.gateway.prepare(record.bulletin.bulletin_id)
    office.gateway.import_recipients("kt", b"number,region,language\n821012345678,KR-26,ko\n")

    with pytest.raises(StaleError, match="changed"):
        office.gateway.approve(prepared, key=office.keys["bob"])
    assert deliveries_of(office) == ()


def test_edited_bulletin_cannot_be_approved(office: Any) -> None:
    """A text changed in the database after submission is not what was signed and looked at."""
    record = office.submit(office.document())
    prepared = office.gateway.prepare(record.bulletin.bulletin_id)
    with office.gateway.store.transaction() as tx:
        tx._connection.execute("DROP TRIGGER bulletin_is_immutable")
        tx._connection.execute("UPDATE bulletin SET document = replace(document, '장애', '정상')")

    with pytest.raises(StaleError):
        office.gateway.approve(prepared, key=office.keys["bob"])


def approve_by_hand(
    office: Any, prepared: Any, signature: str | None = None, **changes: Any
) -> Any:
    """Approve below `Gateway`, with what a program of one's own could send."""
    gateway, now = office.gateway, office.clock.now()
    given = {"at": now, "confirmation": "", "seal_keys": gateway.keyring.seal_keys(("KR-26",))}
    given |= changes
    document = approval.approval_document(
        prepared.record.bulletin.bulletin_id,
        prepared.plan.hash(),
        at=given["at"],
        confirmation=given["confirmation"],
    )
    signature = signature or sign_detached(
        canonical(document), office.keys["bob"], content=approval.DECISION
    )
    with gateway.store.transaction() as tx:
        return approval.approve(
            tx,
            gateway.deployment,
            gateway.marks,
            prepared,
            approval.Approval(given["at"], given["confirmation"], signature),
            seal_keys=given["seal_keys"],
            now=now,
        )


def test_forged_approval_is_refused(office: Any) -> None:
    """A signature over another plan, or by an unknown key, approves nothing."""
    record = office.submit(office.document())
    prepared = office.gateway.prepare(record.bulletin.bulletin_id)
    unknown = sign_detached(b"{}", SigningKey.generate(), content=approval.DECISION)
    other = sign_detached(b"{}", office.keys["bob"], content=approval.DECISION)

    for signature in (unknown, other, "nonsense"):
        with pytest.raises(SignatureInvalidError):
            approve_by_hand(office, prepared, signature)
    assert deliveries_of(office) == ()


def test_missing_sealing_key_refuses_the_approval(office: Any) -> None:
    """Without the region's key nothing is committed."""
    record = office.submit(office.document())
    prepared = office.gateway.prepare(record.bulletin.bulletin_id)

    with pytest.raises(SignatureInvalidError, match="no sealing key for region KR-26"):
        approve_by_hand(office, prepared, seal_keys={})
    assert deliveries_of(office) == ()


@pytest.mark.parametrize("age_s", [-6, 901])
def test_approval_counts_for_a_quarter_of_an_hour(office: Any, age_s: float) -> None:
    """One that was signed long ago, or will be, commits nothing."""
    record = office.submit(office.document(next_update="PT1H"))
    prepared = office.gateway.prepare(record.bulletin.bulletin_id)
    office.clock.advance(3600 - 900)
    office.gateway.keyring.rotate_person("bob", overlap=timedelta(days=1))

    with pytest.raises(ExpiredError, match="900 s"):
        approve_by_hand(office, prepared, at=office.clock.now() - timedelta(seconds=age_s))
    assert approve_by_hand(office, prepared).state is BulletinState.APPROVED


def test_wide_area_has_to_be_typed(office: Any) -> None:
    """From nine provinces on the approver types mode and number; the signature covers it."""
    record = office.submit(office.document(regions=["KR"]))
    prepared = office.gateway.prepare(record.bulletin.bulletin_id)

    assert prepared.confirmation == "test 17 regions"
    for typed in ("", "live 17 regions", "yes"):
        with pytest.raises(ConfirmationError, match="'test 17 regions'"):
            office.gateway.approve(prepared, key=office.keys["bob"], confirmation=typed)
    office.gateway.approve(prepared, key=office.keys["bob"], confirmation="test 17 regions")
    eight = ["KR-11", "KR-26", "KR-27", "KR-28", "KR-29", "KR-30", "KR-31", "KR-41"]
    narrow = office.submit(office.later("progress", regions=eight))
    assert office.gateway.prepare(narrow.bulletin.bulletin_id).confirmation == ""


def use_up(office: Any, *, sender: str = "alice") -> None:
    """Have one sender issue and send four bulletins for Busan: its half of the budget."""
    document = office.document(sender=sender)
    incident = document["incident"] | {"id": f"inc-{sender}"}
    for number in range(4):
        document = (
            office.document(sender=sender, incident=incident)
            if not number
            else office.later("progress", sender=sender, incident=f"inc-{sender}")
        )
        record = office.submit(document, by=sender)
        office.approve(record.bulletin.bulletin_id)
        office.send()


def test_budget_of_a_sender_runs_out_and_says_when_it_refills(office: Any) -> None:
    """A sender may use half of eight an hour; the fifth waits for a quarter of an hour."""
    use_up(office)
    fifth = office.submit(office.later("progress", incident="inc-alice")).bulletin.bulletin_id

    with pytest.raises(BudgetExhaustedError, match="KR-26.*'alice'.*possible again in 900 s"):
        office.approve(fifth)
    assert deliveries_of(office, fifth) == ()
    office.clock.advance(900)
    assert office.approve(fifth).state is BulletinState.APPROVED


def test_the_end_is_told_from_a_reserve(office: Any) -> None:
    """Whoever has said all that they may can still say that it works again, as often at most."""
    use_up(office)
    with pytest.raises(BudgetExhaustedError):
        office.issue(office.later("progress", incident="inc-alice"))

    for number in range(4):
        texts = {"ko": f"복구 완료 {number}"}
        office.issue(office.later("restored", incident="inc-alice", texts=texts))
        office.send()
    with pytest.raises(BudgetExhaustedError, match="'safety' for 'alice'"):
        office.issue(office.later("restored", incident="inc-alice"))


def test_half_of_the_budget_is_left_to_others(office: Any) -> None:
    """One key that runs wild leaves room for everybody else, who together use up the rest."""
    office.add("carol", may_submit=True)
    office.add("dave", may_submit=True)
    use_up(office)
    use_up(office, sender="carol")
    last = office.submit(
        office.later("progress", sender="dave", incident="inc-carol"), by="dave"
    ).bulletin.bulletin_id

    with pytest.raises(BudgetExhaustedError, match="KR-26.*'safety'; it is possible"):
        office.approve(last)


def test_lower_class_does_not_draw_on_a_higher_one(office: Any) -> None:
    """Each class has its own budget."""
    use_up(office)
    emergency = office.later("progress", incident="inc-alice", **{"class": "emergency"})

    assert office.issue(emergency).state is BulletinState.APPROVED


def test_budget_is_spent_when_it_leaves(office: Any) -> None:
    """What was superseded before it left cost nothing, and what waits counts as spent."""
    office.issue(office.document())
    for _ in range(6):
        office.issue(office.later("progress"))
    other = office.document()["incident"]
    for number in range(3):
        office.issue(
            office.document(incident=other | {"id": f"more-{number}"}, allow_duplicate=True)
        )

    with pytest.raises(BudgetExhaustedError):
        office.issue(office.document(incident=other | {"id": "over"}, allow_duplicate=True))


def test_budget_is_per_region(office: Any) -> None:
    """Busan's empty budget takes nothing from Jeju, and stops the whole country."""
    use_up(office)
    jeju = office.submit(
        office.later("progress", incident="inc-alice", regions=["KR-49"])
    ).bulletin.bulletin_id
    country = office.submit(
        office.later("progress", incident="inc-alice", regions=["KR"])
    ).bulletin.bulletin_id

    assert office.approve(jeju).state is BulletinState.APPROVED
    with pytest.raises(BudgetExhaustedError, match="KR-26"):
        office.approve(country)


@pytest.mark.parametrize("kind", ["correction", "withdrawal"])
def test_corrections_need_no_budget(office: Any, kind: str) -> None:
    """A mistake can always be put right."""
    use_up(office)

    assert office.issue(office.later(kind, incident="inc-alice")).state is BulletinState.APPROVED


def test_older_bulletin_cannot_follow_a_newer_one(office: Any) -> None:
    """Bulletins of one incident go out in order; one that was passed over is superseded."""
    office.issue(office.document())
    older = office.submit(office.later("progress")).bulletin.bulletin_id
    office.issue(office.later("eta_change"))

    with pytest.raises(WorkflowError, match="superseded"):
        office.approve(older)


def test_expired_bulletin_cannot_be_approved(office: Any) -> None:
    """An approval that comes too late sends nothing."""
    record = office.submit(office.document(expires="PT1H"))
    office.clock.advance(3600)

    with pytest.raises(ExpiredError, match="submit it again"):
        office.approve(record.bulletin.bulletin_id)


def test_decision_is_final(office: Any) -> None:
    """What was approved or rejected cannot be decided again."""
    first = office.issue(office.document()).bulletin.bulletin_id
    second = office.submit(office.later("progress")).bulletin.bulletin_id
    rejected = office.gateway.reject(second, reason="wrong time", key=office.keys["bob"])

    assert rejected.decision.reason == "wrong time"
    with pytest.raises(WorkflowError, match="approved"):
        office.approve(first)
    with pytest.raises(WorkflowError, match="rejected"):
        office.approve(second)
    with pytest.raises(WorkflowError, match="rejected"):
        office.gateway.reject(second, reason="again", key=office.keys["bob"])


def test_rejection_needs_a_reason_and_a_second_person(office: Any) -> None:
    """Nobody is turned down without a word, or by themselves."""
    record = office.submit(office.document())

    with pytest.raises(InputError, match="reason"):
        office.gateway.reject(record.bulletin.bulletin_id, reason=" ", key=office.keys["bob"])
    with pytest.raises(SamePersonError):
        office.gateway.reject(record.bulletin.bulletin_id, reason="no", key=office.keys["alice"])


def test_unknown_bulletin_is_named(office: Any) -> None:
    """A wrong name is answered with those that exist."""
    office.submit(office.document())

    with pytest.raises(UnknownNameError, match="inc-7/1.*inc-1/1"):
        office.gateway.prepare("inc-7/1")
