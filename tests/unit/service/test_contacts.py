"""The directory: who has tried a number or link, and when; what nobody has tried warns."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from cbgateway.domain.errors import (
    PermissionDeniedError,
    SignatureInvalidError,
    UnknownNameError,
)
from cbgateway.preflight import Level
from cbgateway.profiles.contacts import CHECKED_DAYS_MAX
from cbgateway.service.contacts import CONFIRMED, PROFILE, SUBJECT, checks, contact_problems
from cbgateway.signing.keys import SigningKey

DAY_S = 86_400


def problems(office: Any) -> list[str]:
    """Give what `cbgateway doctor` says of contacts."""
    found = [one for one in office.gateway.findings() if one.check == "contacts"]
    assert {one.level for one in found} <= {Level.WARN}
    return [one.detail for one in found]


def verified(office: Any) -> dict[str, bool]:
    """Tell of each entry whether it is verified."""
    return {one["contact"]: one["is_verified"] for one in office.gateway.telling.contacts()}


def test_shipped_entries_are_unverified_until_somebody_has_tried_them(office: Any) -> None:
    """No date is made up; one confirmation is about one entry, and the history has it."""
    told = office.gateway.telling
    assert set(verified(office).values()) == {False}
    assert problems(office)[0] == (
        "112: nobody has confirmed it; try it, then `cbgateway contacts confirm 112`"
    )

    assert told.confirm_contact("경찰", key=office.keys["alice"]).value == "112"
    row = next(one for one in told.contacts() if one["contact"] == "112")
    with office.gateway.store.read() as tx:
        (event,) = (one for one in tx.events(SUBJECT) if one.what == CONFIRMED)
    assert (row["is_verified"], row["checked_by"]) == (True, "alice")
    assert (event.actor, event.detail["contact"]) == ("alice", "112")
    assert "112" not in " ".join(problems(office))
    assert any("119" in problem for problem in problems(office))


def test_a_check_counts_for_so_many_days(office: Any) -> None:
    """Then it is to be tried again; the last time is named."""
    office.gateway.telling.confirm_contact("119", key=office.keys["bob"])
    office.clock.advance(CHECKED_DAYS_MAX * DAY_S)
    assert verified(office)["119"]
    office.clock.advance(1)

    assert not verified(office)["119"]
    assert any("119: last tried on 2021-10-25" in problem for problem in problems(office))


@pytest.mark.parametrize("name", ["112", "Police", "police ", "경찰", "1 1 2"])
def test_an_entry_is_found_by_number_or_name(office: Any, name: str) -> None:
    """However it is written."""
    assert office.gateway.deployment.directory.named(name).value == "112"


def test_a_link_is_found_by_what_begins_with_it(office: Any) -> None:
    """A page of the site stands for the site."""
    directory = office.gateway.deployment.directory

    assert directory.named("https://status.example.kr/x").value == "status.example.kr"
    assert directory.named("example.kr") is None


def test_confirmation_needs_a_known_entry_and_a_person_who_counts(office: Any) -> None:
    """Nothing is written down otherwise."""
    told = office.gateway.telling
    with pytest.raises(UnknownNameError, match="112, 119, 110, 100, status.example.kr"):
        told.confirm_contact("911", key=office.keys["alice"])
    with pytest.raises(SignatureInvalidError):
        told.confirm_contact("112", key=SigningKey.generate())
    office.gateway.keyring.revoke("alice")
    with pytest.raises((PermissionDeniedError, SignatureInvalidError)):
        told.confirm_contact("112", key=office.keys["alice"])

    assert set(verified(office).values()) == {False}


@pytest.mark.parametrize(
    ("days_ago", "is_verified"), [(0, True), (179, True), (181, False), (-3, False)]
)
def test_a_date_in_the_file_counts_unless_it_is_old_or_to_come(
    office: Any, days_ago: int, is_verified: bool
) -> None:
    """The newer of file and history is believed."""
    directory, now = office.gateway.deployment.directory, office.clock.now()
    day: date = (now - timedelta(days=days_ago)).date()
    police = directory.contacts[0].model_copy(update={"checked_on": day})
    dated = replace(directory, contacts=(police, *directory.contacts[1:]))
    with office.gateway.store.read() as tx:
        first = checks(tx, dated, now=now)[0]
    office.gateway.telling.confirm_contact("112", key=office.keys["alice"])
    with office.gateway.store.read() as tx:
        second = checks(tx, dated, now=now)[0]

    assert (first.is_verified, first.by) == (is_verified, PROFILE if days_ago >= 0 else "")
    assert (second.is_verified, second.by) == (True, "alice")


def test_plan_warns_of_contacts_that_its_texts_show(office: Any) -> None:
    """Of those alone, before anybody approves; a confirmation ends it."""
    document = office.document(texts={"ko": "장애. 112·119 통화 가능", "en": "Outage. 112 works."})
    record = office.submit(document)
    before = office.gateway.prepare(record.bulletin.bulletin_id)
    for number in ("112", "119"):
        office.gateway.telling.confirm_contact(number, key=office.keys["alice"])
    after = office.gateway.prepare(record.bulletin.bulletin_id)

    assert [warning.split(":")[0] for warning in before.warnings] == ["112", "119"]
    assert after.warnings == ()
    with office.gateway.store.read() as tx:
        assert contact_problems(tx, office.gateway.deployment.directory, now=office.clock.now())
