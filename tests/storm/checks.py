"""What has to be true after every storm: the guarantees, over what really reached the phones."""

from collections import Counter
from datetime import timedelta
from typing import Any

from cbgateway.codec import cbs
from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.incoming import MessageState, message_states
from cbgateway.domain.lifecycle import BULLETIN_TRANSITIONS, DELIVERY_TRANSITIONS, DeliveryState
from cbgateway.domain.orders import Submit, decode_order
from cbgateway.domain.outcomes import Outcome
from tests.storm.world import START, World

COPIES_MAX = 2
REVOKED_WITHIN_S = 5.0
STOPPED_WITHIN_S = 3.0
ANSWERED_WITHIN_S = 10.0
LAST_REPETITION = timedelta(seconds=120)
"""A broadcast is off the air after its last transmission, up to a period before it expires."""


def problems(world: World) -> list[str]:
    """Give every broken guarantee."""
    gateway = world.open_gateway()
    with gateway.store.read() as tx:
        records = {one.bulletin.bulletin_id: one for one in tx.bulletins()}
        deliveries = tx.deliveries()
    found: list[str] = []
    found += _nothing_lost(world, records, deliveries)
    found += _all_ended(deliveries)
    found += _copies(world, deliveries)
    found += _on_air(world, records, deliveries)
    found += _serials(world)
    found += _only_approved(world, records)
    found += _cancels(world, deliveries)
    try:
        gateway.history.verify()
    except Exception as error:  # noqa: BLE001 - whatever it is, the log does not verify
        found.append(f"audit: {error}")
    gateway.store.close()
    gateway.marks.close()
    return found


def _nothing_lost(world: World, records: Any, deliveries: Any) -> list[str]:
    """G1: what was accepted is there, approved, with all its orders."""
    found = []
    by_bulletin = Counter(row.bulletin_id for row in deliveries)
    for entry in world.bulletins:
        if not entry["is_accepted"]:
            continue
        record = records.get(entry["id"])
        if record is None or record.decision is None or not record.decision.plan_hash:
            found.append(f"lost: {entry['id']} was accepted and is not there")
        elif entry["kind"] != "withdrawal" and not by_bulletin[entry["id"]]:
            found.append(f"lost: {entry['id']} has no orders")
        elif record.state not in BULLETIN_TRANSITIONS:
            found.append(f"state: {entry['id']} is {record.state}")
    return found


def _all_ended(deliveries: Any) -> list[str]:
    """G4: after the calm, everything is in a state that needs nobody."""
    found = []
    for row in deliveries:
        is_open = row.state in {DeliveryState.READY, DeliveryState.INTENT}
        if row.state is DeliveryState.IN_DOUBT:
            is_open = row.lineage.channel.value == "broadcast" or Outcome.IN_DOUBT in row.outcomes
        if is_open and "no budget" not in row.reason:
            found.append(
                f"not ended: delivery {row.delivery_id} of {row.bulletin_id} at "
                f"{row.lineage.peer_id} {row.lineage.channel} is {row.state}: {row.reason} "
                f"{row.outcomes.hex()}"
            )
        if not DELIVERY_TRANSITIONS[row.state] and Outcome.SENDING in row.outcomes:
            found.append(f"ended in flight: delivery {row.delivery_id}")
    return found


def _copies(world: World, deliveries: Any) -> list[str]:
    """G6: nobody gets a third copy; a yes means that a copy is there."""
    found = []
    copies: Counter[tuple[str, str]] = Counter()
    for centre in world.centres.values():
        for _, number, text in centre.network.messages:
            copies[number, text] += 1
    for (number, text), count in copies.items():
        if count > COPIES_MAX:
            found.append(f"copies: {number} got {text!r} {count} times")
    world.copies = copies  # type: ignore[attr-defined]
    told = (row.receipts.states for row in deliveries if row.receipts is not None)
    world.receipts = sum(len(states) - states.count(0) for states in told)  # type: ignore[attr-defined]
    texts = {entry["id"]: entry["text"] for entry in world.bulletins}
    for row in deliveries:
        if row.recipients:
            found += _outcomes(
                row, {number: copies[number, texts[row.bulletin_id]] for number in _recipients(row)}
            )
    return found


def _recipients(row: Any) -> tuple[str, ...]:
    order = decode_order(row.order)
    assert isinstance(order, Submit)
    return order.recipients


def _outcomes(row: Any, copies: dict[str, int]) -> list[str]:
    """What is said of each recipient is true."""
    found = []
    if row.receipts is not None:
        world_states = message_states(row.receipts.states, row.receipts.parts)
        for number, octet, state in zip(copies, row.outcomes, world_states, strict=False):
            if state == MessageState.DELIVERED and octet != Outcome.ACCEPTED:
                found.append(f"receipts: {number} has {row.bulletin_id}, and stands as {octet}")
    for (number, count), octet in zip(copies.items(), row.outcomes, strict=False):
        if octet == Outcome.ACCEPTED and not count:
            found.append(f"lost: {number} is said to have {row.bulletin_id}, and has not")
        if octet == Outcome.UNSENT and count:
            found.append(f"untrue: {number} has {row.bulletin_id}, said to be unsent")
    return found


def _on_air(world: World, records: Any, deliveries: Any) -> list[str]:
    """G8, G9: at the end, each centre has the newest version of each incident, and no other."""
    newest: dict[str, Any] = {}
    for record in records.values():
        if record.decision is not None and record.decision.plan_hash:
            known = newest.get(record.bulletin.incident_id)
            if known is None or record.bulletin.number > known.bulletin.number:
                newest[record.bulletin.incident_id] = record
    allowed = {
        record.bulletin.texts["ko"]
        for record in newest.values()
        if record.bulletin.texts and record.state is not BulletinState.WITHDRAWN
    }
    # A newest bulletin whose sender was revoked before it left replaces nothing.
    allowed |= {
        entry["text"]
        for entry in world.bulletins
        if entry["incident"] in newest
        and newest[entry["incident"]].bulletin.sender in world.revoked
    }
    found = []
    for code, centre in world.centres.items():
        on_air = Counter((_text_of(one), one.area) for one in centre.network.on_air.values())
        for (text, area), count in on_air.items():
            if text not in allowed:
                found.append(f"on air: {code} in {area} still repeats {text!r}")
            if count > 1:
                found.append(f"on air: {code} in {area} repeats {text!r} {count} times over")
        mine = [row for row in deliveries if row.lineage.peer_id == code]
        found += _missing(code, set(on_air), mine, newest, world.clock.now())
    return found


def _missing(code: str, on_air: Any, deliveries: Any, newest: Any, now: Any) -> list[str]:
    """What a centre has said yes to is what it repeats."""
    said_yes = {
        (row.bulletin_id, row.lineage.region)
        for row in deliveries
        if row.state is DeliveryState.ACKED and not row.is_stop and not row.recipients
    }
    return [
        f"on air: {code} lacks {record.bulletin.bulletin_id} in {area}"
        for record in newest.values()
        if record.bulletin.texts and record.bulletin.expires > now + LAST_REPETITION
        for area in record.bulletin.regions
        if (record.bulletin.bulletin_id, area) in said_yes
        and (record.bulletin.texts["ko"], area) not in on_air
    ]


def _text_of(one: Any) -> str:
    pages = [cbs.decode_gsm_page(page) for page in one.pages]
    return cbs.read_pages([page.page for page in pages], dcs=pages[0].dcs).text


def _serials(world: World) -> list[str]:
    """G5: no serial number ever stands for two texts, and phones show a text once."""
    found = []
    for code, centre in world.centres.items():
        seen: dict[bytes, str] = {}
        for _, one in centre.network.broadcasts:
            key = one.pages[0][:4] + one.area.encode()
            text = _text_of(one)
            if seen.setdefault(key, text) != text:
                found.append(f"serial: {code} uses {key[:4].hex()} for two texts")
        shown = Counter(
            (number, text)
            for number, text in centre.network.shown
            if not number.endswith(tuple(f"{n:04d}" for n in range(12)))
        )
        for (number, text), count in shown.items():
            if count > 1:
                found.append(f"shown: {number} showed {text!r} {count} times")
    return found


def _cancels(world: World, deliveries: Any) -> list[str]:
    """G8: a withdrawal's stops leave at once wherever the gateway is connected, hung or not."""
    found = []
    for entry in world.bulletins:
        if not entry["is_accepted"] or entry["kind"] != "withdrawal":
            continue
        since_s = entry["approved_at_s"]
        until_s = since_s + STOPPED_WITHIN_S
        peers = {
            row.lineage.peer_id
            for row in deliveries
            if row.bulletin_id == entry["id"]
            and row.is_stop
            and row.state in {DeliveryState.ACKED, DeliveryState.REFUSED}
            and row.attempts  # else its author was revoked
        }
        for code in peers & set(entry["bound_at"]):
            is_calm = not any(
                since_s <= at_s <= until_s for at_s, where in world.troubles if where == code
            )
            has_left = any(  # or an earlier one of the same, which is still waited for
                since_s - ANSWERED_WITHIN_S <= at_s <= until_s
                for at_s, where in world.stops
                if where == code
            )
            if is_calm and not has_left:
                found.append(f"cancel: {entry['id']} did not leave for {code} at once")
    return found


def _only_approved(world: World, records: Any) -> list[str]:
    """G3, G11: every text was approved before it left, in time, by people who may."""
    found = []
    entries = {entry["text"]: entry for entry in world.bulletins if entry["text"]}
    for code, centre in world.centres.items():
        sent = [(at_s, _text_of(one)) for at_s, one in centre.network.broadcasts]
        sent += [(at_s, text) for at_s, _, text in centre.network.messages]
        for at_s, text in sent:
            entry = entries.get(text)
            record = records.get(entry["id"]) if entry else None
            if entry is None or record is None or record.decision is None:
                found.append(f"unapproved: {code} got {text!r}")
                continue
            since_start_s = at_s - START.timestamp()
            if since_start_s + 0.001 < entry["approved_at_s"]:
                found.append(f"unapproved: {code} got {entry['id']} before its approval")
            if at_s > entry["expires"].timestamp() + 15:
                found.append(f"expired: {code} got {entry['id']} after its end")
            revoked_at_s = world.revoked.get(entry["sender"])
            if revoked_at_s is not None and since_start_s > revoked_at_s + REVOKED_WITHIN_S + 13:
                found.append(f"revoked: {code} got {entry['id']} {since_start_s - revoked_at_s}")
    return found
