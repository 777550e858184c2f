"""Random people, carriers, crashes and hours: whatever happens, the workflow keeps its promises."""

import itertools
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cbgateway.app import Gateway
from cbgateway.domain.bulletin import BulletinState, Mode
from cbgateway.domain.errors import (
    BudgetExhaustedError,
    ExpiredError,
    GatewayError,
    NotSentError,
    PermissionDeniedError,
    RejectedError,
    SamePersonError,
    SignatureInvalidError,
    StaleError,
    UnansweredError,
    WorkflowError,
)
from cbgateway.domain.incident import IncidentState
from cbgateway.domain.lifecycle import (
    BULLETIN_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    INCIDENT_TRANSITIONS,
    DeliveryState,
)
from cbgateway.domain.orders import BroadcastReport, Submit, order_hash
from cbgateway.domain.outcomes import Outcome
from cbgateway.service.outbox import Answers, Leased, Outbox, Stream

TABLES: dict[str, Any] = {
    "incident": INCIDENT_TRANSITIONS,
    "bulletin": BULLETIN_TRANSITIONS,
    "delivery": DELIVERY_TRANSITIONS,
}
PEERS = ("kt", "skt", "lguplus")
URGENT = {"correction", "withdrawal"}
APPROVAL_VALID = timedelta(minutes=15)
WINDOW = 2
UNDECIDED = {BulletinState.DRAFT, BulletinState.PENDING, BulletinState.RETURNED}
OUT = {BulletinState.APPROVED, BulletinState.LIVE}


@dataclass
class Someone:
    """What the model knows of a person."""

    may_submit: bool = False
    may_approve: bool = False
    regions: tuple[str, ...] = ("KR",)
    owner: str = ""
    is_revoked: bool = False

    def may_address(self, regions: tuple[str, ...]) -> bool:
        """Tell whether all of it lies in the person's regions."""
        return self.regions == ("KR",) or set(regions) <= set(self.regions)


PEOPLE = {
    "alice": Someone(may_submit=True),
    "bob": Someone(may_approve=True),
    "carol": Someone(may_submit=True, may_approve=True),
    "dave": Someone(may_submit=True, may_approve=True, regions=("KR-26",)),
    "erin": Someone(may_approve=True),
    "frank": Someone(),
    "monitor": Someone(may_submit=True, may_approve=True, owner="erin"),
}
# Those who get on with the work come up more often than those who are turned away.
ANYBODY = st.sampled_from(tuple(PEOPLE))
WRITER = st.sampled_from((*("alice", "carol", "monitor") * 3, *PEOPLE))
DECIDER = st.sampled_from((*("bob", "erin", "carol") * 3, *PEOPLE))
REGIONS = st.sampled_from((("KR-26",), ("KR-26",), ("KR-11", "KR-26"), ("KR",)))
CLASSES = st.sampled_from(("safety", "safety", "emergency", "critical"))
ANSWER = st.sampled_from(("yes", "yes", "no", "silent", "unsent", "throttled", "absent"))
OUTCOMES = st.lists(
    st.sampled_from((Outcome.ACCEPTED, Outcome.REFUSED, Outcome.IN_DOUBT, Outcome.UNSENT)),
    min_size=2,
    max_size=2,
)
PEER = st.sampled_from(("kt", "kt", "skt", "lguplus"))  # short messages go over the first
INDEX = st.integers(0, 5)
LAST_INDEX = 5


@dataclass
class Case:
    """What the model knows of a bulletin."""

    incident: str
    number: int
    kind: str
    regions: tuple[str, ...]
    expires: datetime
    submitter: str
    hands: set[str]
    approver: str = ""
    approved_at: datetime | None = None
    orders: frozenset[str] = frozenset()
    has_left: bool = False
    is_retired: bool = False


@dataclass
class Flight:
    """An order that was leased, and the windows of a chunk."""

    leased: Leased
    stream: Stream | None = None


@dataclass
class Template:
    """A gateway's folder to copy, with what its tests need."""

    office: Any
    scratch: Path
    count: Any = field(default_factory=itertools.count)


class Workflow(RuleBasedStateMachine):
    """The product and a small model of it, side by side."""

    template: Template

    def __init__(self) -> None:
        super().__init__()
        office = self.template.office
        self.home = self.template.scratch / f"home-{next(self.template.count)}"
        shutil.copytree(office.gateway.home, self.home)
        self.clock = type(office.clock)()
        self.opened = Gateway.open(self.home, clock=self.clock)
        self.gateway = self.opened.__enter__()
        self.office = type(office)(self.gateway, self.clock, office.keys)
        self.outbox = Outbox(self.gateway.deployment)
        self.people = {name: replace(one) for name, one in PEOPLE.items()}
        self.cases: dict[str, Case] = {}
        self.prepared: Any = None
        self.flying: dict[str, list[Flight]] = {peer: [] for peer in PEERS}
        self.copies: Counter[tuple[str, str]] = Counter()
        self.settled: set[tuple[str, str]] = set()
        self.serials: set[tuple[int, int]] = set()
        self.versions: dict[tuple[int, int], int] = {}
        self.wrong: list[tuple[str, str, str]] = []
        self._watch_transitions()

    def _watch_transitions(self) -> None:
        connection = self.gateway.store._connection

        def observe(table: str, before: str, after: str) -> int:
            if after not in TABLES[table][before]:
                self.wrong.append((table, before, after))
            return 0

        connection.create_scalar_function("observe", observe, 3)
        for table in TABLES:
            connection.execute(
                f"CREATE TEMP TRIGGER observe_{table} AFTER UPDATE OF state ON main.{table} "
                "WHEN old.state <> new.state "
                f"BEGIN SELECT observe('{table}', old.state, new.state); END"
            )

    @property
    def now(self) -> datetime:
        """What time it is."""
        return self.clock.now()

    def pick(self, index: int, states: set[BulletinState]) -> tuple[str, BulletinState]:
        """Give one of the newest bulletins in such a state; the last index stands for any."""
        with self.gateway.store.read() as tx:
            found = {one.bulletin.bulletin_id: one.state for one in tx.bulletins()}
        fitting = [name for name in self.cases if found[name] in states]
        names = list(self.cases) if index == LAST_INDEX or not fitting else fitting
        name = names[-1 - index % len(names)]
        return name, found[name]

    def attempt(
        self, work: Callable[[], Any], *, refused: set[type[GatewayError]], may: Any = ()
    ) -> Any:
        """Do something that has to be refused if the model says so, and only then.

        Gives None when it was refused.
        """
        try:
            given = work()
        except GatewayError as error:
            allowed = (*refused, *may)
            assert isinstance(error, allowed), f"refused without need: {error!r}"
            return None
        assert not refused, f"should have been refused: {refused}"
        return given

    # People

    @initialize()
    def open_incident(self) -> None:
        """Begin with something to work on."""
        self.issue("first", ("KR-26",), "safety", 0)

    @rule(
        kind=st.sampled_from(("first", "progress", "progress", "correction", "withdrawal")),
        regions=REGIONS,
        class_name=CLASSES,
        index=INDEX,
    )
    def issue(self, kind: str, regions: tuple[str, ...], class_name: str, index: int) -> None:
        """Have two people who may do everything write and approve a bulletin."""
        self.submit("alice", kind, regions, 4, class_name, index, as_draft=False)
        self.approve("erin", 0)

    @rule(
        who=WRITER,
        kind=st.sampled_from(
            ("first", "progress", "progress", "eta_change", "restored", "correction", "withdrawal")
        ),
        regions=REGIONS,
        hours=st.sampled_from((1, 4)),
        class_name=CLASSES,
        index=INDEX,
        as_draft=st.sampled_from((False, False, True)),
    )
    def submit(
        self,
        who: str,
        kind: str,
        regions: tuple[str, ...],
        hours: int,
        class_name: str,
        index: int,
        *,
        as_draft: bool,
    ) -> None:
        """Have somebody submit a bulletin about a new or a known outage."""
        incidents = list(dict.fromkeys(case.incident for case in self.cases.values()))
        fresh = f"inc-{len(incidents)}"
        incident = fresh if kind == "first" else incidents[index % len(incidents)]
        document = self.document(who, kind, incident, regions, hours)
        record = self.attempt(
            lambda: self.gateway.submit(
                self.octets(document | {"class": class_name}),
                key=self.office.keys[who],
                as_draft=as_draft,
            ),
            refused=self.refusals(who, regions, "may_submit"),
        )
        if record is not None:
            one = record.bulletin
            number = 1 + sum(case.incident == incident for case in self.cases.values())
            assert (number, incident) == (one.number, one.incident_id)
            self.cases[one.bulletin_id] = Case(
                incident, number, kind, one.regions, one.expires, who, self.hands(who)
            )

    def document(
        self, who: str, kind: str, incident: str, regions: tuple[str, ...], hours: int
    ) -> dict[str, Any]:
        """Give a bulletin that says what none has said before."""
        changes: dict[str, Any] = {"sender": who, "regions": list(regions)}
        if kind != "restored":
            changes["expires"] = f"PT{hours}H"
        if kind != "withdrawal":
            changes["texts"] = {"ko": f"장애 {self.office._count:04d}번째" * 4, "en": "Outage"}
        if kind != "first":
            return dict(self.office.later(kind, incident=incident, **changes))
        document = self.office.document(**changes)
        document["incident"]["id"] = incident
        return dict(document)

    @staticmethod
    def octets(document: dict[str, Any]) -> bytes:
        """Write a document as it is sent."""
        return json.dumps(document).encode()

    def hands(self, who: str) -> set[str]:
        """Give who counts as an author when somebody writes."""
        return {who, self.people[who].owner} - {""}

    def refusals(self, who: str, regions: tuple[str, ...], right: str) -> set[type[GatewayError]]:
        """Give how somebody is turned away who lacks a right."""
        person = self.people[who]
        is_right = getattr(person, right) and person.may_address(regions) and not person.is_revoked
        return set() if is_right else {PermissionDeniedError}

    @rule(who=WRITER, index=INDEX, hours=st.sampled_from((1, 4)), as_draft=st.booleans())
    def revise(self, who: str, index: int, hours: int, *, as_draft: bool) -> None:
        """Have somebody work on a draft or a returned bulletin."""
        name, state = self.pick(index, {BulletinState.DRAFT, BulletinState.RETURNED})
        case = self.cases[name]
        document = self.document(who, case.kind, case.incident, case.regions, hours)
        refused = self.refusals(who, case.regions, "may_submit")
        if state not in {BulletinState.DRAFT, BulletinState.RETURNED}:
            refused = {WorkflowError}
        record = self.attempt(
            lambda: self.gateway.revise(
                name, self.octets(document), key=self.office.keys[who], as_draft=as_draft
            ),
            refused=refused,
        )
        if record is not None:
            case.hands |= self.hands(who)
            case.submitter, case.expires = who, record.bulletin.expires
            case.approver, case.approved_at, case.orders = "", None, frozenset()

    @rule(writer=WRITER, editor=WRITER, decider=DECIDER, is_draft=st.booleans())
    def rework(self, writer: str, editor: str, decider: str, *, is_draft: bool) -> None:
        """Have one person begin, another one mend it, and a third, or one of them, decide."""
        self.submit(writer, "progress", ("KR-26",), 4, "safety", 0, as_draft=is_draft)
        if not is_draft:
            self.refuse("erin", 0, is_final=False)
        self.revise(editor, 0, 4, as_draft=False)
        self.approve(decider, 0)

    @rule(who=DECIDER, index=INDEX, is_final=st.booleans())
    def refuse(self, who: str, index: int, *, is_final: bool) -> None:
        """Have somebody reject a bulletin or give it back."""
        name, state = self.pick(index, {BulletinState.PENDING})
        decide = self.gateway.reject if is_final else self.gateway.give_back
        refused = self.decider_refusals(who, self.cases[name])
        if state is not BulletinState.PENDING:
            refused = {WorkflowError}
        self.attempt(lambda: decide(name, reason="no", key=self.office.keys[who]), refused=refused)

    def decider_refusals(self, who: str, case: Case) -> set[type[GatewayError]]:
        """Give how somebody is turned away who may not decide about a bulletin."""
        person = self.people[who]
        if who in case.hands or person.owner in case.hands:
            return {SamePersonError}
        if person.owner:
            return {PermissionDeniedError}
        return self.refusals(who, case.regions, "may_approve")

    @rule(who=WRITER, index=INDEX)
    def take_back(self, who: str, index: int) -> None:
        """Have somebody take a bulletin back."""
        name, state = self.pick(index, UNDECIDED)
        case = self.cases[name]
        with self.gateway.store.read() as tx:
            is_author = who in tx.bulletin(name).submission.hands
        refused: set[type[GatewayError]] = set()
        if not is_author or self.people[who].is_revoked:
            refused = {PermissionDeniedError}
        if state not in UNDECIDED:
            refused = {WorkflowError, PermissionDeniedError}
        record = self.attempt(
            lambda: self.gateway.take_back(name, reason="no", key=self.office.keys[who]),
            refused=refused,
        )
        case.is_retired = case.is_retired or record is not None

    @rule(who=DECIDER, index=INDEX)
    def approve(self, who: str, index: int) -> None:
        """Have somebody look at a bulletin and approve it at once."""
        name, state = self.pick(index, {BulletinState.PENDING})
        case = self.cases[name]
        refused: set[type[GatewayError]] = set()
        if state is not BulletinState.PENDING:
            refused = {WorkflowError}
        elif case.expires <= self.now:
            refused = {ExpiredError}
        prepared = self.attempt(lambda: self.gateway.prepare(name), refused=refused)
        if prepared is not None:
            self.prepared = prepared
            self._sign(who, prepared, self.decider_refusals(who, case), ())

    @precondition(lambda self: self.prepared is not None)
    @rule(who=DECIDER)
    def approve_late(self, who: str) -> None:
        """Have somebody approve what was looked at before; much may have changed since."""
        name = self.prepared.record.bulletin.bulletin_id
        refused = self.decider_refusals(who, self.cases[name])
        self._sign(who, self.prepared, refused, (StaleError, WorkflowError, ExpiredError))

    def _sign(
        self, who: str, prepared: Any, refused: set[type[GatewayError]], may: tuple[Any, ...]
    ) -> None:
        name = prepared.record.bulletin.bulletin_id
        case = self.cases[name]
        if not refused and self.people[case.submitter].is_revoked:
            refused = {SignatureInvalidError}
        record = self.attempt(
            lambda: self.gateway.approve(
                prepared, key=self.office.keys[who], confirmation=prepared.confirmation
            ),
            refused=refused,
            may=may if case.kind in URGENT else (*may, BudgetExhaustedError),
        )
        if record is None:
            return
        assert not case.is_retired
        assert who not in case.hands
        case.approver, case.approved_at, case.has_left = who, self.now, False
        case.orders = frozenset(order_hash(one.order) for one in prepared.plan.orders)
        for other in self.cases.values():
            if other.incident == case.incident and other.number < case.number:
                other.is_retired = True
        for broadcast in prepared.plan.broadcasts:
            serial, identifier = broadcast.serial_number, broadcast.message_identifier
            assert (identifier, int(serial)) not in self.serials, "a serial number came again"
            self.serials.add((identifier, int(serial)))
            before = self.versions.get((identifier, serial.message_code), -1)
            assert serial.update_number == before + 1
            self.versions[identifier, serial.message_code] = serial.update_number

    @precondition(lambda self: sum(one.is_revoked for one in self.people.values()) < 2)
    @rule(who=st.sampled_from(("carol", "bob", "monitor")))
    def revoke(self, who: str) -> None:
        """Take somebody's permissions back; enough people are left to go on."""
        self.gateway.keyring.revoke(who)
        self.people[who].is_revoked = True

    @rule(who=ANYBODY, to=st.sampled_from(tuple(IncidentState)), index=INDEX)
    def move_incident(self, who: str, to: IncidentState, index: int) -> None:
        """Have somebody say how far an outage has got."""
        incidents = list(dict.fromkeys(case.incident for case in self.cases.values()))
        name = incidents[index % len(incidents)]
        with self.gateway.store.read() as tx:
            state = tx.incident(name).state
            regions = tx.bulletins(name)[-1].bulletin.regions
        person = self.people[who]
        is_in_charge = (person.may_submit or person.may_approve) and person.may_address(regions)
        refused: set[type[GatewayError]] = set()
        if person.is_revoked or person.owner or not is_in_charge:
            refused = {PermissionDeniedError}
        elif to not in INCIDENT_TRANSITIONS[state]:
            refused = {WorkflowError}
        key = self.office.keys[who]
        self.attempt(lambda: self.gateway.set_incident_state(name, to, key=key), refused=refused)

    # Carriers

    @rule(peer=PEER)
    def lease(self, peer: str) -> None:
        """Have the dispatcher take what is due at a peer; broadcasts leave at once."""
        with_sms = not any(one.stream for one in self.flying[peer])
        with self.gateway.store.transaction() as tx:
            taken = self.outbox.lease(
                tx, peer, now=self.now, limit=16, with_sms=with_sms, rank_max=99
            )
        for leased in taken or ():
            flight = Flight(leased)
            if isinstance(leased.order, Submit):
                flight.stream = self.outbox.open_stream(leased, leased.order)
            else:
                self.check_leaves(leased)
            self.flying[peer].append(flight)
            if flight.stream is not None:
                self._next_window(peer, flight, None)

    def check_leaves(self, leased: Leased) -> None:
        """Check that what leaves now may leave now."""
        case = self.cases[leased.delivery.bulletin_id]
        assert case.approver, "nobody has approved it"
        assert case.approver not in case.hands
        assert not self.people[case.approver].is_revoked
        assert not self.people[case.submitter].is_revoked
        assert order_hash(leased.delivery.order) in case.orders
        assert not case.is_retired, "a newer bulletin is there, or it was taken back"
        assert self.now < case.expires
        assert case.approved_at is not None
        under_way = {
            flight.leased.delivery.bulletin_id for one in self.flying.values() for flight in one
        }
        assert (
            case.kind in URGENT
            or case.has_left
            or leased.delivery.bulletin_id in under_way
            or self.now - case.approved_at <= APPROVAL_VALID
        ), "its approval has lapsed"

    @rule(peer=PEER, how=ANSWER, octets=OUTCOMES)
    def serve(self, peer: str, how: str, octets: list[Outcome]) -> None:
        """Have a peer take what is due and answer all of it alike."""
        self.lease(peer)
        while self.flying[peer]:  # each answer takes a broadcast or a window of five away
            self.answer(peer, 0, how, octets)

    @rule(peer=PEER, how=ANSWER, octets=OUTCOMES)
    def serve_again(self, peer: str, how: str, octets: list[Outcome]) -> None:
        """Have a peer be asked for a while, as long as anything is tried again."""
        for _ in range(3):
            self.serve(peer, how, octets)
            self.pass_time(1.1)

    @rule(peer=PEER, minutes=st.sampled_from((14.9, 15, 15.1, 61)), is_busy=st.booleans())
    def come_back_late(self, peer: str, minutes: float, *, is_busy: bool) -> None:
        """Have a peer ask long after an approval, with or without an order under way elsewhere."""
        self.issue("progress", ("KR-26",), "safety", 0)
        if is_busy:
            self.lease("lguplus")
        self.pass_time(minutes, is_seen=False)
        self.lease(peer)

    @precondition(lambda self: any(self.flying.values()))
    @rule(peer=PEER, index=INDEX, how=ANSWER, octets=OUTCOMES)
    def answer(self, peer: str, index: int, how: str, octets: list[Outcome]) -> None:
        """Have a peer answer one of the orders, in whatever way, in whatever sequence."""
        flights = self.flying[peer] or next(one for one in self.flying.values() if one)
        flight = flights[index % len(flights)]
        if flight.stream is not None:
            count = len(flight.stream.window)
            answers = self._answers(flight.stream, octets[:count])
            self._next_window(flight.leased.delivery.lineage.peer_id, flight, answers)
            return
        flights.remove(flight)
        self._answer_broadcast(flight.leased, how)

    def _answer_broadcast(self, leased: Leased, how: str) -> None:
        errors: dict[str, GatewayError] = {
            "no": RejectedError("ESME_RSYSERR", is_temporary=False),
            "silent": UnansweredError("no answer"),
            "unsent": NotSentError("no link"),
            "throttled": RejectedError("ESME_RTHROTTLED", is_temporary=True),
            "absent": RejectedError("ESME_RINVMSGID", is_temporary=False, is_absent=True),
        }
        case = self.cases[leased.delivery.bulletin_id]
        with self.gateway.store.transaction() as tx:
            if how == "yes":
                self.outbox.acknowledge(tx, leased, BroadcastReport("ref"), now=self.now)
            else:
                self.outbox.fail(tx, leased, errors[how], now=self.now, jitter=0.5)
        case.has_left = case.has_left or how in {"yes", "silent"}

    def _answers(self, stream: Stream, octets: list[Outcome]) -> Answers:
        case = self.cases[stream.leased.delivery.bulletin_id]
        for index, outcome in zip(stream.window, octets, strict=True):
            whom = (stream.leased.delivery.bulletin_id, stream.order.recipients[index])
            if outcome in {Outcome.ACCEPTED, Outcome.IN_DOUBT}:
                self.copies[whom] += 1
                case.has_left = True
            if outcome in {Outcome.ACCEPTED, Outcome.REFUSED}:
                self.settled.add(whom)
        is_early = {Outcome.IN_DOUBT, Outcome.UNSENT} & set(octets)
        return Answers(bytes(octets), {}, "not all" if is_early else "")

    def _next_window(self, peer: str, flight: Flight, answers: Answers | None) -> None:
        assert flight.stream is not None
        with self.gateway.store.transaction() as tx:
            goes_on = self.outbox.next_window(
                tx, flight.stream, answers, size=WINDOW, now=self.now, jitter=0.5
            )
        if not goes_on:
            self.flying[peer].remove(flight)
            return
        self.check_leaves(flight.leased)
        for index in flight.stream.window:
            whom = (flight.leased.delivery.bulletin_id, flight.stream.order.recipients[index])
            assert whom not in self.settled, "whoever has it, or was refused, gets no more"
            assert self.copies[whom] < 2, "nobody gets a third copy"

    @rule()
    def crash(self) -> None:
        """Stop at whatever point this is, and start again: what was under way may have left."""
        for flight in itertools.chain(*self.flying.values()):
            case = self.cases[flight.leased.delivery.bulletin_id]
            case.has_left = True
            if flight.stream is not None:
                for index in flight.stream.window:
                    recipient = flight.stream.order.recipients[index]
                    self.copies[flight.leased.delivery.bulletin_id, recipient] += 1
        self.flying = {peer: [] for peer in PEERS}
        with self.gateway.store.transaction() as tx:
            self.outbox.recover(tx, now=self.now)

    @rule(who=DECIDER, index=INDEX)
    def resend(self, who: str, index: int) -> None:
        """Have somebody send second copies to those in doubt."""
        name, _ = self.pick(index, OUT)
        refused = self.decider_refusals(who, self.cases[name])
        self.attempt(
            lambda: self.gateway.resend(name, key=self.office.keys[who]) + 1, refused=refused
        )

    @rule(minutes=st.sampled_from((0.1, 1, 1.1, 1.1, 2, 5, 14, 16, 90)), is_seen=st.booleans())
    def pass_time(self, minutes: float, *, is_seen: bool = True) -> None:
        """Let time pass; the dispatcher has looked around since, or not yet."""
        self.clock.advance(minutes * 60)
        if not is_seen:
            return
        with self.gateway.store.transaction() as tx:
            self.outbox.sweep(tx, now=self.now)

    # What is always so

    @invariant()
    def every_step_is_in_the_tables(self) -> None:
        """No row has ever gone where its table does not lead."""
        assert self.wrong == []

    @invariant()
    def states_belong_together(self) -> None:
        """One bulletin of an incident stands; its orders alone are about to leave or on air."""
        with self.gateway.store.read() as tx:
            states = {one.bulletin.bulletin_id: one.state for one in tx.bulletins()}
            rows = tx.deliveries()
        standing: dict[str, int] = defaultdict(int)
        for name, state in states.items():
            standing[self.cases[name].incident] += state in OUT
            assert state not in OUT or self.cases[name].approver
        assert max(standing.values(), default=0) <= 1
        for row in rows:
            state = states[row.bulletin_id]
            if row.state is DeliveryState.READY and not row.is_stop and not row.attempts:
                assert state in OUT | {BulletinState.EXPIRED}, (row, state)
            if row.state in {DeliveryState.ACKED, DeliveryState.IN_DOUBT}:
                assert state not in UNDECIDED | {BulletinState.REJECTED}, (row, state)

    def teardown(self) -> None:
        """See everything come to an end: a day later nothing waits any more."""
        try:
            self.crash()
            self.pass_time(24 * 60)
            with self.gateway.store.read() as tx:
                left = {row.state for row in tx.deliveries()}
            assert not left & {DeliveryState.READY, DeliveryState.INTENT}
            self.every_step_is_in_the_tables()
        finally:
            self.opened.__exit__(None, None, None)
            shutil.rmtree(self.home)


def test_workflow_keeps_its_promises(make_office: Any, tmp_path: Path, request: Any) -> None:
    """Two people for everything, no serial number and no third copy twice, nothing after its end.

    Every transition that the store makes is looked at, in the order in which SQLite makes it.
    """
    office = make_office(mode=Mode.TEST, name="template")
    for name, one in PEOPLE.items():
        if name in office.keys:
            continue
        rights = {"may_submit": one.may_submit, "regions": one.regions, "owner": one.owner}
        office.add(name, may_approve=one.may_approve and not one.owner, **rights)
    with office.gateway.store.transaction() as tx:
        # not even somebody who goes around `keys add` makes a machine decide
        tx.put_person(replace(tx.person("monitor"), may_approve=True))
    lines = ["number,region,language", *(f"82101000000{n},KR-26,ko" for n in range(5))]
    office.gateway.import_recipients("kt", "\n".join(lines).encode())
    machine = type("Machine", (Workflow,), {"template": Template(office, tmp_path)})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=45,
            phases=(Phase.generate,),  # making a failure shorter takes minutes; add it to look
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
