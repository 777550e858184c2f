"""Offline kits: made, used by two people on one machine, taken over; no serial number twice."""

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cbgateway import offline
from cbgateway.app import Gateway, restore
from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.delivery import Channel, OnAirEvidence
from cbgateway.domain.errors import (
    AuditError,
    BudgetExhaustedError,
    ConfirmationError,
    GatewayError,
    InputError,
    PermissionDeniedError,
    SamePersonError,
    SerialsExhaustedError,
    SignatureInvalidError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.incoming import IncomingMessage, MessageState, TakenIds
from cbgateway.domain.kits import MAIN_CODES, SLOTS, slot_codes
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.preflight import Level
from cbgateway.settings import ControllerSettings
from cbgateway.signing.keys import SigningKey
from tests.conftest import Office

DAY_S = 86_400


def confirm(prepared: Any) -> str:
    """Type whatever is asked for."""
    return str(prepared.confirmation)


@pytest.fixture
def make_kit(office: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Give a maker of kits of the office, each opened as an office of its own."""
    opened: list[Any] = []

    def make(name: str = "kit", **options: Any) -> Any:
        options = {"days": 90, "with_recipients": False} | options
        record = offline.make_kit(office.gateway, tmp_path / name, **options)
        manager = Gateway.open(tmp_path / name, clock=office.clock)
        gateway = manager.__enter__()
        opened.append(manager)
        kit = Office(gateway, office.clock, office.keys)
        kit._count = office._count
        kit.record = record  # type: ignore[attr-defined]
        return kit

    yield make
    for manager in opened:
        manager.__exit__(None, None, None)


def issue(kit: Any, document: dict[str, Any], *, by: tuple[str, str] = ("alice", "bob")) -> str:
    """Issue a document with two keys."""
    keys = kit.keys[by[0]], kit.keys[by[1]]
    return offline.issue(kit.gateway, json.dumps(document).encode(), keys, confirm)


def serials(office: Any) -> set[tuple[int, int]]:
    """Give message identifier and serial number of every broadcast that was ordered."""
    with office.gateway.store.read() as tx:
        return {
            (one.lineage.message_identifier, int(one.serial_number))
            for one in tx.deliveries()
            if one.serial_number is not None and not one.is_stop
        }


def aliases(office: Any) -> set[int]:
    """Give what broadcasts are called at message centres."""
    with office.gateway.store.read() as tx:
        return {one.alias for one in tx.deliveries() if one.alias}


def incident(office: Any, name: str) -> dict[str, Any]:
    """Describe another incident."""
    return office.document()["incident"] | {"id": name}  # type: ignore[no-any-return]


# Made


def test_kit_has_what_two_people_need_and_nothing_of_servers(office: Any, make_kit: Any) -> None:
    """Profiles, people, passwords, sealing keys; no machine, no recipients, no HTTP."""
    office.add("robot", may_submit=True, owner="alice")
    office.gateway.import_recipients("kt", b"number,region,language\n821012345678,KR-26,ko\n")
    kit = make_kit()

    settings = kit.gateway.settings
    assert settings.http is settings.mqtt is settings.site is None
    for code, carrier in settings.carriers.items():
        mine = office.gateway.settings.carriers[code]
        assert (carrier.host, carrier.port) == (mine.host, mine.port)
        assert carrier.password_file.read_bytes() == mine.password_file.read_bytes()
        assert carrier.password_file.stat().st_mode & 0o077 == 0
    with kit.gateway.store.read() as tx:
        assert [one.name for one in tx.people()] == ["alice", "bob"]
        assert tx.count_recipients() == {}
        assert tx.own_kit().name == kit.record.name
    with office.gateway.store.read() as tx:
        (known,) = tx.kits()
    assert known == kit.record
    assert all(one.level is not Level.FAIL for one in kit.gateway.findings())


def test_kit_takes_recipients_cells_profiles_and_authorities_along(
    office: Any, make_kit: Any, tmp_path: Path, certificate: Path
) -> None:
    """When it is told to; paths lead into the kit, so that it works wherever it is carried."""
    home = office.gateway.home
    shutil.copytree(Path(__file__).parents[2] / "profiles", home / "profiles")
    (home / "cells").mkdir()
    (home / "cells" / "x.csv").write_text("", "ascii")
    carriers = office.gateway.settings.carriers
    changed = carriers["kt"].model_copy(
        update={"tls_ca_file": certificate, "more_hosts": ("127.0.0.2:2776",)}
    )
    settings = office.gateway.settings.model_copy(
        update={
            "profiles": home / "profiles",
            "deadlines": "jp",
            "carriers": {**carriers, "kt": changed},
        }
    )
    office.gateway = replace(office.gateway, settings=settings)
    office.gateway.import_recipients("kt", b"number,region,language\n821012345678,KR-26,ko\n")
    kit = make_kit(with_recipients=True)

    made = kit.gateway.settings
    assert made.profiles == kit.gateway.home / "profiles"
    assert (made.cells / "x.csv").exists()
    assert made.deadlines == "jp"
    assert made.carriers["kt"].tls_ca_file.is_relative_to(kit.gateway.home)
    assert made.carriers["kt"].tls_ca_file.read_bytes() == certificate.read_bytes()
    assert made.carriers["kt"].places == (("127.0.0.1", 2775), ("127.0.0.2", 2776))
    with kit.gateway.store.read() as tx:
        assert tx.count_recipients() == {("kt", "KR-26"): 1}


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Give a file that stands for an authority's certificate."""
    path = tmp_path / "authority.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\n", "ascii")
    return path


def test_sealing_keys_of_a_kit_are_its_own(office: Any, make_kit: Any) -> None:
    """The gateway never seals with them, publishes them, and keeps them out of its rotations."""
    kit = make_kit()
    office.issue(office.document())
    issue(kit, kit.document())
    with office.gateway.store.read() as tx:
        keys = {key.key_id: key for key in tx.region_keys()}
        (seal,) = {one.seal for one in tx.deliveries("inc-1/1")}
    kit_keys = {name for name, key in keys.items() if key.kit}
    (own,) = office.gateway.keyring.seal_keys(["KR-26"]).values()
    published = {one["kid"] for one in office.gateway.keyring.published_keys()["keys"]}
    office.gateway.keyring.rotate_region("KR-26", overlap=timedelta(0))
    with office.gateway.store.read() as tx:
        after = {key.key_id: key for key in tx.region_keys()}

    assert seal
    assert own.key_id not in kit_keys
    assert kit_keys <= published
    assert all(after[name] == keys[name] for name in kit_keys)
    assert all(keys[name].until == kit.record.until for name in kit_keys)


@pytest.mark.parametrize("days", [0, 367])
def test_kit_for_no_time_or_for_ever_is_refused(office: Any, tmp_path: Path, days: int) -> None:
    """Nothing is made, and no slot is taken."""
    with pytest.raises(InputError, match="days"):
        offline.make_kit(office.gateway, tmp_path / "kit", days=days, with_recipients=False)
    assert office.gateway.marks.slots() == {}


def test_kit_is_made_in_a_folder_of_its_own(office: Any, make_kit: Any, tmp_path: Path) -> None:
    """Nothing that is there is touched; an empty folder will do."""
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "mine").touch()
    with pytest.raises(InputError, match="not empty"):
        make_kit()
    (tmp_path / "empty").mkdir()

    assert make_kit("empty").record.slot == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_kit_that_cannot_be_written_leaves_nothing_half(office: Any, tmp_path: Path) -> None:
    """The folder is not there; the error names it."""
    (tmp_path / "file").touch()

    with pytest.raises((InputError, GatewayError)):
        offline.make_kit(office.gateway, tmp_path / "file" / "kit", days=9, with_recipients=False)
    with office.gateway.store.read() as tx:
        assert tx.kits() == ()


def test_kit_makes_no_kits(make_kit: Any, tmp_path: Path) -> None:
    """Its slot is all that it has."""
    kit = make_kit()

    with pytest.raises(WorkflowError, match="the main gateway makes kits"):
        offline.make_kit(kit.gateway, tmp_path / "more", days=9, with_recipients=False)


# Serial numbers


def test_no_gateway_has_a_code_or_name_of_another(office: Any, make_kit: Any) -> None:
    """Two kits and the main gateway, apart from one another: every broadcast differs."""
    kits = [make_kit(f"kit{number}") for number in range(2)]
    office.issue(office.document())
    office.issue(office.later("progress"))
    for kit in kits:
        issue(kit, kit.document())
        issue(kit, kit.later("progress"))
    everybody = [office, *kits]

    given = [serials(one) for one in everybody]
    names = [aliases(one) for one in everybody]
    assert all(given)
    assert len(set.union(*given)) == sum(map(len, given))
    assert len(set.union(*names)) == sum(map(len, names))
    assert {number >> 4 & 1023 for _, number in given[0]} <= set(MAIN_CODES)
    for slot, own in enumerate(given[1:]):
        assert {number >> 4 & 1023 for _, number in own} <= set(slot_codes(slot))


def test_every_slot_is_taken_once_and_comes_back_when_phones_forget(
    office: Any, make_kit: Any
) -> None:
    """Eight kits; the ninth is refused until one has been over for as long as phones remember."""
    for number in range(SLOTS):
        assert make_kit(f"kit{number}", days=number + 1).record.slot == number
    with pytest.raises(SerialsExhaustedError, match="every slot"):
        make_kit("ninth")
    office.clock.advance(DAY_S)
    with pytest.raises(SerialsExhaustedError):
        make_kit("ninth")
    country = office.gateway.deployment.country
    office.clock.advance(country.message_expiry_max_s + country.duplicate_window_s + 3600)

    assert make_kit("ninth").record.slot == 0


def test_retired_kit_gives_its_codes_back_and_a_lost_one_does_not(
    office: Any, make_kit: Any
) -> None:
    """One was destroyed, the other may still be used by whoever has it."""
    kits = [make_kit(f"kit{number}") for number in range(SLOTS)]
    offline.retire(office.gateway, kits[3].record.name, is_lost=False)
    offline.retire(office.gateway, kits[4].record.name, is_lost=True)
    with office.gateway.store.read() as tx:
        keys = tx.region_keys()
    office.clock.advance(4 * DAY_S)

    assert make_kit("again").record.slot == 3
    with pytest.raises(SerialsExhaustedError):
        make_kit("more")
    of = {
        kit.record.name: {key.is_revoked for key in keys if key.kit == kit.record.name}
        for kit in kits
    }
    assert of[kits[3].record.name] == {False}
    assert of[kits[4].record.name] == {True}
    assert {key.is_revoked for key in keys if not key.kit} == {False}
    with pytest.raises(UnknownNameError, match="kit"):
        offline.retire(office.gateway, "kit0000", is_lost=True)


def test_slot_is_not_given_twice_after_an_older_backup_is_back(
    office: Any, make_kit: Any, tmp_path: Path
) -> None:
    """The marks remember a kit that the database does not."""
    backup = tmp_path / "backup.tar"
    office.gateway.backup(backup, with_secrets=True)
    first = make_kit("first")
    restored = put_back(office, backup)

    with restored as gateway:
        with gateway.store.read() as tx:
            assert tx.kits() == ()
        (row,) = offline.kits(gateway)
        assert (row["kit"], row["slot"], row["made_at"]) == (first.record.name, 0, None)
        second = offline.make_kit(gateway, tmp_path / "second", days=9, with_recipients=False)
        assert second.slot == 1


def test_after_the_marks_are_lost_every_slot_is_taken_until_somebody_says_otherwise(
    office: Any, make_kit: Any, tmp_path: Path
) -> None:
    """There may be kits in drawers that nobody remembers."""
    backup = tmp_path / "backup.tar"
    office.gateway.backup(backup, with_secrets=True)
    make_kit("first")
    office.gateway.settings.marks.unlink()
    restored = put_back(office, backup)

    with restored as gateway:
        with pytest.raises(SerialsExhaustedError):
            offline.make_kit(gateway, tmp_path / "second", days=9, with_recipients=False)
        assert {row["kit"] for row in offline.kits(gateway)} == {"?"}
        offline.free_slot(gateway, 5)
        with pytest.raises(UnknownNameError, match="slot"):
            offline.free_slot(gateway, 8)
        office.clock.advance(4 * DAY_S)
        again = offline.make_kit(gateway, tmp_path / "second", days=9, with_recipients=False)
        assert again.slot == 5


def put_back(office: Any, backup: Path) -> Any:
    """Put a backup in the place of the office's database."""
    home = office.gateway.home
    for path in home.glob("cbgateway.db*"):
        path.rename(home / f"old-{path.name}")
    restore(backup, home, clock=office.clock)
    return Gateway.open(home, clock=office.clock)


# Used


def test_two_people_issue_a_bulletin_with_the_same_rules(make_kit: Any) -> None:
    """What the kit opens bears its name; whoever is the sender submits, in whichever order."""
    kit = make_kit()
    name = issue(kit, kit.document(), by=("bob", "alice"))

    assert name == f"inc-1.{kit.record.name}/1"
    with kit.gateway.store.read() as tx:
        record = tx.bulletin(name)
    assert (record.submission.submitted_by, record.decision.decided_by) == ("alice", "bob")
    assert len(kit.send("kt")) == 2
    assert issue(kit, kit.later("progress")) == f"inc-1.{kit.record.name}/2"


@pytest.mark.parametrize(
    ("by", "error"),
    [
        (("alice", "alice"), SamePersonError),
        (("alice", "carol"), PermissionDeniedError),
        (("alice", "stranger"), SignatureInvalidError),
        (("bob", "carol"), SignatureInvalidError),
    ],
)
def test_nobody_decides_alone_or_without_permission(
    office: Any, make_kit: Any, by: tuple[str, str], error: type[Exception]
) -> None:
    """As everywhere; nothing goes into the outbox."""
    office.add("carol", may_submit=True)
    office.keys["stranger"] = SigningKey.generate()
    kit = make_kit()

    with pytest.raises(error):
        issue(kit, kit.document(), by=by)
    assert serials(kit) == set()


def test_wide_area_has_to_be_typed(make_kit: Any) -> None:
    """The phrase is what the second person is asked for."""
    kit = make_kit()
    document = json.dumps(kit.document(regions=["KR"])).encode()
    keys = kit.keys["alice"], kit.keys["bob"]
    asked = []

    def refuse(prepared: Any) -> str:
        asked.append(prepared.confirmation)
        return ""

    with pytest.raises(ConfirmationError):
        offline.issue(kit.gateway, document, keys, refuse)
    assert asked == ["test 17 regions"]
    assert offline.issue(kit.gateway, document, keys, confirm).endswith("/1")


def test_budget_counts_in_a_kit(make_kit: Any) -> None:
    """A kit has budgets of its own, and they end."""
    kit = make_kit()
    issue(kit, kit.document())

    def go_on() -> None:
        for number in range(30):
            texts = {"ko": f"[과기정통부] KT 통신 장애 {number}"}
            issue(kit, kit.document(incident=incident(kit, f"x-{number}"), texts=texts))

    with pytest.raises(BudgetExhaustedError):
        go_on()


def test_same_document_again_goes_on_where_it_ended(make_kit: Any) -> None:
    """A machine that died between submission and approval; then nothing is done twice."""
    kit = make_kit()
    document = kit.document()
    keys = kit.keys["alice"], kit.keys["bob"]

    def die(_: Any) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        offline.issue(kit.gateway, json.dumps(document).encode(), keys, die)
    assert serials(kit) == set()

    first = issue(kit, document)
    given = serials(kit)
    assert issue(kit, document) == first
    assert serials(kit) == given


def test_gateway_that_is_no_kit_is_refused(office: Any) -> None:
    """A copy of its folder would repeat serial numbers; the way to go is named."""
    with pytest.raises(InputError, match="no offline kit"):
        issue(office, office.document())


def test_names_of_kits_belong_to_them(office: Any, make_kit: Any) -> None:
    """So that nothing has to be renamed later: refused in both directions."""
    kit = make_kit()
    with pytest.raises(InputError, match="offline kit kit0000"):
        office.submit(office.document(incident=incident(office, "x.kit0000")))
    with pytest.raises(InputError, match="identifier"):
        office.submit(office.document(identifier="x.kit0000"))
    with pytest.raises(InputError, match="has to end in"):
        kit.submit(kit.document())


@pytest.mark.parametrize("is_merged", [True, False])
def test_kit_whose_time_is_over_sends_nothing(office: Any, make_kit: Any, is_merged: bool) -> None:
    """Merged, or too old: its codes may soon be another's."""
    kit = make_kit(days=1)
    issue(kit, kit.document())
    if is_merged:
        offline.merge_kit(office.gateway, kit.gateway.home)
    else:
        office.clock.advance(DAY_S)

    with Gateway.open(kit.gateway.home, clock=office.clock) as gateway:
        later = Office(gateway, office.clock, office.keys)
        with pytest.raises(WorkflowError, match="merged into|was good until"):
            issue(later, kit.later("progress"))
        with pytest.raises(WorkflowError):
            offline.send(gateway, wait_s=0)
        assert any(one.check == "kit" and one.level is Level.FAIL for one in gateway.findings())


def test_doctor_warns_before_a_kit_ends(office: Any, make_kit: Any) -> None:
    """In the kit and at the gateway, a week ahead."""
    kit = make_kit(days=10)

    def levels() -> list[Level]:
        return [
            one.level
            for gateway in (office.gateway, kit.gateway)
            for one in gateway.findings()
            if one.check == "kit"
        ]

    assert levels() == [Level.OK, Level.OK]
    office.clock.advance(3 * DAY_S)
    assert levels() == [Level.WARN, Level.WARN]


# Taken over


def test_merge_brings_everything_and_the_gateway_goes_on(office: Any, make_kit: Any) -> None:
    """Bulletins, evidence, history; the next number with a serial that no phone has seen."""
    kit = make_kit()
    name = issue(kit, kit.document())
    kit.send("kt")
    kit.send("skt")
    kit.send("lguplus")
    given = serials(kit)
    record, merged = offline.merge_kit(office.gateway, kit.gateway.home)

    assert merged.bulletins == (name,)
    assert (merged.to_send, record.name) == (0, kit.record.name)
    with office.gateway.store.read() as tx, kit.gateway.store.read() as theirs:
        assert tx.bulletin(name) == theirs.bulletin(name)
        mine, its = tx.deliveries(name), theirs.deliveries(name)
        assert [replace(one, delivery_id=0) for one in mine] == [
            replace(one, delivery_id=0) for one in its
        ]
        events = [one for one in tx.events(name) if "kit" in one.detail]
        assert [one.what for one in events] == [one.what for one in theirs.events(name)]
        assert {one.detail["kit"] for one in events} == {kit.record.name}
        assert [one.what for one in tx.events(kit.record.name)] == ["kit-made", "kit-merged"]
    assert office.gateway.history.verify().size
    incident_id = name.partition("/")[0]
    number_two = office.issue(office.later("progress", incident=incident_id)).bulletin
    assert number_two.bulletin_id == f"{incident_id}/2"
    with office.gateway.store.read() as tx:
        ordered = tx.deliveries(number_two.bulletin_id)
    fresh = {
        (one.lineage.message_identifier, int(one.serial_number))
        for one in ordered
        if not one.is_stop
    }
    stopped = {
        (one.lineage.message_identifier, int(one.serial_number)) for one in ordered if one.is_stop
    }
    assert fresh.isdisjoint(given)
    assert stopped == given
    report = office.gateway.telling.report(incident_id)
    assert [one["bulletin"] for one in report["bulletins"]] == [name, number_two.bulletin_id]
    assert report["deliveries"][0]["states"]["acked"] > 0


def test_stop_after_a_merge_names_the_broadcast_as_the_carrier_knows_it(
    office: Any, make_kit: Any
) -> None:
    """By the carrier's name and by our own, as the kit had them."""
    kit = make_kit()
    name = issue(kit, kit.document(texts={"ko": "[과기정통부] KT 통신 장애"}))
    kit.send("kt")
    offline.merge_kit(office.gateway, kit.gateway.home)
    office.issue(office.later("withdrawal", incident=name.partition("/")[0]))

    with office.gateway.store.read() as tx:
        stop = next(one for one in tx.deliveries() if one.is_stop and one.lineage.peer_id == "kt")
        handle = tx.handle(stop)
    assert handle.name == f"ref-{name}"
    assert handle.alias in aliases(kit)


def test_what_the_kit_had_not_sent_goes_on_once(office: Any, make_kit: Any) -> None:
    """Broadcasts only, with the same serial number: the carrier was away. Short messages end."""
    office.gateway.import_recipients("skt", b"number,region,language\n821012345678,KR-26,ko\n")
    kit = make_kit(with_recipients=True)
    name = issue(kit, kit.document())
    kit.send("kt")
    _, merged = offline.merge_kit(office.gateway, kit.gateway.home)
    with office.gateway.store.read() as tx:
        states = {
            (one.lineage.peer_id, one.lineage.channel): one.state for one in tx.deliveries(name)
        }
    sent = office.send("skt")

    assert merged.to_send == 4
    assert states["kt", Channel.BROADCAST] is DeliveryState.ACKED
    assert states["skt", Channel.BROADCAST] is DeliveryState.READY
    assert states["skt", Channel.SMS] is DeliveryState.SUPERSEDED
    assert {
        (one.broadcast.message_identifier, int(one.broadcast.serial_number)) for one in sent
    } == serials(kit)
    assert office.send("kt") == []


def test_receipts_and_answers_find_their_messages_after_a_merge(office: Any, make_kit: Any) -> None:
    """What centres called messages, what receipts told, where it is on air, what people wrote."""
    office.gateway.import_recipients("kt", b"number,region,language\n821012345678,KR-26,ko\n")
    kit = make_kit(with_recipients=True)
    name = issue(kit, kit.document())
    kit.send("kt")
    evidence = OnAirEvidence(office.clock.now(), MessageState.DELIVERED)
    with kit.gateway.store.transaction() as tx:
        rows = [one for one in tx.deliveries(name) if one.lineage.peer_id == "kt"]
        (sms,) = [one for one in rows if one.lineage.channel is Channel.SMS]
        aired = next(one for one in rows if one.lineage.channel is Channel.BROADCAST)
        taken = TakenIds(sms.delivery_id, 1, range(1), [b"msg-7"])
        tx.add_taken_ids("kt", taken, recipients=1)
        tx.put_receipt_states(sms.delivery_id, bytes([MessageState.DELIVERED]))
        tx.ask_on_air(aired, due=office.clock.now())
        tx.put_on_air(aired.delivery_id, evidence)
        message = IncomingMessage("821012345678", "1234", "상태", 1, 1, 0)
        tx.add_message("kt", message, at=office.clock.now())
    office.issue(office.document(incident=incident(office, "before")))  # other numbers here
    offline.merge_kit(office.gateway, kit.gateway.home)
    offline.merge_kit(office.gateway, kit.gateway.home)

    with office.gateway.store.read() as tx:
        rows = [one for one in tx.deliveries(name) if one.lineage.peer_id == "kt"]
        (here,) = [one for one in rows if one.lineage.channel is Channel.SMS]
        ((_, peer, ids),) = tx.taken_ids(after=0, limit=10)
        assert (peer, ids) == ("kt", replace(taken, delivery_id=here.delivery_id))
        assert here.delivery_id != sms.delivery_id
        assert tx.receipt_states(here.delivery_id).states == bytes([MessageState.DELIVERED])
        assert [one.on_air for one in rows if one.on_air is not None] == [evidence]
        assert [one.message for one in tx.messages(limit=9)] == [message]


def test_what_was_in_flight_in_a_kit_is_in_doubt_here(office: Any, make_kit: Any) -> None:
    """Its machine died; phones know a broadcast that comes again."""
    kit = make_kit()
    name = issue(kit, kit.document())
    with kit.gateway.store.transaction() as tx:
        one = tx.deliveries(name)[0]
        tx.settle(one, DeliveryState.INTENT, at=office.clock.now(), is_on_air=True)
    offline.merge_kit(office.gateway, kit.gateway.home)

    with office.gateway.store.read() as tx:
        assert tx.deliveries(name)[0].state is DeliveryState.IN_DOUBT
    office.send(one.lineage.peer_id)
    with office.gateway.store.read() as tx:
        assert tx.deliveries(name)[0].state is DeliveryState.ACKED


def test_merging_again_changes_nothing(office: Any, make_kit: Any) -> None:
    """However often; a crash between its two halves is mended by doing it again."""
    kit = make_kit()
    issue(kit, kit.document())
    offline.merge_kit(office.gateway, kit.gateway.home)
    with office.gateway.store.read() as tx:
        before = tx.audit_size(), tx.audit_root()
    _, merged = offline.merge_kit(office.gateway, kit.gateway.home)

    assert (merged.bulletins, merged.to_send, merged.leaves) == ((), 0, 0)
    with office.gateway.store.read() as tx:
        assert (tx.audit_size(), tx.audit_root()) == before


def test_promises_of_a_kit_are_kept_by_the_gateway(office: Any, make_kit: Any) -> None:
    """What people were told to expect is missed here when nobody tells them more."""
    kit = make_kit()
    name = issue(kit, kit.document(next_update="PT30M"))
    offline.merge_kit(office.gateway, kit.gateway.home)
    assert [one["bulletin"] for one in office.gateway.telling.promises()] == [name]
    office.clock.advance(31 * 60)

    (missed,) = office.gateway.telling.sweep()
    assert missed.bulletin_id == name


def test_merge_counts_against_the_gateways_budget(office: Any, make_kit: Any) -> None:
    """People were told that often, by whichever of the two."""
    kit = make_kit()
    issue(kit, kit.document())
    with kit.gateway.store.transaction() as tx:
        tx.put_spent(f"inc-1.{kit.record.name}/1", "KR-26")
    offline.merge_kit(office.gateway, kit.gateway.home)

    with office.gateway.store.read() as tx:
        tokens, _ = tx.tokens("KR-26", "safety", "")
        assert tx.has_spent(f"inc-1.{kit.record.name}/1", "KR-26")
    capacity = office.gateway.deployment.alert_class("safety").limit.capacity
    assert tokens == capacity - 1


def test_copy_of_a_kit_that_was_used_as_well_is_found(
    office: Any, make_kit: Any, tmp_path: Path
) -> None:
    """Both have given out the same serial numbers; the second merge says so and takes nothing."""
    kit = make_kit()
    copy = tmp_path / "copy"
    shutil.copytree(kit.gateway.home, copy)
    issue(kit, kit.document())
    offline.merge_kit(office.gateway, kit.gateway.home)
    with Gateway.open(copy, clock=office.clock) as gateway:
        other = Office(gateway, office.clock, office.keys)
        issue(other, kit.document(incident=incident(office, "inc-9")))
        issue(
            other,
            kit.document(incident=incident(office, "inc-8"), texts={"ko": "[과기정통부] 장애"}),
        )

    with pytest.raises(AuditError, match="another copy of the kit"):
        offline.merge_kit(office.gateway, copy)
    with office.gateway.store.read() as tx:
        assert tx.incident(f"inc-9.{kit.record.name}") is None


def test_kit_of_another_gateway_is_refused(
    office: Any, make_kit: Any, make_office: Any, tmp_path: Path
) -> None:
    """And a folder that is no kit at all."""
    kit = make_kit()
    other = make_office(name="other")

    with pytest.raises(InputError, match="was not made by this gateway"):
        offline.merge_kit(other.gateway, kit.gateway.home)
    with pytest.raises(InputError, match="no offline kit"):
        offline.merge_kit(office.gateway, other.gateway.home)


def test_kit_whose_history_has_another_key_is_refused(office: Any, make_kit: Any) -> None:
    """Somebody has made it anew."""
    kit = make_kit()
    with office.gateway.store.transaction() as tx:
        tx._connection.execute("UPDATE kit SET audit_public_key = zeroblob(32)")

    with pytest.raises(AuditError, match="another key"):
        offline.merge_kit(office.gateway, kit.gateway.home)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE bulletin SET plan = '{}'", "not the one that was approved"),
        (
            "UPDATE delivery SET order_document = replace(order_document, 'KR-26', 'KR-11')",
            "not part of what was approved",
        ),
        ("UPDATE delivery SET seal = replace(seal, '.', '..')", "Web Signature"),
        (
            "UPDATE bulletin SET decision = json_set(decision, '$.decided_by', 'alice')",
            "not known or not trusted",
        ),
        (
            "UPDATE incident SET incident_id = 'elsewhere'",
            "none of its own",
        ),
    ],
)
def test_kit_that_somebody_has_changed_is_refused(
    office: Any, make_kit: Any, monkeypatch: pytest.MonkeyPatch, damage: str, words: str
) -> None:
    """Orders, plans, decisions and seals have to be those that two people signed."""
    kit = make_kit()
    issue(kit, kit.document())
    connection = kit.gateway.store._connection
    connection.pragma("foreign_keys", False)
    connection.execute(damage)
    monkeypatch.setattr("cbgateway.history.History.verify", lambda _: None)
    with office.gateway.store.read() as tx:
        before = tx.audit_size()

    with pytest.raises(SignatureInvalidError, match=words):
        offline.merge_kit(office.gateway, kit.gateway.home)
    with office.gateway.store.read() as tx:
        assert tx.audit_size() == before


def test_kit_whose_history_was_changed_is_refused(office: Any, make_kit: Any) -> None:
    """Its own hashes say so, before anything is taken over."""
    kit = make_kit()
    issue(kit, kit.document())
    connection = kit.gateway.store._connection
    connection.execute("DROP TRIGGER audit_is_never_changed")
    connection.execute(
        "UPDATE audit SET entry = cast(replace(cast(entry AS TEXT), 'alice', 'malice') AS BLOB)"
    )

    with pytest.raises(AuditError):
        offline.merge_kit(office.gateway, kit.gateway.home)


def test_revoked_approver_is_in_the_history_and_sends_nothing_more(
    office: Any, make_kit: Any
) -> None:
    """The kit could not know; what went out went out."""
    kit = make_kit()
    name = issue(kit, kit.document())
    kit.send("kt")
    office.gateway.keyring.revoke("bob")
    offline.merge_kit(office.gateway, kit.gateway.home)

    assert office.send("skt") == []
    with office.gateway.store.read() as tx:
        states = {one.lineage.peer_id: one.state for one in tx.deliveries(name)}
        assert tx.bulletin(name).state is BulletinState.LIVE
    assert (states["kt"], states["skt"]) == (DeliveryState.ACKED, DeliveryState.REFUSED)


def test_settings_of_a_kit_can_be_read_back(office: Any) -> None:
    """Controllers too, with names as people write them."""
    controller = ControllerSettings(
        mode="test", network="kt-gsm", role="listen", host="127.0.0.9", source="127.0.0.1"
    )
    settings = office.gateway.settings.model_copy(update={"controllers": {"bsc 1": controller}})
    text = offline.settings_text(settings)

    read = tomllib.loads(text)
    assert read["controllers"] == {
        "bsc 1": {
            "mode": "test",
            "network": "kt-gsm",
            "role": "listen",
            "host": "127.0.0.9",
            "source": "127.0.0.1",
        }
    }
    assert read["carriers"]["kt"]["password_file"] == "secrets/kt.password"
