"""What is told without being asked: events as CloudEvents, and the present as retained state.

Events follow the transparency log, one for each leaf. State is worked out anew for the incidents
that the leaves since the last look are about, and published where it has changed.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cbgateway.domain.bulletin import BulletinKind, BulletinState
from cbgateway.domain.delivery import BulletinRecord
from cbgateway.domain.incident import Incident
from cbgateway.domain.ports import Transaction
from cbgateway.interfaces.mqtt.topics import Topics
from cbgateway.service.deployment import Deployment
from cbgateway.service.proposals import CLOSED, proposed_state

BATCH_MAX = 256  # leaves read at once; the rest follows in the next look
PUBLIC = {BulletinState.APPROVED, BulletinState.LIVE}
CONTENT_TYPE = "application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class Told:
    """A message that this gateway publishes.

    Attributes:
        payload: empty takes a retained message away.
    """

    topic: str
    payload: bytes
    retain: bool
    content_type: str = "application/json"


@dataclass(slots=True)
class Board:
    """What was told, so that only changes are told again.

    Attributes:
        source: URI of this gateway, in every event.
        briefings: gives what staff say of each outage that goes on, in every language.
        now: aware; what has passed by then is no more told as if it were to come.
        after: index of the last leaf that was told.
    """

    topics: Topics
    deployment: Deployment
    source: str
    briefings: Callable[[Transaction], Iterable[Mapping[str, Any]]]
    now: Callable[[], datetime]
    after: int = -1
    _minute: datetime | None = None
    _told: dict[str, bytes] = field(default_factory=dict)
    _public: dict[str, dict[str, tuple[datetime, bytes]]] = field(default_factory=dict)

    def begin(self, tx: Transaction) -> None:
        """Forget what was told over an earlier connection; events go on with those that follow."""
        self._told.clear()
        if self.after < 0:
            self.after = tx.audit_size() - 1

    def present(self, tx: Transaction, after: str) -> tuple[list[Told], str]:
        """Tell the present, a part at a time: briefings, outages by name, at the end all else.

        Args:
            tx: reads it.
            after: the outage that was told last; empty for the beginning.

        Returns:
            What to publish, and where to go on; empty at the end. Regions come last, so that
            nobody sees one change while it does not.
        """
        told = [] if after else list(self._briefings(tx))
        incidents = tx.incidents_after(after, limit=BATCH_MAX)
        told += [self._incident(tx, one, set()) for one in incidents]
        for incident in incidents:
            told += self._no_briefings(incident.incident_id)
        if len(incidents) == BATCH_MAX:
            return _some(told), incidents[-1].incident_id
        told += self._carriers(tx)
        told += map(self._region, self.deployment.regions)
        return _some(told), ""

    def look(self, tx: Transaction) -> list[Told]:
        """Tell what has happened since the last look, and what is different now."""
        start = self.after + 1
        leaves = [
            (index, json.loads(entry))
            for index, entry in enumerate(tx.audit_entries(start, start + BATCH_MAX), start)
        ]
        told: list[Told | None] = []
        regions: set[str] = set()
        if leaves:
            self.after = leaves[-1][0]
            told += [self._event(index, leaf) for index, leaf in leaves]
            subjects = dict.fromkeys(leaf["subject"].partition("/")[0] for _, leaf in leaves)
            incidents = filter(None, map(tx.incident, subjects))
            told += [self._incident(tx, incident, regions) for incident in incidents]
            told += map(self._region, sorted(regions))
            told += self._carriers(tx)
        if regions or self._minute != _minute_of(self.now()):
            told += self._briefings(tx)
        return _some(told)

    def _briefing_topic(self, incident_id: str, language: str) -> str:
        return self.topics.state("briefing", f"{incident_id}/{language}")

    def _briefings(self, tx: Transaction) -> Iterator[Told | None]:
        """Give what staff say now; nothing of what ended a day ago.

        What they say changes with what is public, and because a time has passed: to the minute is
        soon enough.
        """
        self._minute = _minute_of(self.now())
        said = {}
        for one in self.briefings(tx):
            topic = self._briefing_topic(one["incident"], one["language"])
            said[topic] = _octets({key: value for key, value in one.items() if key != "readers"})
        begins = self.topics.state("briefing") + "/"
        gone = [topic for topic in self._told if topic.startswith(begins) and topic not in said]
        for topic, payload in (said | dict.fromkeys(gone, b"")).items():
            yield self._state(topic, payload)

    def _no_briefings(self, incident_id: str) -> Iterator[Told | None]:
        """Take away what the broker may still have of an outage that is not spoken of now."""
        for language in self.deployment.words:
            topic = self._briefing_topic(incident_id, language)
            yield None if topic in self._told else self._state(topic, b"")

    def _event(self, index: int, leaf: dict[str, Any]) -> Told:
        at = datetime.fromtimestamp(leaf["at_ms"] / 1000, UTC)
        event = {
            "specversion": "1.0",
            "id": str(index),
            "source": self.source,
            "type": f"cbgateway.{leaf['what']}",
            "subject": leaf["subject"],
            "time": at.isoformat(timespec="milliseconds"),
            "datacontenttype": "application/json",
            "sequence": f"{index:015d}",
            "data": {"actor": leaf["actor"], **leaf["detail"]},
        }
        topic = self.topics.event(leaf["subject"])
        return Told(topic, _octets(event), retain=False, content_type=CONTENT_TYPE)

    def _incident(self, tx: Transaction, incident: Incident, regions: set[str]) -> Told | None:
        """Give how an outage stands; adds the regions that are, or were, told of it."""
        records = tx.bulletins(incident.incident_id)
        public = max(
            (one for one in records if one.state in PUBLIC),
            key=lambda one: one.bulletin.number,
            default=None,
        )
        regions |= self._note(incident.incident_id, public)
        topic = self.topics.state("incident", incident.incident_id)
        return self._state(topic, _incident_state(tx, incident, records))

    def _note(self, incident_id: str, record: BulletinRecord | None) -> set[str]:
        """Note what regions read of an incident now; gives those that do, or did."""
        before = {code for code, one in self._public.items() if incident_id in one}
        now: set[str] = set()
        if record is not None and record.bulletin.kind is not BulletinKind.WITHDRAWAL:
            now = set(record.bulletin.regions)
            for code in now:
                entry = record.bulletin.sent, _public_bulletin(record)
                self._public.setdefault(code, {})[incident_id] = entry
        for code in before - now:
            del self._public[code][incident_id]
        return before | now

    def _region(self, code: str) -> Told | None:
        newest = max(self._public.get(code, {}).values(), default=None)
        return self._state(self.topics.state("region", code), b"" if newest is None else newest[1])

    def _carriers(self, tx: Transaction) -> Iterator[Told | None]:
        counts: dict[str, dict[str, int]] = {code: {} for code in self.deployment.carriers}
        for (peer, state), count in tx.count_open().items():
            counts.setdefault(peer, {})[state.value] = count
        for code, states in counts.items():
            document = {"carrier": code, "open": states}
            yield self._state(self.topics.state("carrier", code), _octets(document))

    def _state(self, topic: str, payload: bytes) -> Told | None:
        """Give a retained message, if it says something else than before."""
        if self._told.get(topic) == payload:
            return None
        self._told[topic] = payload
        return Told(topic, payload, retain=True)


def _minute_of(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def gateway_state(*, is_online: bool, mode: str, gateway: str) -> bytes:
    """Give what `state/gateway` says; the broker says that it is not online when we cannot."""
    return _octets({"gateway": gateway, "mode": mode, "is_online": is_online})


def _incident_state(
    tx: Transaction, incident: Incident, records: tuple[BulletinRecord, ...]
) -> bytes:
    """Give how far an outage has got; nothing once it is over, so that the broker forgets it."""
    if incident.state in CLOSED:
        return b""
    proposed = proposed_state(tx, incident)
    return _octets(
        {
            "incident": incident.incident_id,
            "carrier": incident.carrier,
            "services": [service.value for service in incident.services],
            "started_at": incident.started_at.isoformat(),
            "state": incident.state.value,
            "proposed_state": None if proposed is None else proposed.value,
            "bulletins": {one.bulletin.bulletin_id: one.state.value for one in records},
        }
    )


def _public_bulletin(record: BulletinRecord) -> bytes:
    bulletin = record.bulletin
    next_update = bulletin.next_update_at
    return _octets(
        {
            "bulletin": bulletin.bulletin_id,
            "kind": bulletin.kind.value,
            "message_type": bulletin.kind.message_type.value,
            "class": bulletin.alert_class,
            "mode": bulletin.mode.value,
            "regions": list(bulletin.regions),
            "texts": dict(bulletin.texts),
            "sent": bulletin.sent.isoformat(),
            "expires": bulletin.expires.isoformat(),
            "next_update": None if next_update is None else next_update.isoformat(),
        }
    )


def _some(told: Iterable[Told | None]) -> list[Told]:
    return [one for one in told if one is not None]


def _octets(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()
