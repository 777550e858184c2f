"""CAP 1.2 in and out: the samples, every rule of an alert, and names that stay for ever."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from cbgateway.app import Gateway
from cbgateway.domain.bulletin import BulletinKind, Mode
from cbgateway.domain.errors import (
    ExpiredError,
    GatewayError,
    IdentifierReusedError,
    InputError,
    ModeMismatchError,
    PolicyError,
    SignatureInvalidError,
    StaleError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.orders import Stop, WriteReplace
from cbgateway.interfaces.cap.areas import outline_of, shape_of
from cbgateway.interfaces.cap.document import check_structure
from cbgateway.interfaces.cap.outgoing import _language_tag
from cbgateway.settings import FILE_NAME
from cbgateway.signing.xmldsig import parse_xml, verify_signed
from tests.conformance.cap_alerts import (
    CAP,
    alert,
    identity,
    information,
    parameter,
    place_drawn,
    place_named,
)
from tests.conftest import ENGLISH, KOREAN, FakeClock, Office

VECTORS = Path(__file__).parents[2] / "vectors"
CARRIER = parameter("cbgateway:carrier", "kt")
SEOUL_BOX = "37.70,126.76 37.70,127.18 37.43,127.18 37.43,126.76 37.70,126.76"
EARLIER = "noc@carrier.example,KT-1,2021-10-25T12:00:00+09:00"


def take(office: Office, octets: bytes, *, by: str = "alice") -> Any:
    """Have somebody bring an alert."""
    return office.gateway.submit_cap(octets, key=office.keys[by]).bulletin


def brought(more: str = "", **changes: Any) -> bytes:
    """Give a sound alert that says whose network fails."""
    return alert(information(more=CARRIER + more, **changes))


def pages(orders: list[Any]) -> dict[str, tuple[int, list[bytes]]]:
    """Give what goes on air, by language."""
    return {
        order.broadcast.language: (
            order.broadcast.dcs,
            [page.octets for page in order.broadcast.pages],
        )
        for order in orders
        if isinstance(order, WriteReplace)
    }


def test_samples_go_from_alert_to_cancel(
    make_office: Callable[..., Office], clock: FakeClock
) -> None:
    """An Alert opens an outage, its Update replaces it, its Cancel takes it off the air."""
    clock.at = datetime(2026, 1, 31, 2, 30, tzinfo=UTC)
    office = make_office(mode=Mode.LIVE)
    said = []
    plain = (VECTORS / "cap_alert.xml").read_bytes()
    with pytest.raises(InputError, match="whose network"):
        take(office, plain)
    marked = plain.replace(b"<parameter>", CARRIER.encode() + b"<parameter>", 1)
    for octets in (
        marked,
        (VECTORS / "cap_update.xml").read_bytes(),
        (VECTORS / "cap_cancel.xml").read_bytes(),
    ):
        bulletin = take(office, octets)
        office.approve(bulletin.bulletin_id)
        said.append((bulletin, office.send()))

    first, second, third = [bulletin for bulletin, _ in said]
    assert [one.bulletin_id for one in (first, second, third)] == [
        f"KT-20260131-0001/{number}" for number in (1, 2, 3)
    ]
    assert [one.kind for one in (first, second, third)] == [
        BulletinKind.FIRST,
        BulletinKind.PROGRESS,
        BulletinKind.WITHDRAWAL,
    ]
    assert first.regions == ("KR-11",)
    assert first.alert_class == "emergency"
    assert first.texts == {
        "ko": "KT 통신장애. 서울 음성·데이터 중단. 유선전화 이용.",
        "en": "KT outage in Seoul. Use landline for 112/119.",
    }
    assert first.expires == datetime(2026, 1, 31, 6, 0, tzinfo=UTC)
    assert third.texts == {}
    assert all(isinstance(order, Stop) for order in said[2][1])
    assert said[2][1]


def test_same_pages_as_the_json_bulletin(make_office: Callable[..., Office]) -> None:
    """Octet for octet, whichever way the text came."""
    office, other = make_office(), make_office(name="other")
    given = office.issue(office.document())
    exported = office.gateway.export_cap(given.bulletin.bulletin_id)
    imported = other.approve(take(other, exported).bulletin_id)

    assert imported.bulletin.texts == given.bulletin.texts
    assert imported.bulletin.expires == given.bulletin.expires
    assert imported.bulletin.next_update_at == given.bulletin.next_update_at
    assert pages(other.send()) == pages(office.send())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("progress", {}),
        ("eta_change", {}),
        ("restored", {}),
        ("correction", {}),
        ("withdrawal", {}),
    ],
)
def test_every_kind_goes_out_and_comes_in(
    make_office: Callable[..., Office], kind: str, changes: dict[str, Any]
) -> None:
    """An export says what it is, and refers to everything before it."""
    office, other = make_office(), make_office(name="other")
    first = office.issue(office.document()).bulletin
    second = office.issue(office.later(kind, **changes)).bulletin
    alerts = [office.gateway.export_cap(one.bulletin_id) for one in (first, second)]
    for octets in alerts:
        bulletin = take(other, octets)
        other.approve(bulletin.bulletin_id)

    assert (bulletin.kind, bulletin.regions) == (second.kind, second.regions)
    assert bulletin.texts == second.texts
    root = parse_xml(alerts[1])
    check_structure(root)
    name = [etree.QName(node).localname for node in root]
    assert "references" in name
    assert root.findtext(f"{{{CAP}}}references").split(",")[1] == "inc-1.1"


def test_heartbeat_of_a_partner_is_progress_here(make_office: Callable[..., Office]) -> None:
    """Its text is none of our templates; people look at it like at any other."""
    office, other = make_office(), make_office(name="other")
    first = office.issue(office.document()).bulletin
    office.clock.advance(600)
    slots = {"authority": "msit", "carrier": "kt", "number": 2, "now": "12:10", "next": "12:40"}
    template = {"name": "heartbeat", "slots": slots}
    second = office.issue(office.later("heartbeat", texts=None, template=template)).bulletin
    other.approve(take(other, office.gateway.export_cap(first.bulletin_id)).bulletin_id)
    bulletin = take(other, office.gateway.export_cap(second.bulletin_id))

    assert (bulletin.kind, bulletin.texts) == (BulletinKind.PROGRESS, second.texts)


def test_export_never_changes(office: Office) -> None:
    """Not by time, nor by another name in the settings, nor by what came after."""
    bulletin = office.issue(office.document()).bulletin
    before = office.gateway.export_cap(bulletin.bulletin_id)
    office.clock.advance(60)
    office.issue(office.later("progress"))
    with (office.gateway.home / FILE_NAME).open("a") as file:
        file.write('\n[cap]\nname = "another@name.example"\n')
    with Gateway.open(office.gateway.home, clock=office.clock) as gateway:
        again = gateway.export_cap(bulletin.bulletin_id)
        later = gateway.export_cap("inc-1/2")

    assert before == again
    assert b"another@name.example" in later
    first = parse_xml(before).findtext(f"{{{CAP}}}sender")
    assert f"{first},inc-1.1,".encode() in later


def test_later_export_names_the_earlier_even_when_asked_first(office: Office) -> None:
    """Whoever asks for the second gets references to a first that has its name from then on."""
    office.issue(office.document())
    office.issue(office.later("progress"))
    second = parse_xml(office.gateway.export_cap("inc-1/2"))
    first = parse_xml(office.gateway.export_cap("inc-1/1"))

    sender, identifier, sent = second.findtext(f"{{{CAP}}}references").split(",")
    assert sender == first.findtext(f"{{{CAP}}}sender")
    assert identifier == first.findtext(f"{{{CAP}}}identifier")
    assert sent == first.findtext(f"{{{CAP}}}sent") == "2021-10-25T03:00:00-00:00"


def test_export_is_signed_when_the_settings_say_so(office: Office) -> None:
    """In the profile that others check."""
    own = identity()
    own.save(office.gateway.home / "keys" / "cap", "own")
    with (office.gateway.home / FILE_NAME).open("a") as file:
        file.write('\n[cap]\nkey = "keys/cap/own.pem"\ncertificate = "keys/cap/own.crt"\n')
    bulletin = office.issue(office.document()).bulletin
    with Gateway.open(office.gateway.home, clock=office.clock) as gateway:
        octets = gateway.export_cap(bulletin.bulletin_id)
        again = gateway.export_cap(bulletin.bulletin_id)

    assert b"KR-26" in verify_signed(octets, own.certificate, at=office.clock.now())
    assert octets == again


def test_what_came_as_cap_goes_out_as_it_came(office: Office) -> None:
    """With its own name, and every octet of it."""
    octets = brought()
    bulletin = take(office, octets)
    office.approve(bulletin.bulletin_id)

    assert octets == office.gateway.export_cap(bulletin.bulletin_id)


def test_what_was_not_approved_is_not_told(office: Office) -> None:
    """Nor what is not there."""
    bulletin = take(office, brought())

    with pytest.raises(WorkflowError, match="approved"):
        office.gateway.export_cap(bulletin.bulletin_id)
    with pytest.raises(UnknownNameError, match="nothing/1"):
        office.gateway.export_cap("nothing/1")


def test_revised_alert_goes_out_with_its_new_words(office: Office) -> None:
    """What came in was never approved, so it is not what others are told."""
    bulletin = take(office, brought())
    office.gateway.give_back(bulletin.bulletin_id, reason="typo", key=office.keys["bob"])
    document = office.document(incident="KT-1", kind="first")
    document["incident"] = {
        "id": "KT-1",
        "carrier": "kt",
        "services": ["voice"],
        "started_at": "2021-10-25T11:16:00+09:00",
    }
    office.gateway.revise(
        bulletin.bulletin_id, json.dumps(document).encode(), key=office.keys["alice"]
    )
    office.approve(bulletin.bulletin_id)

    exported = office.gateway.export_cap(bulletin.bulletin_id).decode()
    assert KOREAN in exported
    assert ENGLISH in exported


def test_same_alert_again_gives_the_first_answer(office: Office) -> None:
    """Even hours later, and whoever brings it; another one by that name is refused."""
    office.add("carol", may_submit=True)
    first = take(office, brought())
    office.clock.advance(7200)

    assert take(office, brought(), by="carol") == first
    with pytest.raises(IdentifierReusedError, match="KT-1"):
        take(office, brought(headline="다른 말"))


def test_export_of_another_gateway_is_not_taken_for_our_own(office: Office) -> None:
    """What we gave out ourselves has no source, so nothing that comes in is the same."""
    bulletin = office.issue(office.document()).bulletin
    octets = office.gateway.export_cap(bulletin.bulletin_id)

    with pytest.raises(IdentifierReusedError, match=r"inc-1\.1"):
        take(office, octets)


def test_somebody_who_is_not_known_brings_nothing(office: Office) -> None:
    """An unsigned alert needs somebody who answers for it."""
    with pytest.raises(SignatureInvalidError, match="not signed"):
        office.gateway.submit_cap(brought())
    key = office.keys["alice"]
    office.gateway.keyring.revoke("alice")
    with pytest.raises(PolicyError, match="revoked"):
        office.gateway.submit_cap(brought(), key=key)


@pytest.mark.parametrize(
    ("octets", "error", "words"),
    [
        (alert(status="Actual"), ModeMismatchError, "live"),
        (alert(status="Exercise"), ModeMismatchError, "exercise"),
        (alert(status="System"), ModeMismatchError, "never sent"),
        (alert(status="Draft"), ModeMismatchError, "never sent"),
        (alert(status="Bogus"), InputError, "Bogus"),
        (alert(msgType="Ack", references=EARLIER), WorkflowError, "answers"),
        (alert(msgType="Error", references=EARLIER), WorkflowError, "answers"),
        (alert(scope="Private", addresses="a@b"), InputError, "public"),
        (alert(scope="Private"), InputError, "addresses"),
        (alert(scope="Restricted"), InputError, "restriction"),
        (alert(msgType="Update"), InputError, "references"),
        (alert(msgType="Cancel", info=""), InputError, "references"),
        (alert(msgType="Update", references="a,b"), InputError, "sender,identifier,sent"),
        (alert(msgType="Update", references="a,b,today"), InputError, "no time"),
        (alert(msgType="Update", references="a,b,2021-10-25T12:00:00"), InputError, "offset"),
        (alert(msgType="Update", references="a,b,c " * 300), InputError, "at most 256"),
        (alert(msgType="Update", references=EARLIER), UnknownNameError, "KT-1"),
        (alert(identifier="KT 1"), InputError, "identifier"),
        (alert(identifier="KT,1"), InputError, "identifier"),
        (alert(identifier="KT/1"), InputError, "identifier"),
        (alert(sender="a&b"), InputError, "sender"),
        (alert(sent="2021-10-25T03:00:00Z"), InputError, "sent"),
        (alert(sent="2021-10-25T03:00:00.5+00:00"), InputError, "sent"),
        (alert(sent="2021-10-25T24:00:00+00:00"), InputError, "no time"),
        (alert(sent="2021-10-25T12:03:00+09:00"), ExpiredError, "ahead"),
        (alert(sent="2021-10-25T10:59:00+09:00"), ExpiredError, "hour ago"),
        (alert(info=""), InputError, "info"),
        (alert(info=information() + information()), InputError, "twice"),
        (alert(info="".join(information(language=f"k{c}") for c in "abcdefghi")), InputError, "8"),
        (alert(incidents="a b"), InputError, "one outage"),
        (brought(effective="2021-10-25T13:00:00+09:00"), ExpiredError, "effective"),
        (brought(expires=None), InputError, "end"),
        (brought(expires="2021-10-25T11:30:00+09:00"), ExpiredError, "passed"),
        (brought(eventCode="<valueName>SAME</valueName><value>TOE</value>"), InputError, "OET"),
        (
            brought(eventCode="<valueName>OET:v1.2</valueName><value>OET-001</value>"),
            InputError,
            "OET",
        ),
        (brought(category="Bogus"), InputError, "category"),
        (brought(severity="severe"), InputError, "severity"),
        (brought(language="fr"), UnknownNameError, "fr"),
        (brought(headline="가" * 158), PolicyError, "shorten"),
        (brought(area=""), InputError, "no default area"),
        (brought(area=place_named("KR-99")), InputError, "KR-99"),
        (brought(area=place_drawn()), InputError, "no default area"),
        (brought(area=place_drawn(polygon="37,127 37,128 38,128")), InputError, "four points"),
        (brought(area=place_drawn(polygon="37,127 37,128 38,x 37,127")), InputError, "latitude"),
        (
            brought(area=place_drawn(polygon="97,127 37,128 38,128 97,127")),
            InputError,
            "nowhere",
        ),
        (
            brought(area=place_drawn(polygon="37,127 38,128 37,128 38,127 37,127")),
            InputError,
            "crosses",
        ),
        (
            brought(area=place_drawn(polygon="37,-170 38,170 36,170 37,-170")),
            InputError,
            "round the earth",
        ),
        (
            brought(area=place_drawn(polygon="10,10 10,11 11,11 11,10 10,10")),
            InputError,
            "outside",
        ),
        (brought(area=place_drawn(circle="37.5,127 -1")), InputError, "radius"),
        (brought(area=place_drawn(circle="37.5,127")), InputError, "radius"),
        (brought(area=place_drawn(circle="0,0 5")), InputError, "outside"),
        (brought(area=place_named("KR-26") * 65), InputError, "at most 64"),
        (
            brought(
                area="<area><areaDesc>x</areaDesc><circle>37.55,126.98 1</circle>"
                "<geocode><valueName>ISO3166-2</valueName><value>KR-26</value></geocode></area>"
            ),
            InputError,
            "elsewhere",
        ),
        (
            brought(area=place_named("KR-26").replace("</area>", "<ceiling>9</ceiling></area>")),
            InputError,
            "altitude",
        ),
        (brought(parameter("cbgateway:klass", "safety")), InputError, "klass"),
        (brought(parameter("cbgateway:class", "nothing")), UnknownNameError, "nothing"),
        (brought(parameter("cbgateway:class", "critical")), InputError, "severity"),
        (brought(parameter("cbgateway:kind", "withdrawal")), InputError, "kind"),
        (brought(parameter("cbgateway:kind", "nothing")), InputError, "kind"),
        (brought(parameter("cbgateway:carrier", "skt")), InputError, "different"),
        (brought(parameter("cbgateway:services", "smoke")), InputError, "smoke"),
        (brought(parameter("cbgateway:next_update", "soon")), InputError, "next_update"),
        (
            brought(parameter("cbgateway:next_update", "2021-10-25T15:00:00+09:00")),
            ExpiredError,
            "next_update",
        ),
        (
            alert(
                information(more=CARRIER)
                + information(language="en", severity="Severe", area=place_named("KR-11"))
            ),
            InputError,
            r"severity.*area",
        ),
    ],
)
def test_unsound_alert_is_refused(
    office: Office, octets: bytes, error: type[GatewayError], words: str
) -> None:
    """By name, with the place, and nothing is kept."""
    with pytest.raises(error, match=f"(?s){words}"):
        take(office, octets)

    with office.gateway.store.read() as tx:
        assert tx.bulletins() == ()
        assert tx.publications("KT-1/1") == ()


def test_many_faults_are_counted(office: Office) -> None:
    """Twenty are named."""
    area = place_drawn(polygon="x") * 30

    with pytest.raises(InputError) as raised:
        take(office, brought(area=area))

    assert len(raised.value.problems) == 21
    assert "10 more" in raised.value.problems[-1]


@pytest.mark.parametrize("status", ["Test", "Exercise", "System", "Draft"])
def test_no_status_but_actual_reaches_a_live_class(
    make_office: Callable[..., Office], status: str
) -> None:
    """Modes never mix."""
    office = make_office(mode=Mode.LIVE)

    with pytest.raises(ModeMismatchError):
        take(office, alert(information(more=CARRIER), status=status))


def test_exercise_goes_to_the_exercise_channel(make_office: Callable[..., Office]) -> None:
    """Its text begins by saying so, and it has a message identifier of its own."""
    office = make_office(mode=Mode.EXERCISE)
    octets = alert(information(more=CARRIER), status="Exercise")
    bulletin = take(office, octets)
    office.approve(bulletin.bulletin_id)

    orders = [order for order in office.send() if isinstance(order, WriteReplace)]
    assert bulletin.texts["ko"].startswith("[훈련] ")
    assert {order.broadcast.message_identifier for order in orders} <= {4381, 4394}


@pytest.mark.parametrize(
    ("area", "regions"),
    [
        (place_named("KR-26"), ("KR-26",)),
        (place_named("KR"), ("KR",)),
        (place_named("KR-26") + place_named("KR-11"), ("KR-26", "KR-11")),
        (
            place_named("KR-26").replace("ISO3166-2", "cbgateway:national").replace("KR-26", "51"),
            ("KR-42",),
        ),
        (place_drawn(circle="37.5665,126.978 5.0"), ("KR-11",)),
        (place_drawn(circle="35.16,129.05 0"), ("KR-26",)),
        (place_drawn(circle="36.5,127.5 400"), ("KR",)),
        (place_drawn(polygon=SEOUL_BOX), ("KR-11", "KR-41")),
        (
            place_drawn(circle="37.5665,126.978 5.0").replace(
                "</area>",
                "<geocode><valueName>SAME</valueName><value>011000</value></geocode></area>",
            ),
            ("KR-11",),
        ),
    ],
)
def test_areas_become_regions(office: Office, area: str, regions: tuple[str, ...]) -> None:
    """A named region is that region; a shape is every region that a share of it lies in."""
    found = set(take(office, brought(area=area)).regions)

    assert set(regions) <= found
    assert len(found) <= len(regions)


def test_severities_become_classes(make_office: Callable[..., Office]) -> None:
    """The class of that severity, else the country's usual one; or the one that is named."""
    wanted = {
        "Extreme": "critical",
        "Severe": "emergency",
        "Moderate": "safety",
        "Minor": "safety",
        "Unknown": "safety",
    }
    office = make_office()
    found = {}
    for at, severity in enumerate(wanted):
        info = information(more=CARRIER, severity=severity, headline=f"장애 {at}")
        found[severity] = take(office, alert(info, identifier=f"S-{at}")).alert_class

    named = brought(parameter("cbgateway:class", "safety"))

    assert take(office, named).alert_class == "safety"
    assert wanted == found


def test_texts_for_phones_are_taken_when_given(make_office: Callable[..., Office]) -> None:
    """Ours exactly; those of IPAWS in English, the long one where it fits."""
    office = make_office()
    short, long = "KT outage.", "KT outage in Busan. Use a landline."
    both = parameter("CMAMtext", short) + parameter("CMAMlongtext", long)
    too_long = parameter("CMAMtext", short) + parameter("CMAMlongtext", "x" * 158)
    exact = parameter("cbgateway:text", KOREAN) + parameter("CMAMtext-Spanish", "Fallo")
    english = information(
        language="en-GB", more=both, headline="Outage", description=None, instruction=None
    )
    korean = information(more=CARRIER + parameter("CMAMtext", "another"))
    cases = {
        "both": (brought(both), {"en": long}),
        "too long": (brought(too_long), {"en": short}),
        "exact": (brought(exact), {"ko": KOREAN}),
        "own block": (alert(korean + english), {"en": long}),
    }
    for at, (octets, wanted) in enumerate(cases.values()):
        office.clock.advance(601)
        renamed = octets.replace(b"KT-1", f"T-{at}".encode())
        texts = take(office, renamed).texts
        assert texts == {"ko": texts["ko"]} | wanted


def test_onset_services_and_incident_are_those_that_it_says(office: Office) -> None:
    """Else the time that it was sent, what the event takes away, and its own name."""
    more = (
        CARRIER
        + parameter("cbgateway:services", "voice sms voice")
        + parameter("cbgateway:started_at", "2021-10-25T11:00:00+09:00")
    )
    take(office, alert(information(more=more), incidents="inc-9"))
    with office.gateway.store.read() as tx:
        told = tx.incident("inc-9")
    assert told is not None
    assert [service.value for service in told.services] == ["voice", "sms"]
    assert told.started_at == datetime(2021, 10, 25, 2, 0, tzinfo=UTC)

    other = information(more=CARRIER, onset=None, headline="또 장애")
    take(office, alert(other, identifier="KT-2"))
    with office.gateway.store.read() as tx:
        guessed = tx.incident("KT-2")
    assert guessed is not None
    assert guessed.started_at == datetime(2021, 10, 25, 3, 0, tzinfo=UTC)
    assert [one.value for one in guessed.services] == ["voice", "sms", "mobile_data"]


def later(message_type: str, identifier: str, references: str = EARLIER, **changes: Any) -> bytes:
    """Give an alert that refers to others."""
    info = changes.pop("info", None)
    head = {"sent": "2021-10-25T12:00:30+09:00"} | changes
    return alert(
        information() if info is None else info,
        identifier=identifier,
        msgType=message_type,
        references=references,
        **head,
    )


def test_all_clear_is_a_restored_bulletin(office: Office) -> None:
    """And the incident's name may stand there, if it is the right one."""
    office.approve(take(office, brought()).bulletin_id)
    end = "2021-10-25T12:20:00+09:00"
    info = information(responseType="AllClear", expires=end)

    with pytest.raises(InputError, match="incidents"):
        take(office, later("Update", "KT-2", info=info, incidents="other"))
    bulletin = take(office, later("Update", "KT-2", info=info, incidents="KT-1"))
    assert bulletin.kind is BulletinKind.RESTORED
    assert bulletin.incident_id == "KT-1"


def test_cancel_says_nothing_and_stops_everything(office: Office) -> None:
    """Whatever its areas say, and however few they are."""
    wide = place_named("KR-26") + place_named("KR-11")
    office.approve(take(office, brought(area=wide)).bulletin_id)
    office.send()
    bulletin = take(office, later("Cancel", "KT-2"))
    office.approve(bulletin.bulletin_id)

    stops = office.send()
    assert bulletin.regions == ("KR-26", "KR-11")
    assert {stop.area.code for stop in stops} == {"KR-26", "KR-11"}
    assert all(isinstance(stop, Stop) for stop in stops)


def test_cancel_needs_no_info(office: Office) -> None:
    """The schema lets it pass, and so do we."""
    office.approve(take(office, brought()).bulletin_id)

    assert take(office, later("Cancel", "KT-2", info="")).kind is BulletinKind.WITHDRAWAL


def test_references_have_to_lead_somewhere(office: Office) -> None:
    """To alerts that were here, by all three parts, of one outage."""
    take(office, brought())
    info = information(more=CARRIER, headline="또 장애")
    take(office, alert(info, identifier="OTHER-1"))
    other = EARLIER.replace("KT-1", "OTHER-1")

    with pytest.raises(UnknownNameError, match="referenced alert"):
        take(office, later("Update", "KT-2", EARLIER.replace("12:00:00", "12:00:01")))
    with pytest.raises(InputError, match="2 outages"):
        take(office, later("Update", "KT-2", f"{EARLIER} {other}"))


def test_update_that_comes_too_late_is_stale(office: Office) -> None:
    """Its sender has written something newer, which is here already."""
    office.approve(take(office, brought()).bulletin_id)
    office.clock.advance(120)
    take(office, later("Update", "KT-3", sent="2021-10-25T12:02:00+09:00"))

    with pytest.raises(StaleError, match="KT-3"):
        take(office, later("Update", "KT-2", sent="2021-10-25T12:01:00+09:00"))


def test_others_may_update_what_we_gave_out(office: Office) -> None:
    """Our own export can be referred to, by the name that it has."""
    bulletin = office.issue(office.document()).bulletin
    root = parse_xml(office.gateway.export_cap(bulletin.bulletin_id))
    name = ",".join(root.findtext(f"{{{CAP}}}{tag}") for tag in ("sender", "identifier", "sent"))

    assert take(office, later("Update", "KT-2", name)).bulletin_id == "inc-1/2"


def test_check_keeps_nothing(office: Office) -> None:
    """It says what an alert would become."""
    opened, document = office.gateway.check_cap(brought())

    assert opened.alert.identifier == "KT-1"
    assert document["regions"] == ["KR-26"]
    assert document["cap"]["sha256"] == opened.alert.digest
    with office.gateway.store.read() as tx:
        assert tx.bulletins() == ()


def test_cancel_and_the_highest_class_go_on_when_the_disk_is_full(office: Office) -> None:
    """As they do by every other way."""
    office.approve(take(office, brought()).bulletin_id)
    exchange = office.gateway.desk.exchange()

    def urgent(octets: bytes) -> bool:
        return exchange.is_urgent(office.gateway.check_cap(octets)[0].alert)

    assert urgent(later("Cancel", "KT-2"))
    assert urgent(brought(severity="Extreme").replace(b"KT-1", b"KT-3"))
    assert not urgent(brought(severity="Severe").replace(b"KT-1", b"KT-3"))


def test_outline_for_others_is_short_and_has_no_holes_filled(office: Office) -> None:
    """A hundred points at most; Seoul is no part of Gyeonggi around it."""
    polygons = office.gateway.deployment.regions.polygons
    gyeonggi = shape_of(polygons["KR-41"])
    seoul = shape_of(polygons["KR-11"])

    for code, rings in polygons.items():
        for outline in outline_of(rings):
            assert 4 <= len(outline) <= 100, code
            assert outline[0] == outline[-1]
    assert gyeonggi.intersection(seoul).area < 0.05 * seoul.area


def test_language_tags_of_exports(office: Office) -> None:
    """The country's own language with the country, English as CAP takes it."""
    bulletin = office.issue(office.document()).bulletin
    root = parse_xml(office.gateway.export_cap(bulletin.bulletin_id))
    tags = [node.text for node in root.iter(f"{{{CAP}}}language")]
    generic = replace(
        office.gateway.deployment,
        country=office.gateway.deployment.country.model_copy(update={"code": "generic"}),
    )

    assert tags == ["ko-KR", "en-US"]
    assert _language_tag("ko", generic) == "ko"


def test_sent_may_be_a_little_ahead(office: Office) -> None:
    """Two machines' clocks differ."""
    octets = alert(information(more=CARRIER), sent="2021-10-25T12:01:59+09:00")

    assert take(office, octets).number == 1
