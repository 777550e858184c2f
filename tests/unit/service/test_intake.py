"""Intake: who signed, what they may, and every rule that refuses a bulletin by name."""

from typing import Any

import pytest

from cbgateway.domain.bulletin import BulletinKind, BulletinState
from cbgateway.domain.errors import (
    ExpiredError,
    GatewayError,
    IdentifierReusedError,
    InputError,
    ModeMismatchError,
    NotBroadcastableError,
    PermissionDeniedError,
    SignatureInvalidError,
    TextTooLongError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.signing.keys import SigningKey


def test_first_bulletin_opens_its_incident_and_waits(office: Any) -> None:
    """A sound first bulletin is number 1, pending, and nothing is in the outbox."""
    record = office.submit(office.document())

    assert record.bulletin.bulletin_id == "inc-1/1"
    assert record.state is BulletinState.PENDING
    with office.gateway.store.read() as tx:
        assert tx.incident("inc-1").carrier == "kt"
        assert tx.deliveries() == ()


def test_same_document_gives_same_answer(office: Any) -> None:
    """A repeated submission is the first one again, with one bulletin stored."""
    document = office.document()

    first, again = office.submit(document), office.submit(document)

    assert first == again
    with office.gateway.store.read() as tx:
        assert len(tx.bulletins()) == 1


def test_identifier_names_one_content_for_ever(office: Any) -> None:
    """Other content under a used identifier is refused."""
    document = office.document()
    office.submit(document)

    with pytest.raises(IdentifierReusedError, match="inc-1/1"):
        office.submit(document | {"regions": ["KR-11"]})


def test_references_name_what_went_out_before(office: Any) -> None:
    """An update references every earlier bulletin that was approved, and no rejected one."""
    office.issue(office.document(identifier="one"))
    rejected = office.submit(office.later("progress", identifier="two"))
    office.gateway.reject(rejected.bulletin.bulletin_id, reason="not yet", key=office.keys["bob"])

    record = office.submit(office.later("progress", identifier="three"))

    assert [one.identifier for one in record.bulletin.references] == ["one"]
    assert record.bulletin.number == 3


def test_regions_inside_another_are_dropped(office: Any) -> None:
    """The whole country and one of its provinces are the whole country."""
    record = office.submit(office.document(regions=["KR-11", "KR", "KR-11"]))

    assert record.bulletin.regions == ("KR",)


def test_template_is_filled_for_the_class(office: Any) -> None:
    """A template gives the longest wording that the class allows, in each language."""
    slots = {
        "authority": "msit",
        "carrier": "kt",
        "services": "mobile",
        "cause": "checking",
        "area": {"ko": "부산", "en": "Busan"},
        "since": "11:16",
        "next": "12:00",
    }
    template = {"name": "first", "slots": slots}

    safety = office.submit(office.document(texts=None, template=template))
    short = office.submit(
        office.document(
            texts=None,
            template=template,
            incident={
                "id": "inc-2",
                "carrier": "kt",
                "services": ["voice"],
                "started_at": "2021-10-25T11:16:00+09:00",
            },
            **{"class": "emergency"},
        )
    )

    assert "타사 휴대폰" in safety.bulletin.texts["ko"]
    assert "타사 휴대폰" not in short.bulletin.texts["ko"]
    assert all(len(text) <= 90 for text in short.bulletin.texts.values())


def test_restored_bulletin_stands_for_a_short_time(office: Any) -> None:
    """Without an expiry of its own, an all-clear ends after the country's half hour."""
    office.issue(office.document())

    record = office.submit(office.later("restored"))

    assert (record.bulletin.expires - record.bulletin.sent).total_seconds() == 1800
    assert record.bulletin.kind is BulletinKind.RESTORED


def test_decomposed_hangul_is_composed(office: Any) -> None:
    """A text in NFD becomes NFC, so that it counts and shows as people see it."""
    decomposed = "가나다"

    record = office.submit(office.document(texts={"ko": decomposed}))

    assert record.bulletin.texts["ko"] == "가나다"


REFUSALS = [
    ({"texts": {"ko": "가" * 158}}, TextTooLongError, "158 characters.*'safety' allows 157"),
    ({"texts": {"ko": "가" * 91}, "class": "emergency"}, TextTooLongError, "'emergency' allows 90"),
    ({"texts": {"ko": "장애", "en": "장애"}}, NotBroadcastableError, "'en'.*U\\+C7A5.*position 0"),
    ({"texts": {"ko": "장애\r"}}, NotBroadcastableError, "plain text"),
    ({"texts": {"ko": "장애\x1b[2J"}}, NotBroadcastableError, "U\\+001B.*position 2"),
    ({"texts": {"ko": "장\u200b애"}}, NotBroadcastableError, "U\\+200B"),
    ({"texts": {"ko": "\u202e장애"}}, NotBroadcastableError, "U\\+202E"),
    ({"texts": {"ko": "장\u2028애"}}, NotBroadcastableError, "U\\+2028"),
    ({"texts": {"ko": "\u3164\u3164"}}, NotBroadcastableError, "U\\+3164"),
    ({"texts": {"en": "outage"}}, InputError, "texts.ko"),
    ({"texts": {"ko": " "}}, InputError, "texts.ko"),
    ({"texts": {"ko": "장애", "fr": "panne"}}, UnknownNameError, "language 'fr'.*ko, en"),
    ({"texts": None}, InputError, "texts"),
    ({"regions": ["KR-99"]}, UnknownNameError, "region 'KR-99'.*KR-26"),
    ({"regions": []}, InputError, "regions"),
    ({"class": "amber"}, UnknownNameError, "alert class 'amber'.*safety"),
    ({"expires": "2021-10-25T11:59:59+09:00"}, ExpiredError, "has passed"),
    ({"expires": "P2D"}, ExpiredError, "at most"),
    ({"next_update": None}, InputError, "next_update"),
    ({"next_update": "PT30H"}, ExpiredError, "next_update"),
    ({"expires": "P999999999D"}, ExpiredError, "expires: no calendar"),
    ({"next_update": "-P999999999D"}, ExpiredError, "next_update: no calendar"),
    ({"mode": "live"}, ModeMismatchError, "mode live"),
    ({"kind": "progress"}, WorkflowError, "not known"),
    ({"incident": "inc-1"}, InputError, "describes"),
    ({"template": {"name": "none"}, "texts": None}, UnknownNameError, "template 'none'.*first"),
]


@pytest.mark.parametrize(("changes", "error", "message"), REFUSALS)
def test_bad_bulletin_is_refused_by_name(
    office: Any, changes: dict[str, Any], error: type[GatewayError], message: str
) -> None:
    """Each fault has its error, which says what to mend; nothing is stored."""
    with office.gateway.store.read() as tx:
        before = tx.events()
    with pytest.raises(error, match=message):
        office.submit(office.document(**changes))

    with office.gateway.store.read() as tx:
        assert tx.bulletins() == ()
        assert tx.incidents() == ()
        assert tx.events() == before


def test_long_all_clear_is_refused(office: Any) -> None:
    """A restored bulletin may not stand for hours."""
    office.issue(office.document())

    with pytest.raises(ExpiredError, match="restored bulletin may stand for 1800 s"):
        office.submit(office.later("restored", expires="PT2H"))


def test_second_first_bulletin_is_refused(office: Any) -> None:
    """An incident is opened once."""
    office.submit(office.document())

    with pytest.raises(WorkflowError, match="is there already"):
        office.submit(office.document())


def test_unknown_carrier_is_refused(office: Any) -> None:
    """An incident belongs to a carrier that the gateway knows."""
    incident = {
        "id": "inc-9",
        "carrier": "nobody",
        "services": ["voice"],
        "started_at": "2021-10-25T11:16:00+09:00",
    }

    with pytest.raises(UnknownNameError, match="carrier 'nobody'"):
        office.submit(office.document(incident=incident))


def test_withdrawal_carries_no_text(office: Any) -> None:
    """A withdrawal takes off the air; a text in it would never be shown."""
    office.issue(office.document())

    with pytest.raises(InputError, match="withdrawal"):
        office.submit(office.later("withdrawal", texts={"ko": "취소"}))


def test_signature_of_somebody_else_is_refused(office: Any) -> None:
    """A bulletin in alice's name needs alice's key."""
    with pytest.raises(SignatureInvalidError, match="somebody else signed"):
        office.submit(office.document(), by="bob")


def test_signature_with_unknown_key_is_refused(office: Any) -> None:
    """A key that was never registered signs nothing."""
    office.keys["mallory"] = SigningKey.generate()

    with pytest.raises(SignatureInvalidError, match="not known"):
        office.submit(office.document(), by="mallory")


def test_permissions_bound_role_region_and_class(office: Any) -> None:
    """Somebody who may submit for Busan and class safety may nothing else."""
    office.add("carol", may_submit=True, regions=("KR-26",), classes=("safety",))

    with pytest.raises(PermissionDeniedError, match="KR-11"):
        office.submit(office.document(sender="carol", regions=["KR-11"]), by="carol")
    with pytest.raises(PermissionDeniedError, match="emergency"):
        office.submit(office.document(sender="carol", **{"class": "emergency"}), by="carol")
    with pytest.raises(PermissionDeniedError, match="may not submit"):
        office.submit(office.document(sender="bob"), by="bob")
    office.gateway.keyring.revoke("carol")
    with pytest.raises(PermissionDeniedError, match="revoked"):
        office.submit(office.document(sender="carol"), by="carol")
