"""What all binds of one message centre share: accounts, messages, receipts, broadcasts, phones.

The centre is the simulator's engine. Time is an argument; whoever holds the clock calls `tick`
when `next_tick` says, and sends what the sessions in `take_ready` have to send. It is watched by
`on_event` and `snapshot`, and steered by `set`, `incoming`, `restart` and `unbind_all`.
"""

import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from cbgateway.codec import smpp
from cbsim import receipts
from cbsim.accounts import Account, Accounts, Esme
from cbsim.broadcasts import BroadcastDesk, VendorTlvs, ends_at_s
from cbsim.dialogues import Dialogues
from cbsim.incoming import IncomingTraffic
from cbsim.messages import (
    DELIVERED,
    Message,
    MessageStore,
    Submission,
    draw_fate,
    has_fixed_fate,
    write_id,
)
from cbsim.network import Network
from cbsim.reader import Part
from cbsim.refusal import Refusal
from cbsim.scenario import Director, Scenario
from cbsim.schedule import Schedule

VERSION_3_4 = 0x34
VERSION_5 = 0x50
SCHEDULED_MAX = 1_000_000
"""Calls that may wait; receipts above are lost, and counted."""
HEADERS_MAX = 100_000
"""Headers that are remembered where nothing else is."""
MODE_MASK = 0x03

OnEvent = Callable[[dict[str, Any]], None]


class Session(Protocol):
    """One connection, as the centre sees it."""

    @property
    def number(self) -> int:
        """Counts connections."""
        ...

    @property
    def mode(self) -> str:
        """How it is bound; empty before."""
        ...

    def reset(self) -> None:
        """End it at once, with RST."""
        ...

    def unbind(self, now_s: float) -> None:
        """Ask the ESME to unbind."""
        ...

    def facts(self) -> dict[str, Any]:
        """Tell what can be told of it."""
        ...


@dataclass(slots=True)
class Counters:
    """What has happened since the start."""

    submitted: int = 0
    refused: int = 0
    throttled: int = 0
    receipts: int = 0
    receipts_lost: int = 0
    incoming: int = 0
    looped: int = 0
    delivers_sent: int = 0
    delivers_answered: int = 0
    delivers_refused: int = 0
    delivers_unanswered: int = 0
    delivers_dropped: int = 0
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Setup:
    """How a centre begins.

    Attributes:
        scenario: how it behaves; this alone can be changed later.
        version: of SMPP that it speaks.
        lists: distribution lists, name to numbers.
        is_fast: submit_sm are answered unread, and their headers alone remembered.
    """

    scenario: Scenario = field(default_factory=Scenario)
    version: int = VERSION_5
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_fast: bool = False


class MessageCentre:
    """The engine; see the module."""

    def __init__(
        self,
        name: str,
        network: Network,
        *,
        accounts: tuple[Account, ...],
        areas: Mapping[str, str],
        vendor_tlvs: VendorTlvs,
        now_s: Callable[[], float],
        setup: Setup | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        """Make a centre.

        Args:
            name: its system_id.
            network: phones and radio.
            accounts: who may bind; none for everybody.
            areas: names that stand for regions, besides the regions' own codes.
            vendor_tlvs: where seals and serial numbers stand.
            now_s: seconds since the epoch on the simulator's clock.
            setup: how it behaves; well, when left out.
            on_event: called with what concerns no single session.
        """
        self.name = name
        self.network = network
        self.now_s = now_s
        setup = setup or Setup()
        self.version = setup.version
        self.lists = setup.lists
        self.is_fast = setup.is_fast
        self.headers: deque[bytes] = deque(maxlen=HEADERS_MAX)
        self.on_trace: Callable[[int, str, bytes], None] | None = None
        self.on_message: Callable[[Message], None] | None = None
        self.director = Director(setup.scenario, now_s=now_s())
        self.director.on_change.append(self._on_change)
        self.accounts = Accounts(accounts)
        self.messages = MessageStore()
        self.counters = Counters()
        self.schedule = Schedule()
        self.sessions: dict[int, Session] = {}
        self.down_until_s = 0.0
        self._on_event = on_event or (lambda _event: None)
        self._ready: dict[Session, None] = {}
        self._tags = vendor_tlvs
        self._next_id = 0
        self._next_session = 0
        self._receipts = receipts.ReceiptWriter()
        self.dialogues = Dialogues(network.phones, self._on_event)
        network.on_shown.append(self.dialogues.shown)
        self._phones = IncomingTraffic(
            self.accounts,
            self.schedule,
            rules=lambda: self.scenario.incoming,
            now_s=now_s,
            queue=self._on_incoming,
            phones=network.phones,
            asked=self.dialogues.ask,
            tell=self._on_event,
        )
        self.incoming = self._phones.send
        self._is_simple = False
        self.broadcasts = BroadcastDesk(
            network,
            areas=areas,
            vendor_tlvs=vendor_tlvs,
            rules=lambda: self.scenario.broadcasts,
            next_id=self.next_id,
        )
        self._on_change(now_s())

    @property
    def scenario(self) -> Scenario:
        """How it behaves now."""
        return self.director.scenario

    @property
    def rng(self) -> random.Random:
        """Where everything random comes from."""
        return self.director.rng

    def set(self, changes: Mapping[str, Any], *, now_s: float | None = None) -> Scenario:
        """Change how it behaves, from plain values by group and key.

        Raises:
            SettingsError: a key or value is wrong; then nothing has changed.
        """
        return self.director.set(changes, now_s=self.now_s() if now_s is None else now_s)

    def tick(self, now_s: float) -> None:
        """Do what is due: messages end, receipts leave, delayed answers go, broadcasts repeat."""
        self.schedule.run(now_s)
        self.network.tick(now_s=now_s)
        for esme in self.accounts.esmes.values():
            if esme.queue:
                esme.pump(now_s)

    def next_tick(self) -> float | None:
        """Give when something is due; None when nothing is."""
        times = [one for one in (self.schedule.next_s(), self.network.next_tick()) if one]
        return min(times, default=None)

    def open(self, session: Session) -> int:
        """Take a session in; gives its number."""
        self._next_session += 1
        self.sessions[self._next_session] = session
        return self._next_session

    def close(self, number: int) -> None:
        """Let go of a session."""
        session = self.sessions.pop(number, None)
        if session is not None:
            self._ready.pop(session, None)

    def mark_ready(self, session: Session) -> None:
        """Remember that a session has something to send, or has ended."""
        self._ready[session] = None

    def take_ready(self) -> list[Session]:
        """Give the sessions that have something to send since the last call."""
        ready = list(self._ready)
        self._ready.clear()
        return ready

    def next_id(self) -> str:
        """Give a message_id that nothing has."""
        self._next_id += 1
        return write_id(self._next_id, self.scenario.answers.id_format)

    def submit(
        self,
        esme: Esme,
        taken: Submission,
        now_s: float,
        *,
        version: int = VERSION_5,
        answered_at_s: float | None = None,
        message_id: str = "",
    ) -> Message:
        """Take a message.

        Args:
            esme: who submits it.
            taken: what it submits.
            now_s: when.
            version: of SMPP.
            answered_at_s: when it will be answered, if later.
            message_id: of a message to several; a new one when empty.

        Raises:
            Refusal: it is not taken.
        """
        if taken.replace_if_present_flag:
            replaced = self._replace_present(esme, taken)
            if replaced is not None:
                return replaced
        pending = self.messages.pending
        states = self.scenario.states
        if len(pending) >= states.pending_max or len(self.schedule) >= SCHEDULED_MAX:
            raise Refusal(smpp.Status.ESME_RMSGQFUL, f"{len(pending)} messages are under way")
        name = message_id or self.next_id()
        message = Message(self._next_id, name, esme.account.system_id, taken, now_s)
        message.version = version
        if answered_at_s is not None:
            message.not_before_s = answered_at_s
        self.counters.submitted += 1
        if self._is_simple and not taken.times[0]:
            self.messages.add(message, most=states.store_max)
            self._end(message, DELIVERED, now_s)
            return message
        due_s = self._plan(message, taken, now_s)
        self.messages.add(message, most=states.store_max)
        if due_s <= now_s:
            self._end(message, message.fate, now_s)
            return message
        pending[message] = None
        self.schedule.at(due_s, self._on_due, message)
        if self.on_message is not None:
            self.on_message(message)
        if message.registered_delivery & receipts.WANTS_INTERMEDIATE:
            self._queue_receipt(message, now_s)
        return message

    def _plan(self, message: Message, taken: Submission, now_s: float) -> float:
        """Choose what becomes of a message; gives when."""
        states = self.scenario.states
        begins_s = ends_at_s(taken.times[0], now_s, smpp.Status.ESME_RINVSCHED) or now_s
        expires_s = ends_at_s(taken.times[1], now_s, smpp.Status.ESME_RINVEXPIRY)
        number = message.recipient
        message.fate = draw_fate(states, number[:1], self.rng)
        is_nobodys = number not in self.network.phones and self.accounts.owner_of(number) is None
        if states.strict_numbers and is_nobodys:
            message.fate = smpp.MessageState.UNDELIVERABLE
        if begins_s > now_s and message.version >= VERSION_5:
            message.state = smpp.MessageState.SCHEDULED
        due_s = max(begins_s, now_s) + states.enroute.draw(self.rng)
        if expires_s is not None and due_s > expires_s:
            message.fate = smpp.MessageState.EXPIRED
            return expires_s
        return due_s

    def query(self, esme: Esme, body: smpp.QuerySm, source: bytes) -> Message:
        """Find a message that is asked about.

        Raises:
            Refusal: there is none.
        """
        status = smpp.Status.ESME_RQUERYFAIL
        return self.messages.find(body.message_id, esme.account.system_id, source, status)

    def cancel(
        self, esme: Esme, body: smpp.CancelSm, source: bytes, destination: bytes, now_s: float
    ) -> int:
        """Take messages back that are under way; gives how many.

        Raises:
            Refusal: there is none, or it is final.
        """
        name, status = esme.account.system_id, smpp.Status.ESME_RCANCELFAIL
        if body.message_id:
            found = [self.messages.find(body.message_id, name, source, status)]
        else:
            service_type = body.service_type.encode("ascii") + b"\0" if body.service_type else None
            found = self.messages.matching(name, source, destination, service_type)
        found = [message for message in found if not message.is_final]
        if not found:
            raise Refusal(status, "no such message is under way")
        for message in found:
            self._end(message, smpp.MessageState.DELETED, now_s)
        return len(found)

    def replace(self, esme: Esme, body: smpp.ReplaceSm, source: bytes) -> None:
        """Give a message under way another text.

        Raises:
            Refusal: there is none, or it is final.
        """
        status = smpp.Status.ESME_RREPLACEFAIL
        message = self.messages.find(body.message_id, esme.account.system_id, source, status)
        if message.is_final:
            raise Refusal(status, f"message {body.message_id!r} is final")
        message.text = body.short_message
        message.registered_delivery = body.registered_delivery

    def _replace_present(self, esme: Esme, taken: Submission) -> Message | None:
        """Replace what is under way between the same addresses (SMPP 5.0 4.7.23)."""
        found = self.messages.matching(
            esme.account.system_id, taken.source, taken.destination, taken.service_type
        )
        if not found:
            return None
        message = found[-1]
        message.text, message.data_coding = taken.text, taken.data_coding
        message.esm_class, message.tlvs = taken.esm_class, taken.tlvs
        message.registered_delivery = taken.registered_delivery
        return message

    def _on_due(self, message: Message, now_s: float) -> None:
        if not message.is_final:
            self._end(message, message.fate, now_s)

    def _end(self, message: Message, state: int, now_s: float) -> None:
        """Put a message into its final state, hand it over, and have it told."""
        self.messages.pending.pop(message, None)
        if state in {DELIVERED, smpp.MessageState.ACCEPTED}:
            self._hand_over(message, now_s)
        message.end(state, now_s)
        if self.on_message is not None:
            self.on_message(message)
        if message.registered_delivery & MODE_MASK and receipts.wants_receipt(
            message.registered_delivery, state
        ):
            self._queue_receipt(message, now_s)

    def _hand_over(self, message: Message, now_s: float) -> None:
        """Give a message to the phone or the ESME that has its number."""
        accounts = self.accounts
        if not self.network.phones and not accounts.owns_any:
            return
        number = message.recipient
        owner = accounts.owner_of(number) if accounts.owns_any else None
        if owner is not None:
            self._loop(message, owner, now_s)
        elif number in self.network.phones:
            self.network.deliver_sms(
                number,
                message.text,
                source=message.source[2:-1].decode("ascii"),
                data_coding=message.data_coding,
                esm_class=message.esm_class,
                sar=sar_of(message.tlvs),
                seal=self._seal(message.tlvs),
                now_s=now_s,
            )

    def _loop(self, message: Message, owner: Esme, now_s: float) -> None:
        """Hand a message to the ESME whose number it was sent to."""
        self.counters.looped += 1
        body = receipts.write_incoming(
            service_type=message.service_type,
            source=message.source,
            destination=message.destination,
            esm_class=message.esm_class & ~MODE_MASK,
            data_coding=message.data_coding,
            text=message.text,
            tlvs=message.tlvs,
        )
        self.queue(owner, body, now_s, after_s=message.not_before_s)

    def _queue_receipt(self, message: Message, now_s: float) -> None:
        """Have a receipt sent, as the rules say: late, lost, twice, in order or not."""
        rules = self.scenario.receipts
        if rules.loss and self.rng.random() < rules.loss:
            self.counters.receipts_lost += 1
            return
        esme = self.accounts.esmes.get(message.system_id)
        if esme is None:
            return
        due_s = now_s if rules.delay.is_none else now_s + rules.delay.draw(self.rng)
        if rules.order != "before-response":
            due_s = max(due_s, message.not_before_s)
        if rules.order == "shuffled":
            due_s += self.rng.uniform(0, rules.shuffle_s)
        else:
            due_s = esme.last_due_s = max(due_s, esme.last_due_s)
        body = self._receipts.write(message, rules, self.scenario.answers.id_format)
        is_twice = rules.duplicates and self.rng.random() < rules.duplicates
        for _ in range(2 if is_twice else 1):
            self.counters.receipts += 1
            self.queue(esme, body, now_s, after_s=due_s)

    def queue(self, esme: Esme, body: bytes, now_s: float, *, after_s: float = 0.0) -> None:
        """Have a deliver_sm sent to a receiver of an ESME, now or later."""
        if after_s > now_s:
            if len(self.schedule) < SCHEDULED_MAX:
                self.schedule.at(after_s, self._on_queue, (esme, body))
            else:
                self.drop("too many wait for their time")
        elif not esme.put(body, most=self.scenario.delivery.queue_max):
            self.drop(f"too many wait for {esme.account.system_id}")

    def _on_queue(self, what: tuple[Esme, bytes], now_s: float) -> None:
        self.queue(*what, now_s)

    def drop(self, why: str) -> None:
        """Lose a deliver_sm; the first of each thousand is told."""
        if self.counters.delivers_dropped % 1_000 == 0:
            self._on_event({"event": "deliver_dropped", "detail": why})
        self.counters.delivers_dropped += 1

    def _on_change(self, now_s: float) -> None:
        """Take in a changed scenario."""
        self._is_simple = has_fixed_fate(self.scenario.states)
        self._phones.on_change(now_s)

    def _on_incoming(self, esme: Esme, body: bytes, now_s: float) -> None:
        """Take a message that a phone has sent."""
        self.counters.incoming += 1
        self.queue(esme, body, now_s)
        esme.pump(now_s)

    def restart(self, *, keeps_messages: bool, now_s: float | None = None) -> None:
        """Drop every connection, as a centre does that starts anew."""
        now_s = self.now_s() if now_s is None else now_s
        self._on_event({"event": "restart", "keeps_messages": keeps_messages})
        self.down_until_s = now_s + self.scenario.answers.down_s
        for session in tuple(self.sessions.values()):
            session.reset()
        if not keeps_messages:
            self._lose_everything()
            self.schedule.clear()
            self._phones.stop()
            self._on_change(now_s)

    def _lose_everything(self) -> None:
        self.messages.clear()
        self.broadcasts.clear()
        for esme in self.accounts.esmes.values():
            esme.queue.clear()

    def start_over(self) -> None:
        """Forget messages, broadcasts and screens, and count anew; connections stay."""
        self._lose_everything()
        self.counters = Counters()
        self.dialogues.clear()
        for phone in self.network.phones.values():
            phone.screen.clear()

    def unbind_all(self, *, now_s: float | None = None) -> None:
        """Ask every ESME to unbind."""
        now_s = self.now_s() if now_s is None else now_s
        for session in tuple(self.sessions.values()):
            session.unbind(now_s)

    def snapshot(self, *, messages: int = 20) -> dict[str, Any]:
        """Tell what can be told, in plain values.

        Args:
            messages: how many of the newest are listed.
        """
        newest = islice(self.messages.newest(), messages)
        return {
            "name": self.name,
            "version": f"{self.version:#04x}",
            "counters": {
                name: getattr(self.counters, name) for name in Counters.__dataclass_fields__
            },
            "dialogues": self.dialogues.facts(),
            "faults": self.director.faults.counts(),
            "sessions": [session.facts() for session in self.sessions.values()],
            "queues": {
                name: len(esme.queue) for name, esme in self.accounts.esmes.items() if esme.queue
            },
            "stored": len(self.messages),
            "pending": len(self.messages.pending),
            "scheduled": len(self.schedule),
            "on_air": sorted(self.network.on_air),
            "messages": [message.facts() for message in newest],
        }

    def _seal(self, tlvs: tuple[smpp.Tlv, ...]) -> str:
        return next(
            (tlv.value.decode("ascii", "replace") for tlv in tlvs if tlv.tag == self._tags.seal), ""
        )


def sar_of(tlvs: tuple[smpp.Tlv, ...]) -> Part | None:
    """Give which part a message is by its sar TLVs (SMPP 5.0 4.8.4.54)."""
    values = {tlv.tag: int.from_bytes(tlv.value, "big") for tlv in tlvs if len(tlv.value) <= 2}  # noqa: PLR2004 - a number
    total = values.get(smpp.TlvTag.SAR_TOTAL_SEGMENTS, 0)
    if total <= 1:
        return None
    return Part(
        reference=values.get(smpp.TlvTag.SAR_MSG_REF_NUM, 0),
        number=values.get(smpp.TlvTag.SAR_SEGMENT_SEQNUM, 0),
        total=total,
    )
