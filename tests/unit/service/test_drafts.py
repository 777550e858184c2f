"""Drafts, revisions, taking back, and what the same sender says twice."""

import json
from dataclasses import replace
from typing import Any

import pytest

from cbgateway.domain.bulletin import BulletinKind, BulletinState
from cbgateway.domain.delivery import Channel
from cbgateway.domain.errors import (
    DuplicateError,
    GatewayError,
    IdentifierReusedError,
    InputError,
    PermissionDeniedError,
    SamePersonError,
    SignatureInvalidError,
    StaleError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.people import Severity
from cbgateway.service import authority


def draft(office: Any, document: dict[str, Any] | None = None, *, by: str = "alice") -> str:
    """Have somebody keep a draft; gives its name."""
    octets = json.dumps(document or office.document()).encode()
    record = office.gateway.submit(octets, key=office.keys[by], as_draft=True)
    assert record.state is BulletinState.DRAFT
    return str(record.bulletin.bulletin_id)


def revise(
    office: Any, name: str, document: dict[str, Any], *, by: str = "alice", as_draft: bool = False
) -> Any:
    """Have somebody put another document in a bulletin's place."""
    octets = json.dumps(document).encode()
    return office.gateway.revise(name, octets, key=office.keys[by], as_draft=as_draft)


def another(office: Any, name: str = "inc-2", **changes: Any) -> dict[str, Any]:
    """Give a first bulletin about another outage."""
    document: dict[str, Any] = office.document(**changes)
    document["incident"]["id"] = name
    return document


def about(office: Any, name: str = "inc-1/1") -> list[tuple[str, str]]:
    """Give the history of a bulletin: what, and who."""
    with office.gateway.store.read() as tx:
        return [(event.what, event.actor) for event in tx.events(name)]


def test_draft_waits_for_nobody_and_goes_nowhere(office: Any) -> None:
    """Nobody can decide about a draft before it is submitted."""
    name = draft(office)

    with pytest.raises(WorkflowError, match="is draft"):
        office.approve(name)
    with pytest.raises(WorkflowError, match="is draft"):
        office.gateway.reject(name, reason="no", key=office.keys["bob"])
    assert about(office) == [("drafted", "alice")]


def test_draft_is_edited_and_submitted(office: Any) -> None:
    """The last document is what a second person decides about."""
    name = draft(office)
    kept = revise(office, name, office.document(texts={"ko": "둘째"}), as_draft=True)
    record = revise(office, name, office.document(texts={"ko": "셋째"}))

    assert (kept.state, record.state) == (BulletinState.DRAFT, BulletinState.PENDING)
    with office.gateway.store.read() as tx:
        assert tx.bulletin(name) == record
        assert len(tx.bulletins()) == 1
    assert record.bulletin.texts == {"ko": "셋째"}
    assert (record.bulletin.bulletin_id, record.bulletin.number) == ("inc-1/1", 1)
    assert office.approve(name).state is BulletinState.APPROVED
    assert about(office) == [
        ("drafted", "alice"),
        ("edited", "alice"),
        ("submitted", "alice"),
        ("approved", "bob"),
    ]


def test_same_revision_again_gives_the_first_answer(office: Any) -> None:
    """A repeated request changes nothing, and an identifier stays with its content."""
    name = draft(office)
    document = office.document()
    first = revise(office, name, document)

    assert revise(office, name, document) == first
    assert about(office) == [("drafted", "alice"), ("submitted", "alice")]
    with pytest.raises(IdentifierReusedError, match="inc-1/1"):
        revise(office, name, document | {"regions": ["KR-11"]})


def test_authors_accumulate_and_none_of_them_approves(office: Any) -> None:
    """Whoever had a hand in any version is no second person; somebody else still is."""
    for name in ("carol", "dave", "erin"):
        office.add(name, may_submit=True, may_approve=True)
    name = draft(office, office.document(sender="carol"), by="carol")
    revise(office, name, office.document(sender="dave"), by="dave", as_draft=True)
    revise(office, name, office.document(sender="carol"), by="carol", as_draft=True)
    record = revise(office, name, office.document())

    assert record.submission.hands == ("carol", "dave", "alice")
    assert record.submission.submitted_by == "alice"
    for author in ("carol", "dave"):
        with pytest.raises(SamePersonError, match=author):
            office.approve(name, by=author)
        with pytest.raises(SamePersonError, match=author):
            office.gateway.reject(name, reason="no", key=office.keys[author])
    assert office.approve(name, by="erin").state is BulletinState.APPROVED


def test_owner_of_a_machine_is_its_author(office: Any) -> None:
    """Who answers for a machine's key decides nothing that the machine wrote, nor does it."""
    office.add("carol", may_approve=True)
    office.add("monitor", may_submit=True, owner="carol")
    name = office.submit(office.document(sender="monitor"), by="monitor").bulletin.bulletin_id
    with office.gateway.store.transaction() as tx:
        tx.put_person(replace(tx.person("monitor"), may_approve=True))

    with pytest.raises(SamePersonError, match="carol"):
        office.approve(name, by="carol")
    with pytest.raises(SamePersonError, match="monitor"):
        office.approve(name, by="monitor")
    assert office.approve(name).state is BulletinState.APPROVED
    other = office.submit(office.later("progress")).bulletin.bulletin_id
    with pytest.raises(PermissionDeniedError, match="machine"):
        office.approve(other, by="monitor")


def test_returned_bulletin_is_mended_and_decided_anew(office: Any) -> None:
    """It is given back with a reason, revised, and its earlier decision does not count."""
    name = office.submit(office.document()).bulletin.bulletin_id
    returned = office.gateway.give_back(name, reason="say until when", key=office.keys["bob"])
    assert (returned.state, returned.decision.reason) == (BulletinState.RETURNED, "say until when")
    with pytest.raises(WorkflowError, match="is returned"):
        office.approve(name)
    kept = revise(office, name, office.document(texts={"ko": "둘째"}), as_draft=True)
    record = revise(office, name, office.document(texts={"ko": "셋째"}))

    assert (kept.state, record.state) == (BulletinState.RETURNED, BulletinState.PENDING)
    assert record.decision is None
    assert office.approve(name).decision.decided_by == "bob"
    assert [what for what, _ in about(office)] == [
        "submitted",
        "returned",
        "edited",
        "submitted",
        "approved",
    ]


def test_decision_needs_a_reason_and_something_to_decide(office: Any) -> None:
    """Nothing is given back without a word, and nothing twice."""
    name = office.submit(office.document()).bulletin.bulletin_id

    with pytest.raises(InputError, match="reason"):
        office.gateway.give_back(name, reason=" \n", key=office.keys["bob"])
    with pytest.raises(PermissionDeniedError, match="may not approve"):
        office.add("carol", may_submit=True)
        office.gateway.give_back(name, reason="no", key=office.keys["carol"])
    office.gateway.give_back(name, reason="no", key=office.keys["bob"])
    with pytest.raises(WorkflowError, match="returned"):
        office.gateway.give_back(name, reason="no", key=office.keys["bob"])


@pytest.mark.parametrize("state", ["pending", "approved", "rejected", "withdrawn"])
def test_only_drafts_and_returned_bulletins_are_changed(office: Any, state: str) -> None:
    """What waits for a decision, or has one, stays as it was looked at."""
    name = office.submit(office.document()).bulletin.bulletin_id
    if state == "approved":
        office.approve(name)
    elif state == "rejected":
        office.gateway.reject(name, reason="no", key=office.keys["bob"])
    elif state == "withdrawn":
        office.gateway.take_back(name, reason="no", key=office.keys["alice"])

    with pytest.raises(WorkflowError, match=f"{name} is {state}"):
        revise(office, name, office.document())


def test_revision_stays_with_its_incident_and_kind(office: Any) -> None:
    """Another outage, or another kind of bulletin, is another bulletin."""
    office.issue(office.document())
    office.issue(another(office, allow_duplicate=True))
    name = draft(office, office.later("progress"))

    for other in (office.later("progress", incident="inc-2"), office.later("heartbeat")):
        with pytest.raises(WorkflowError, match="stays with its incident and kind"):
            revise(office, name, other)
    with pytest.raises(UnknownNameError, match=r"inc-1/9.*inc-1/1"):
        revise(office, "inc-1/9", office.later("progress"))


def test_revision_references_what_went_out_before_it(office: Any) -> None:
    """Not what came after it, and not itself."""
    office.issue(office.document(identifier="one"))
    name = draft(office, office.later("progress", identifier="two"))

    record = revise(office, name, office.later("progress", identifier="three"))

    assert [one.identifier for one in record.bulletin.references] == ["one"]
    assert record.bulletin.number == 2


def test_edit_after_a_look_voids_the_approval(office: Any) -> None:
    """What was looked at is not what would go out now."""
    name = office.submit(office.document()).bulletin.bulletin_id
    prepared = office.gateway.prepare(name)
    office.gateway.give_back(name, reason="mend it", key=office.keys["bob"])
    revise(office, name, office.document(texts={"ko": "둘째"}))

    with pytest.raises(StaleError, match="look again"):
        office.gateway.approve(prepared, key=office.keys["bob"])


def test_superseded_draft_is_gone(office: Any) -> None:
    """When a later bulletin was approved, an older draft comes too late."""
    office.issue(office.document())
    name = draft(office, office.later("progress"))
    office.issue(office.later("eta_change"))

    with pytest.raises(WorkflowError, match="is superseded"):
        revise(office, name, office.later("progress"))


# Taking back


@pytest.mark.parametrize("state", ["draft", "pending", "returned"])
def test_author_takes_back_what_nobody_has_approved(office: Any, state: str) -> None:
    """It is withdrawn with a reason, and nobody can approve it any more."""
    name = (
        draft(office) if state == "draft" else office.submit(office.document()).bulletin.bulletin_id
    )
    if state == "returned":
        office.gateway.give_back(name, reason="no", key=office.keys["bob"])

    record = office.gateway.take_back(name, reason="it was a test", key=office.keys["alice"])

    assert record.state is BulletinState.WITHDRAWN
    with office.gateway.store.read() as tx:
        event = tx.events(name)[-1]
    assert (event.what, event.actor, event.detail) == (
        "taken-back",
        "alice",
        {"reason": "it was a test"},
    )
    with pytest.raises(WorkflowError, match="withdrawn"):
        office.approve(name)
    with pytest.raises(WorkflowError, match="withdrawn"):
        office.gateway.take_back(name, reason="again", key=office.keys["alice"])


def test_nobody_else_takes_it_back(office: Any) -> None:
    """Neither an approver nor an unknown name, nor an author who was revoked."""
    name = office.submit(office.document()).bulletin.bulletin_id

    with pytest.raises(PermissionDeniedError, match="'bob' is none of the authors"):
        office.gateway.take_back(name, reason="no", key=office.keys["bob"])
    with pytest.raises(UnknownNameError, match=r"inc-9/1.*inc-1/1"):
        office.gateway.take_back("inc-9/1", reason="no", key=office.keys["alice"])
    office.gateway.keyring.revoke("alice")
    with pytest.raises(PermissionDeniedError, match="revoked"):
        office.gateway.take_back(name, reason="no", key=office.keys["alice"])


def test_what_was_approved_needs_a_withdrawal(office: Any) -> None:
    """From then on it takes two people to stop it, too."""
    name = office.issue(office.document()).bulletin.bulletin_id

    with pytest.raises(WorkflowError, match="kind withdrawal"):
        office.gateway.take_back(name, reason="no", key=office.keys["alice"])
    office.send()
    with pytest.raises(WorkflowError, match="is live.*kind withdrawal"):
        office.gateway.take_back(name, reason="no", key=office.keys["alice"])


# Saying it twice


def test_same_words_to_the_same_regions_are_refused(office: Any) -> None:
    """Within ten minutes, with the bulletin that said it and the way to say it all the same."""
    office.submit(office.document())
    office.clock.advance(600)

    with pytest.raises(DuplicateError, match=r'inc-1/1 at .*; add "allow_duplicate": true'):
        office.submit(another(office))
    with office.gateway.store.read() as tx:
        assert tx.incident("inc-2") is None
    record = office.submit(another(office, allow_duplicate=True))
    assert record.submission.warnings == ("repeats inc-1/1 on purpose",)


def test_guard_ends_after_ten_minutes(office: Any) -> None:
    """The next outage in the same place may well have the same words."""
    office.submit(office.document())
    office.clock.advance(601)

    assert office.submit(another(office)).submission.warnings == ()


def test_similar_words_are_warned_of(office: Any) -> None:
    """One that was corrected by a letter is let through, and the approver is told."""
    office.submit(office.document())
    text = office.document()["texts"]["ko"].replace("12:00", "12:30")

    alike = office.submit(another(office, texts={"ko": text}))
    other = office.submit(another(office, "inc-3", texts={"ko": "복구되었습니다"}))

    assert alike.submission.warnings == ("its text is much like that of inc-1/1",)
    assert other.submission.warnings == ()


def test_same_words_elsewhere_are_warned_of(office: Any) -> None:
    """Another region is another audience."""
    office.submit(office.document())

    record = office.submit(another(office, regions=["KR-11"]))

    assert record.submission.warnings == ("its text is much like that of inc-1/1",)


def test_another_sender_is_never_held_up(office: Any) -> None:
    """Two people who see the same outage do not block each other."""
    office.add("carol", may_submit=True)
    office.submit(office.document())

    record = office.submit(another(office, sender="carol"), by="carol")

    assert (record.state, record.submission.warnings) == (BulletinState.PENDING, ())


@pytest.mark.parametrize("kind", ["progress", "correction", "withdrawal"])
def test_updates_and_withdrawals_are_never_held_up(office: Any, kind: str) -> None:
    """Saying again that it goes on is what updates are for."""
    office.issue(office.document())
    if kind != "withdrawal":
        office.issue(office.later(kind))

    assert office.submit(office.later(kind)).submission.warnings == ()


@pytest.mark.parametrize("end", ["draft", "rejected", "withdrawn"])
def test_what_nobody_was_told_does_not_count(office: Any, end: str) -> None:
    """A draft, and one that was turned down or taken back, may be said anew."""
    if end == "draft":
        draft(office)
    else:
        name = office.submit(office.document()).bulletin.bulletin_id
        if end == "rejected":
            office.gateway.reject(name, reason="no", key=office.keys["bob"])
        else:
            office.gateway.take_back(name, reason="no", key=office.keys["alice"])

    assert office.submit(another(office)).submission.warnings == ()


def test_revision_is_guarded_against_others_and_not_against_itself(office: Any) -> None:
    """A returned bulletin keeps its words; a draft may not repeat what another one says."""
    name = office.submit(office.document()).bulletin.bulletin_id
    office.gateway.give_back(name, reason="other area", key=office.keys["bob"])
    assert revise(office, name, office.document()).submission.warnings == ()
    other = draft(office, another(office, texts={"ko": "복구되었습니다"}))

    with pytest.raises(DuplicateError, match="inc-1/1"):
        revise(office, other, another(office))


# What somebody may

LIMITS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"regions": ("KR-11", "KR-49")}, {}, "may address KR-11, KR-49, not region KR-26"),
    ({"regions": ("KR-26",)}, {"regions": ["KR"]}, "not region KR"),
    ({"classes": ("emergency",)}, {}, "may use class emergency, not 'safety'"),
    ({"channels": (Channel.SMS,)}, {}, "may not use channel broadcast"),
    ({"channels": (Channel.BROADCAST,)}, {}, "may not use channel sms"),
    (
        {"severity_max": Severity.MODERATE},
        {"class": "emergency", "texts": {"ko": "장애"}},
        "may go up to Moderate; this is Severe",
    ),
    ({"kinds": (BulletinKind.HEARTBEAT,)}, {}, "may issue heartbeat, not first"),
]


@pytest.mark.parametrize(("permission", "changes", "message"), LIMITS)
def test_permission_is_one_whole_for_authors(
    office: Any, permission: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    """Each limit refuses by name, and stores nothing."""
    office.add("carol", may_submit=True, **permission)

    with pytest.raises(PermissionDeniedError, match=message):
        office.submit(office.document(sender="carol", **changes), by="carol")
    with office.gateway.store.read() as tx:
        assert tx.bulletins() == ()


@pytest.mark.parametrize(("permission", "changes", "message"), LIMITS)
def test_permission_is_one_whole_for_approvers(
    office: Any, permission: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    """The same limits hold for whoever decides, to approve and to turn down."""
    office.add("carol", may_approve=True, **permission)
    name = office.submit(office.document(**changes)).bulletin.bulletin_id

    with pytest.raises(PermissionDeniedError, match=message):
        office.approve(name, by="carol")
    with pytest.raises(PermissionDeniedError, match=message):
        office.gateway.reject(name, reason="no", key=office.keys["carol"])
    assert office.approve(name).state is BulletinState.APPROVED


def test_revoked_people_decide_nothing(office: Any) -> None:
    """Neither approvers nor authors count once their permissions were taken back."""
    name = office.submit(office.document()).bulletin.bulletin_id
    office.add("carol", may_approve=True)
    office.gateway.keyring.revoke("carol")
    with pytest.raises(PermissionDeniedError, match="revoked"):
        office.approve(name, by="carol")
    office.gateway.keyring.revoke("alice")

    with pytest.raises(SignatureInvalidError, match="inc-1/1 was submitted with was revoked"):
        office.approve(name)
    with pytest.raises(PermissionDeniedError, match="revoked"):
        office.submit(another(office))
    rejected = office.gateway.reject(name, reason="alice is revoked", key=office.keys["bob"])
    assert rejected.state is BulletinState.REJECTED


def test_bulletin_of_a_revoked_author_retires_nothing(office: Any) -> None:
    """It could not go out, so what is on air is not given up for it."""
    office.issue(office.document())
    office.add("carol", may_submit=True)
    name = office.submit(office.later("progress", sender="carol"), by="carol").bulletin.bulletin_id
    office.gateway.keyring.revoke("carol")

    with pytest.raises(SignatureInvalidError):
        office.approve(name)
    with office.gateway.store.read() as tx:
        assert tx.bulletin("inc-1/1").state is BulletinState.APPROVED


@pytest.mark.parametrize(
    ("statement", "error", "message"),
    [
        ("DELETE FROM person WHERE name = 'bob'", SignatureInvalidError, "nobody with key"),
        ("DELETE FROM person WHERE name = 'alice'", SignatureInvalidError, "'alice', who is not"),
    ],
)
def test_somebody_who_vanished_from_the_database_counts_for_nothing(
    office: Any, statement: str, error: type[GatewayError], message: str
) -> None:
    """People are revoked and never removed; a database where one is missing approves nothing."""
    name = office.submit(office.document()).bulletin.bulletin_id
    connection = office.gateway.store._connection
    connection.pragma("foreign_keys", False)
    connection.execute(statement)

    with pytest.raises(error, match=message):
        office.approve(name)


def test_use_names_every_way_a_class_takes(office: Any) -> None:
    """Classes that go out by short message need that channel; the highest one does not."""
    deployment = office.gateway.deployment

    safety = authority.use_of(deployment, "safety", BulletinKind.FIRST)
    critical = authority.use_of(deployment, "critical", BulletinKind.FIRST)

    assert (safety.channels, safety.severity) == (frozenset(Channel), Severity.MODERATE)
    assert (critical.channels, critical.severity) == (
        frozenset({Channel.BROADCAST}),
        Severity.EXTREME,
    )
