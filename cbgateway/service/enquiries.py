"""Enquiries: what people ask by short message, and what they are answered; each step in the store.

Theory of operation: a message waits in the inbox until `take` decides about it. In one commit it
is deleted, what it asks for is done, and the answer is counted as under way: that is its INTENT.
After the carrier has taken the answer, `settle` counts it. A crash in between leaves a number of
answers in doubt and no trace of whom they were for: nobody is answered twice, because that costs,
and who got no answer asks again. What cannot leave while the process lives waits with it; what has
not left when it ends goes back to the inbox.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf
from typing import Any

from cbgateway.domain.bulletin import Mode
from cbgateway.domain.enquiry import (
    TEXT_CHARACTERS_MAX,
    Command,
    Enquiry,
    Subscription,
    masked,
    understand,
)
from cbgateway.domain.errors import InputError
from cbgateway.domain.incoming import StoredMessage
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import Transaction
from cbgateway.service.crowds import SHOWN_H, hour_of
from cbgateway.service.deployment import Deployment
from cbgateway.service.guard import Guard, Verdict
from cbgateway.service.publication import (
    ENDED,
    Notice,
    Outage,
    Publication,
    is_out,
    notices_of,
)
from cbgateway.service.replies import Replies
from cbgateway.service.vocabulary import vocabulary_of
from cbgateway.signing.codes import read_code
from cbgateway.signing.pseudonyms import Pseudonyms

LATENCY_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
"""From the commit of a question to the carrier's yes to the whole answer."""
REFRESH_S = 0.5
"""How old what is answered may be; reading what went out takes a while when there is much of it."""
REFRESH_MAX_S = 5.0
"""The same while the history has not grown: some changes of state stand in no leaf."""
LOOKED_BACK_DAYS = 7
"""Outages that are over are told of when they began so lately."""
QUESTIONS_MAX = 10_000
"""Different questions that are kept."""
SOURCE_CHARACTERS_MAX = 60
"""Of who was asked, such as a desk."""
IN_FLIGHT = "in_flight"


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply that was committed to.

    Attributes:
        question: what it answers.
    """

    question: StoredMessage
    text: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What was decided about some messages.

    Attributes:
        looked_at: how many there were.
        answers: to those that get one.
    """

    looked_at: int
    answers: tuple[Answer, ...]


class Enquiries:
    """The steps, for one deployment. Every method works inside the caller's transaction.

    What is held in memory is touched only there; the store runs one after another.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        gateway_id: str,
        pseudonyms: Callable[[datetime], Pseudonyms],
    ) -> None:
        """Begin with nobody known.

        Args:
            deployment: the gateway's rules.
            gateway_id: of the database.
            pseudonyms: gives the keys of a day.
        """
        self._deployment = deployment
        self._gateway_id = gateway_id
        self._pseudonyms = pseudonyms
        self._rules = deployment.country.enquiries
        self._vocabulary = vocabulary_of(deployment)
        self._guard = Guard(
            self._rules,
            auto_replies=[
                pattern for words in deployment.answering.values() for pattern in words.auto_replies
            ],
            own_numbers=deployment.asked_at.values(),
        )
        self._seen: tuple[int, float, Publication] | None = None

    def recover(self, tx: Transaction) -> int:
        """Name what a crash left under way; gives how many answers are in doubt."""
        in_doubt = 0
        for (peer_id, what), count in tx.totals().items():
            if what == IN_FLIGHT and count:
                tx.add_total(peer_id, IN_FLIGHT, -count)
                tx.add_total(peer_id, "in_doubt", count)
                in_doubt += count
        return in_doubt

    def take(
        self, tx: Transaction, peer_id: str, *, limit: int, now: datetime, now_s: float
    ) -> Taken:
        """Decide about the messages that wait, and commit to the answers.

        Args:
            tx: holds all of it.
            peer_id: the carrier that they came by, and that answers.
            limit: messages at most.
            now: aware.
            now_s: seconds that never jump.
        """
        number = self._deployment.asked_at[peer_id]
        messages = tx.enquiries(peer_id, number, limit=limit)
        if not messages:
            return Taken(0, ())
        step = _Step(self, tx, self._replies(tx, now=now, now_s=now_s), now, now_s)
        answers = []
        for message in messages:
            text = step.handle(message)
            if text:
                answers.append(Answer(message, text))
                self._guard.sent(text)
        tx.drop_messages(one.message_number for one in messages)
        step.counts["asked"] += len(messages)
        step.counts[IN_FLIGHT] += len(answers)
        _count(tx, peer_id, step.counts)
        return Taken(len(messages), tuple(answers))

    def settle(
        self,
        tx: Transaction,
        peer_id: str,
        answers: Sequence[Answer],
        outcomes: bytes,
        *,
        now: datetime,
    ) -> None:
        """Count what became of some answers, one outcome each; none of them is UNSENT."""
        counts = Counter({IN_FLIGHT: -len(answers)})
        for answer, outcome in zip(answers, outcomes, strict=True):
            match outcome:
                case Outcome.ACCEPTED:
                    took = now - answer.question.received_at
                    counts["answered"] += 1
                    counts["latency_ms"] += max(0, took // timedelta(milliseconds=1))
                    counts[_bucket(took.total_seconds())] += 1
                case Outcome.REFUSED:
                    counts["refused"] += 1
                case _:
                    counts["in_doubt"] += 1
        _count(tx, peer_id, counts)

    def give_up(self, tx: Transaction, peer_id: str, answers: Sequence[Answer]) -> None:
        """Count answers that could not leave in time."""
        _count(tx, peer_id, Counter({IN_FLIGHT: -len(answers), "late": len(answers)}))

    def put_back(self, tx: Transaction, peer_id: str, answers: Sequence[Answer]) -> None:
        """Put questions back whose answers have not left; they are decided about anew."""
        for answer in answers:
            tx.put_back(answer.question)
        _count(tx, peer_id, Counter({IN_FLIGHT: -len(answers), "asked": -len(answers)}))

    def sweep(self, tx: Transaction, *, now: datetime) -> None:
        """Forget what may not be kept any longer."""
        tx.end_subscriptions(at=now)
        tx.forget_outage_reports(before=now - timedelta(hours=SHOWN_H))
        before = now - timedelta(days=self._rules.questions_days)
        tx.forget_questions(before=before, most=QUESTIONS_MAX)

    def _replies(self, tx: Transaction, *, now: datetime, now_s: float) -> Replies:
        """Give the replies of now; what went out is read anew when it may have changed."""
        size = tx.audit_size()
        seen = self._seen
        if seen is not None:
            was, made_s, publication = seen
            age_s = now_s - made_s
            if age_s < REFRESH_S or (was == size and age_s < REFRESH_MAX_S):
                return Replies(self._deployment, replace(publication, at=now))
        publication = self._read(tx, now)
        self._seen = size, now_s, publication
        for outage in publication.current:
            for text in outage.newest.bulletin.texts.values():
                self._guard.sent(text)  # a bulletin that comes back is no question
        return Replies(self._deployment, publication)

    def _read(self, tx: Transaction, now: datetime) -> Publication:
        """Read what went out of outages that go on, or were over lately."""
        since = now - timedelta(days=LOOKED_BACK_DAYS)
        outages = []
        for incident in tx.told_incidents():
            if incident.state in ENDED and incident.started_at < since:
                continue
            notices = notices_of(tx.bulletins(incident.incident_id))
            if notices:
                outages.append(Outage(incident, notices))
        outages.sort(key=lambda one: one.newest.said_at, reverse=True)
        mode: Mode = self._deployment.mode
        return Publication(self._gateway_id, mode, now, tuple(outages))


class _Step:
    """One commit's worth of messages."""

    def __init__(
        self, of: Enquiries, tx: Transaction, replies: Replies, now: datetime, now_s: float
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._guard = of._guard  # noqa: SLF001 - a part of it
        self._vocabulary = of._vocabulary  # noqa: SLF001 - a part of it
        self._deployment = of._deployment  # noqa: SLF001 - a part of it
        self._rules = of._rules  # noqa: SLF001 - a part of it
        self._names = of._pseudonyms(now)  # noqa: SLF001 - a part of it
        self._tx = tx
        self._replies = replies
        self._now = now
        self._now_s = now_s

    def handle(self, stored: StoredMessage) -> str | None:
        """Do what a message asks for; gives the reply, None for silence."""
        message = stored.message
        if message.part > 1:
            self.counts["more_parts"] += 1
            return None  # the first part of a long text says what it is about
        text = message.text[:TEXT_CHARACTERS_MAX]
        enquiry = understand(text, self._vocabulary)
        if enquiry.command is Command.STOP:  # however often, and however late
            self._tx.drop_subscriptions(self._names.of_subscriber(message.source))
        if self._now - stored.received_at > timedelta(seconds=self._rules.answer_within_s):
            self.counts["late"] += 1
            return None
        name = self._names.of_asker(message.source)
        verdict = self._guard.look(name, message.source, text, now_s=self._now_s)
        match verdict:
            case Verdict.BLOCKED | Verdict.LIMITED:
                self.counts[verdict.value] += 1
                return None
            case Verdict.NOTICE:
                self.counts["limited"] += 1
                return self._replies.short(self._language(stored, enquiry), "limited")
            case Verdict.ANSWER:
                self.counts[f"command_{enquiry.command.value}"] += 1
                return self._answer(stored, enquiry, name)

    def _answer(self, stored: StoredMessage, enquiry: Enquiry, name: str) -> str:
        language = self._language(stored, enquiry)
        if not enquiry.is_whole:
            self._note(stored.message.text)
        match enquiry.command:
            case Command.STATUS | Command.OUT | Command.SUBSCRIBE:
                return self._about_region(stored, enquiry, name, language)
            case Command.VERIFY:
                return self._verify(language, enquiry.code)
            case Command.STOP:
                return self._replies.short(language, "stopped")
            case Command.HELP | Command.UNKNOWN as command:
                return self._replies.short(language, command.value)

    def _about_region(
        self, stored: StoredMessage, enquiry: Enquiry, name: str, language: str
    ) -> str:
        """Answer what is about a region: the one that the text names, or where somebody lives."""
        region, replies = enquiry.region or self._home(stored), self._replies
        if enquiry.command is Command.STATUS:
            region = region or self._deployment.country.root_region
            return replies.status(language, region, carrier=stored.peer_id)
        if not region:
            is_report = enquiry.command is Command.OUT
            return replies.short(language, "report_where" if is_report else "subscribe_where")
        if enquiry.command is Command.SUBSCRIBE:
            return self._subscribe(stored, language, region)
        self._tx.add_outage_report(stored.peer_id, region, name, hour=hour_of(self._now))
        return replies.reported(language, region, carrier=stored.peer_id)

    def _subscribe(self, stored: StoredMessage, language: str, region: str) -> str:
        source = stored.message.source
        name = self._names.of_subscriber(source)
        known = self._tx.subscription(stored.peer_id, name)
        regions = () if known is None else known.regions
        if not self._deployment.covers(regions, region):
            inside = self._deployment.regions.contains
            regions = (*(one for one in regions if not inside(region, one)), region)
        if len(regions) > self._rules.subscription_regions_max:
            return self._replies.short(language, "subscribe_full")
        self._tx.put_subscription(
            Subscription(
                number=0,
                peer_id=stored.peer_id,
                name=name,
                sealed=self._names.seal(source),
                regions=regions,
                language=language,
                until=self._now + timedelta(days=self._rules.subscription_days),
            )
        )
        return self._replies.subscribed(language, region)

    def _verify(self, language: str, text: str) -> str:
        if not text:
            return self._replies.short(language, "verify_how")
        found = _said(self._tx, text)
        if found is None:
            return self._replies.short(language, "not_ours")
        return self._replies.proof(language, *found)

    def _language(self, stored: StoredMessage, enquiry: Enquiry) -> str:
        """Answer in the language of the question, or else of whoever asks."""
        answering = self._deployment.answering
        if enquiry.language in answering:
            return enquiry.language
        known = self._tx.recipient(stored.peer_id, stored.message.source.removeprefix("+"))
        if known is not None and known.language in answering:
            return known.language
        default = self._deployment.country.default_language
        return default if default in answering else next(iter(answering))

    def _home(self, stored: StoredMessage) -> str:
        """Give the region that somebody has asked for, or is on a list for; empty for none."""
        source, tx = stored.message.source, self._tx
        subscription = tx.subscription(stored.peer_id, self._names.of_subscriber(source))
        if subscription is not None:
            return subscription.regions[0]
        known = tx.recipient(stored.peer_id, source.removeprefix("+"))
        return "" if known is None else known.region

    def _note(self, text: str) -> None:
        question = masked(text)
        if question:
            self._tx.note_question(question, source="sms", at=self._now)


def _said(tx: Transaction, text: str) -> tuple[Outage, Notice] | None:
    """Find what was said under a code; None when it is not ours."""
    code = read_code(text)
    record = None if code is None else tx.bulletin_with_code(code)
    if record is None or not is_out(record):
        return None
    incident = tx.incident(record.bulletin.incident_id)
    assert incident is not None  # noqa: S101 - bulletins refer to incidents
    outage = Outage(incident, notices_of(tx.bulletins(incident.incident_id)))
    (notice,) = (one for one in outage.notices if one.bulletin == record.bulletin)
    return outage, notice


def _bucket(seconds: float) -> str:
    limit = next((limit for limit in LATENCY_BUCKETS_S if seconds <= limit), None)
    return "le_inf" if limit is None else f"le_{limit:g}"


def _count(tx: Transaction, peer_id: str, counts: "Counter[str]") -> None:
    for what, count in counts.items():
        if count:
            tx.add_total(peer_id, what, count)


def note_question(tx: Transaction, text: str, *, source: str, now: datetime) -> str:
    """Note a question that somebody could not answer; gives what is kept of it.

    Raises:
        InputError: nothing is left of it, or nobody says who was asked.
    """
    question, source = masked(text), source.strip()
    if not question:
        msg = "question: some words; digits and addresses are left out"
        raise InputError(msg)
    if not source or len(source) > SOURCE_CHARACTERS_MAX or not source.isprintable():
        msg = f"source: a name of 1 to {SOURCE_CHARACTERS_MAX} characters"
        raise InputError(msg)
    tx.note_question(question, source=source, at=now)
    return question


def summary(tx: Transaction, deployment: Deployment) -> dict[str, Any]:
    """Say how the enquiries of each carrier stand, ready for JSON."""
    totals = tx.totals()
    subscribers: Counter[str] = Counter()
    for (peer_id, _), count in tx.count_subscriptions().items():
        subscribers[peer_id] += count
    return {
        peer_id: {
            "number": number,
            "waiting": tx.count_enquiries(peer_id, number),
            "subscribers": subscribers[peer_id],
            **_counted({what: n for (peer, what), n in totals.items() if peer == peer_id}),
        }
        for peer_id, number in deployment.asked_at.items()
    }


def _counted(totals: Mapping[str, int]) -> dict[str, Any]:
    below, buckets = 0, []
    for limit_s in (*LATENCY_BUCKETS_S, None):
        below += totals.get(_bucket(limit_s or inf), 0)
        buckets.append([limit_s, below])
    counted = ("asked", "answered", "limited", "blocked", "late", "refused", "in_doubt")
    return {
        "under_way": totals.get(IN_FLIGHT, 0),
        **{what: totals.get(what, 0) for what in counted},
        "commands": {
            what.removeprefix("command_"): count
            for what, count in sorted(totals.items())
            if what.startswith("command_")
        },
        "latency_s_sum": totals.get("latency_ms", 0) / 1000,
        "latency_s_buckets": buckets,
    }
