"""Working cut off: kits are made beforehand, used where only carriers are reached, taken over.

A kit is a gateway of its own in a folder that somebody carries: profiles, people, carriers'
passwords, sealing keys and message codes that nobody else has. It starts no server and asks
nobody's leave; ADR 0064 says why its serial numbers can never be another gateway's.
"""

import asyncio
import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cbgateway.app import Gateway, load_checked_profiles
from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.delivery import Event, Recipient
from cbgateway.domain.errors import (
    AuditError,
    InputError,
    SerialsExhaustedError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.kits import KitRecord, slot_codes, with_kit
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.home import KIT_DAYS_MAX, make_home, replace_file, serving_lock
from cbgateway.interfaces.schema import parse_bulletin, parse_json
from cbgateway.service.approval import Prepared
from cbgateway.service.contacts import SUBJECT as CONTACTS
from cbgateway.service.evidence import GATEWAY
from cbgateway.service.merging import Merged, merge
from cbgateway.service.serials import SERIAL_MARGIN_S
from cbgateway.settings import CarrierSettings, Settings
from cbgateway.signing.canonical import decode_base64url
from cbgateway.signing.keys import SigningKey
from cbgateway.storage.rows import milliseconds
from cbgateway.storage.sqlite import SqliteStore

NAME_CHARACTERS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's, as people read them out
OPEN = frozenset({DeliveryState.READY, DeliveryState.INTENT, DeliveryState.IN_DOUBT})
POLL_S = 0.1
Confirm = Callable[[Prepared], str]
"""Shows the second person what would go out, and gives what they have typed."""


# Making a kit


def make_kit(gateway: Gateway, out: Path, *, days: int, with_recipients: bool) -> KitRecord:
    """Make a kit in a new folder, and register it.

    Args:
        gateway: the main one.
        out: a folder that is not there yet, or empty.
        days: until then the kit may be used.
        with_recipients: the carriers' lists of numbers, too.

    Raises:
        InputError: the folder is in use, or cannot be written.
        WorkflowError: this gateway is a kit itself.
        SerialsExhaustedError: every slot is taken.
    """
    own = gateway.deployment.kit
    if own is not None:
        msg = f"{gateway.home} is {own.name}, a kit itself; the main gateway makes kits"
        raise WorkflowError(msg)
    if not 1 <= days <= KIT_DAYS_MAX:
        msg = f"days: 1 to {KIT_DAYS_MAX}"
        raise InputError(msg)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        msg = f"{out} is not empty; a kit is made in a folder of its own"
        raise InputError(msg)
    now = gateway.clock.now().replace(microsecond=0)
    until = now + timedelta(days=days)
    name = _unused_name(gateway)
    slot = gateway.marks.claim_slot(name, until=until, unused_since=now - _rest(gateway))
    if slot is None:
        msg = "every slot for kits is taken; `cbgateway offline list` shows them, `retire` ends one"
        raise SerialsExhaustedError(msg)
    unfinished = out.with_name(f".{out.name}.{name}")
    try:
        record = _fill(gateway, unfinished, name, slot, now, until, with_recipients=with_recipients)
        if out.exists():
            out.rmdir()
        unfinished.rename(out)
    except OSError as error:
        msg = f"{out}: {error.strerror}"
        raise InputError(msg) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return record


def _rest(gateway: Gateway) -> timedelta:
    """Give how long phones may remember what a kit sent at its last moment."""
    country = gateway.deployment.country
    on_air_s = max(country.message_expiry_max_s, country.all_clear_expiry_s)
    return timedelta(seconds=on_air_s + country.duplicate_window_s + SERIAL_MARGIN_S)


def _unused_name(gateway: Gateway) -> str:
    with gateway.store.read() as tx:
        known = {kit.name for kit in tx.kits()}
    while True:
        name = "kit" + "".join(secrets.choice(NAME_CHARACTERS) for _ in range(4))
        if name not in known:
            return name


def _fill(
    gateway: Gateway,
    folder: Path,
    name: str,
    slot: int,
    now: datetime,
    until: datetime,
    *,
    with_recipients: bool,
) -> KitRecord:
    """Make the folder; the kit is registered once everything in it is there."""
    facts = {
        "kit": name,
        "kit_slot": str(slot),
        "kit_until": str(milliseconds(until)),
        "kit_of": gateway.store.meta["gateway_id"],
    }
    settings = gateway.settings
    made = make_home(
        folder,
        settings_text(settings),
        load_checked_profiles(settings.profiles),
        mode=settings.mode,
        country=settings.country,
        at=now,
        facts=facts,
    )
    for code, carrier in settings.carriers.items():
        replace_file(made.carriers[code].password_file, carrier.password_file.read_bytes())
        target = made.carriers[code].tls_ca_file
        if carrier.tls_ca_file is not None and target is not None:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            replace_file(target, carrier.tls_ca_file.read_bytes())
    for mine, theirs in ((settings.profiles, made.profiles), (settings.cells, made.cells)):
        if mine is not None and theirs is not None and mine.is_dir():
            shutil.copytree(mine, theirs)
    with closing(SqliteStore.open(made.database)) as store:
        _copy_people(gateway, store, now)
        if with_recipients:
            _copy_recipients(gateway, store)
        meta = store.meta
        with store.read() as kit, gateway.store.transaction() as tx:
            record = KitRecord(
                name=name,
                slot=slot,
                gateway_id=meta["gateway_id"],
                audit_public_key=decode_base64url(meta["audit_public_key"]),
                made_at=now,
                until=until,
            )
            tx.put_kit(record)
            for key in kit.region_keys():
                tx.put_region_key(replace(key, until=until, kit=name))
            detail = {"slot": slot, "gateway": record.gateway_id, "until": until.isoformat()}
            tx.record(Event(now, name, "kit-made", GATEWAY, detail))
    return record


def _copy_people(gateway: Gateway, store: SqliteStore, now: datetime) -> None:
    """Have the kit know who may decide, and which numbers were tried; machines have no part."""
    with gateway.store.read() as mine, store.transaction() as tx:
        for person in mine.people():
            if person.owner or person.is_revoked:
                continue
            tx.put_person(person)
            for key in mine.person_keys(person.name):
                if not key.is_revoked and (key.until is None or key.until > now):
                    tx.put_person_key(key)
        for event in mine.events(CONTACTS):
            tx.record(event)


def _copy_recipients(gateway: Gateway, store: SqliteStore) -> None:
    deployment = gateway.deployment
    regions = tuple(deployment.regions)
    for code in deployment.carriers:
        with gateway.store.read() as tx:
            listed: Iterable[Recipient] = tx.recipients(code, regions)
            store.put_recipients(code, enumerate(listed, start=1))


def settings_text(settings: Settings) -> str:
    """Write the settings of a kit: carriers and controllers, no server, no broker, no page."""
    lines = [
        "# An offline kit. Where the carriers are reached otherwise from where it is used, or take",
        "# another account, change it here beforehand, and try it: `cbgateway doctor`.",
        *_toml({"mode": settings.mode.value, "country": settings.country}),
        f"ballast_mib = {settings.ballast_mib}",
    ]
    if settings.deadlines is not None:
        lines += _toml({"deadlines": settings.deadlines})
    if settings.profiles is not None:
        lines.append('profiles = "profiles"')
    for code, carrier in settings.carriers.items():
        lines += ["", f"[carriers.{code}]", *_toml(_carrier(code, carrier))]
    for name, controller in settings.controllers.items():
        table = controller.model_dump(mode="json", exclude_defaults=True)
        lines += ["", f"[controllers.{json.dumps(name)}]", *_toml(table)]
    return "\n".join(lines) + "\n"


def _carrier(code: str, carrier: CarrierSettings) -> dict[str, Any]:
    """Give a carrier's table; a centre that connects to the main gateway will not find a kit."""
    table = carrier.model_dump(mode="json", exclude_defaults=True, exclude={"outbind"})
    table["password_file"] = f"secrets/{code}.password"
    if carrier.tls_ca_file is not None:
        table["tls_ca_file"] = f"tls/{code}.pem"
    return table


def _toml(table: Mapping[str, Any]) -> Iterator[str]:
    """Write simple values; a JSON string, list or number is a TOML one."""
    for name, value in table.items():
        yield f"{name} = {json.dumps(value, ensure_ascii=False)}"


# Using a kit


def issue(
    gateway: Gateway, octets: bytes, keys: tuple[SigningKey, SigningKey], ask: Confirm
) -> str:
    """Submit a bulletin with one person's key and approve it with another's; gives its name.

    Whoever the document names as its sender submits it; the other one is shown what would go out,
    and approves. The same document again goes on where the first time has ended.

    Args:
        gateway: a kit.
        octets: the document, as the main gateway would take it.
        keys: of the two.
        ask: shows the second person every text and order before they sign.

    Raises:
        InputError: it is no kit, or no bulletin.
        PolicyError: a rule refuses it; the subclass says which.
        SignatureInvalidError: nobody who is known here has one of the keys.
    """
    kit = gateway.deployment.kit
    if kit is None:
        msg = (
            f"{gateway.home} is no offline kit; beside a gateway, `bulletin submit` and `approve` "
            "do the same, and a copy of its folder would repeat its serial numbers"
        )
        raise InputError(msg)
    document = parse_json(octets)
    for member in ("identifier", "incident"):
        value = document.get(member)
        if isinstance(value, str):
            document[member] = with_kit(value, kit.name)
        elif isinstance(value, dict) and isinstance(value.get("id"), str):
            document[member] = {**value, "id": with_kit(value["id"], kit.name)}
    named = json.dumps(document, ensure_ascii=False).encode()
    first, second = _in_order(gateway, parse_bulletin(named).sender, keys)
    record = gateway.submit(named, key=first)
    bulletin_id = record.bulletin.bulletin_id
    if record.state is BulletinState.PENDING:
        prepared = gateway.prepare(bulletin_id)
        gateway.approve(prepared, key=second, confirmation=ask(prepared))
    return bulletin_id


def _in_order(
    gateway: Gateway, sender: str, keys: tuple[SigningKey, SigningKey]
) -> tuple[SigningKey, SigningKey]:
    """Give the sender's key first, whichever way they were named."""
    with gateway.store.read() as tx:
        second = tx.person_key(keys[1].key_id)
    is_turned = second is not None and second.holder == sender
    return (keys[1], keys[0]) if is_turned else keys


def send(gateway: Gateway, *, wait_s: float) -> bool:
    """Have carriers carry out what is open; False when some of it still is after a while.

    Raises:
        ConfigurationError: mode live, and something is not as it has to be.
        WorkflowError: the kit's time is over.
        StoreError: another process sends for this gateway already.
        StoreFailedError: the disk failed.
    """
    return asyncio.run(_send(gateway, wait_s))


async def _send(gateway: Gateway, wait_s: float) -> bool:
    stop = asyncio.Event()
    serving = asyncio.create_task(gateway.serve(stop))
    serving.add_done_callback(lambda _: stop.set())
    deadline = asyncio.get_running_loop().time() + wait_s
    while not stop.is_set():
        if not is_open(gateway) or asyncio.get_running_loop().time() >= deadline:
            stop.set()
        await asyncio.sleep(POLL_S)
    await serving
    return not is_open(gateway)


def is_open(gateway: Gateway) -> bool:
    """Tell whether anything waits, or is in doubt."""
    with gateway.store.read() as tx:
        return any(state in OPEN for _, state in tx.count_open())


# Coming back


def merge_kit(gateway: Gateway, folder: Path) -> tuple[KitRecord, Merged]:
    """Take over what a kit did, and close it; what was taken over before is not taken twice.

    Raises:
        InputError: the folder is no kit of this gateway.
        AuditError: the kit's history was changed, or this is another copy of it.
        SignatureInvalidError: something in it is not what people signed.
        StoreError: somebody sends with the kit at this moment.
    """
    with Gateway.open(folder, clock=gateway.clock) as kit:
        record = _record_of(gateway, kit)
        with serving_lock(kit.settings):
            kit.store.set_fact("kit_closed", str(milliseconds(gateway.clock.now())))
            kit.history.verify()
            now = gateway.clock.now()
            with kit.store.read() as theirs, gateway.store.transaction() as tx:
                known = next(one for one in tx.kits() if one.name == record.name)
                merged = merge(tx, theirs, gateway.deployment, known, now=now)
    return record, merged


def _record_of(gateway: Gateway, kit: Gateway) -> KitRecord:
    """Find what is known here of a kit.

    Raises:
        InputError: it is none, or another gateway's.
        AuditError: its history is signed with another key than when it was made.
    """
    own = kit.deployment.kit
    if own is None:
        msg = f"{kit.home} is no offline kit"
        raise InputError(msg)
    with gateway.store.read() as tx:
        found = next((one for one in tx.kits() if one.name == own.name), None)
    if found is None or found.gateway_id != kit.store.meta["gateway_id"]:
        msg = f"{own.name} in {kit.home} was not made by this gateway"
        raise InputError(msg)
    if found.audit_public_key != kit.history.public_key:
        msg = f"{own.name}: its history is signed with another key than when it was made"
        raise AuditError(msg)
    return found


def free_slot(gateway: Gateway, slot: int) -> None:
    """Note that whoever had a slot, and every copy of it, is gone: the marks may know it alone.

    Raises:
        UnknownNameError: nobody has it.
    """
    taken = gateway.marks.slots()
    if slot not in taken:
        raise UnknownNameError("slot", str(slot), known=tuple(map(str, taken)) or ("none taken",))
    now = gateway.clock.now()
    with gateway.store.transaction() as tx:
        tx.record(Event(now, f"slot{slot}", "kit-retired", GATEWAY, {"slot": slot}))
    gateway.marks.end_slot(slot, at=now)


def retire(gateway: Gateway, name: str, *, is_lost: bool) -> KitRecord:
    """Note that a kit and every copy of it is gone, or that it was lost.

    A kit that was destroyed gives its message codes back as soon as no phone can remember them. One
    that was lost keeps them until its end; its sealing keys are revoked.

    Raises:
        UnknownNameError: no such kit.
    """
    now = gateway.clock.now()
    with gateway.store.transaction() as tx:
        kits = {kit.name: kit for kit in tx.kits()}
        if name not in kits:
            raise UnknownNameError("kit", name, known=tuple(kits) or ("none yet",))
        kit = kits[name]
        for key in tx.region_keys():
            if key.kit == name:
                ends = min(now, key.until or now)
                tx.put_region_key(replace(key, until=ends, is_revoked=key.is_revoked or is_lost))
        if not is_lost:
            kit = replace(kit, until=min(now, kit.until))
            tx.put_kit(kit)
        what = "kit-lost" if is_lost else "kit-retired"
        tx.record(Event(now, name, what, GATEWAY, {"slot": kit.slot}))
    if not is_lost:
        gateway.marks.end_slot(kit.slot, at=now)
    return kit


def kits(gateway: Gateway) -> list[dict[str, Any]]:
    """List the slots with the kit that has each, and earlier kits, ready for JSON."""
    now = gateway.clock.now()
    rest = _rest(gateway)
    slots = gateway.marks.slots()
    with gateway.store.read() as tx:
        records = {one.name: one for one in tx.kits()}
    found = []
    for slot, (name, until) in slots.items():
        codes, record = slot_codes(slot), records.pop(name, None)
        found.append(
            {
                "kit": name,
                "slot": slot,
                "codes": [codes[0], codes[-1]],
                "made_at": None if record is None else record.made_at.isoformat(),
                "until": until.isoformat(),
                "is_over": until <= now,
                "free_again_at": (until + rest).isoformat(),
                "merged_leaves": 0 if record is None else record.merged_size,
            }
        )
    return found
