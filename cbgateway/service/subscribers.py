"""Subscribers are told of a new bulletin once: its approved text, after everything else.

Theory of operation: nothing is told before the bulletin is live, so something that its plan has
approved has left already. What is told is the text that stands in the history's leaf of the
approval, and before each batch permissions, signatures and time are looked at again, as they are
for orders. Subscribers are gone through in the order in which they began; how far that got is
committed before a batch leaves, so that a crash leaves at most one batch in doubt, which is not
sent again. A newer bulletin of the incident ends the round of an older one.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from loguru import logger

from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.delivery import BulletinRecord, Event
from cbgateway.domain.enquiry import Round, Subscription
from cbgateway.domain.errors import GatewayError, KeyUnusableError, SignatureInvalidError
from cbgateway.domain.orders import Reply
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.ports import Transaction
from cbgateway.service.deployment import Deployment
from cbgateway.service.evidence import GATEWAY
from cbgateway.service.sendable import check_authority
from cbgateway.signing.pseudonyms import Pseudonyms

LOOKED_AT_MAX = 500
"""Subscriptions that are looked at in one commit."""
TOLD = "subscribers-told"


@dataclass(frozen=True, slots=True)
class Batch:
    """Subscribers who are about to be told.

    Attributes:
        replies: one for each language.
    """

    bulletin_id: str
    replies: tuple[Reply, ...]


class Subscribers:
    """The steps, for one deployment. Every method works inside the caller's transaction."""

    def __init__(self, deployment: Deployment) -> None:
        """Begin."""
        self._deployment = deployment

    def recover(self, tx: Transaction, *, now: datetime) -> int:
        """Name what a crash left under way; gives how many are in doubt."""
        in_doubt = 0
        for one in tx.open_rounds():
            if one.in_flight:
                in_doubt += one.in_flight
                total = one.in_doubt + one.in_flight
                over = replace(one, in_flight=0, in_doubt=total)
                tx.put_round(over)
                _end(tx, over, now)
        return in_doubt

    def next_batch(
        self, tx: Transaction, peer_id: str, names: Pseudonyms, *, limit: int, now: datetime
    ) -> Batch | None:
        """Commit to telling some subscribers; None when nobody is left.

        Args:
            tx: holds all of it.
            peer_id: the carrier.
            names: opens their numbers.
            limit: subscribers at most.
            now: aware.
        """
        for bulletin_id in tx.undertold(peer_id):
            up_to = tx.last_subscription(peer_id)
            tx.put_round(Round(bulletin_id, peer_id, after=0, up_to=up_to))
        for one in tx.open_rounds(peer_id):
            while one.after < one.up_to:
                batch, one = self._step(tx, one, names, limit=limit, now=now)  # noqa: PLW2901 - it goes on
                if batch is not None:
                    return batch
        return None

    def settle(
        self, tx: Transaction, peer_id: str, bulletin_id: str, outcomes: bytes, *, now: datetime
    ) -> None:
        """Note what became of a batch, one outcome each; UNSENT counts as refused."""
        one = tx.round(bulletin_id, peer_id)
        assert one is not None, bulletin_id  # noqa: S101 - it was committed before
        told, in_doubt = outcomes.count(Outcome.ACCEPTED), outcomes.count(Outcome.IN_DOUBT)
        one = replace(
            one,
            in_flight=one.in_flight - len(outcomes),
            told=one.told + told,
            in_doubt=one.in_doubt + in_doubt,
            refused=one.refused + len(outcomes) - told - in_doubt,
        )
        tx.put_round(one)
        _end(tx, one, now)

    def _step(
        self, tx: Transaction, one: Round, names: Pseudonyms, *, limit: int, now: datetime
    ) -> tuple[Batch | None, Round]:
        """Look at the next subscriptions of a round."""
        record = tx.bulletin(one.bulletin_id)
        assert record is not None, one.bulletin_id  # noqa: S101 - a foreign key says so
        found = tx.subscriptions(
            one.peer_id, after=one.after, up_to=one.up_to, limit=min(limit, LOOKED_AT_MAX)
        )
        texts = self._texts(tx, record, now) if found else {}
        if not texts:
            one = replace(one, after=one.up_to)
            tx.put_round(one)
            _end(tx, one, now)
            return None, one
        numbers: dict[str, list[str]] = {}
        refused = 0
        for subscription in found:
            if subscription.until <= now or not self._concerns(subscription, record):
                continue
            try:
                number = names.open(subscription.sealed)
            except KeyUnusableError:
                refused += 1
                continue
            language = (
                subscription.language if subscription.language in texts else next(iter(texts))
            )
            numbers.setdefault(language, []).append(number)
        replies = tuple(
            Reply(texts[language], tuple(some), record.bulletin.expires, one.bulletin_id)
            for language, some in numbers.items()
        )
        in_flight = one.in_flight + sum(len(reply.recipients) for reply in replies)
        one = replace(
            one, after=found[-1].number, in_flight=in_flight, refused=one.refused + refused
        )
        tx.put_round(one)
        _end(tx, one, now)
        return (Batch(one.bulletin_id, replies) if replies else None), one

    def _texts(self, tx: Transaction, record: BulletinRecord, now: datetime) -> dict[str, str]:
        """Give the approved texts; nothing when nobody may be told of them now."""
        bulletin = record.bulletin
        is_late = bulletin.expires <= now or bulletin.mode is not self._deployment.mode
        if record.state is not BulletinState.LIVE or is_late:
            return {}
        try:
            return approved_texts(tx, self._deployment, record)
        except GatewayError as error:
            logger.bind(bulletin=bulletin.bulletin_id).error("subscribers are not told: {}", error)
            return {}

    def _concerns(self, subscription: Subscription, record: BulletinRecord) -> bool:
        contains = self._deployment.regions.contains
        return any(
            contains(asked, told) or contains(told, asked)
            for asked in subscription.regions
            for told in record.bulletin.regions
        )


def approved_texts(
    tx: Transaction, deployment: Deployment, record: BulletinRecord
) -> dict[str, str]:
    """Give the texts that a bulletin was approved with, once it is sure that they still count.

    Raises:
        PolicyError: somebody who submitted or approved it may not, any more.
        SignatureInvalidError: a key was revoked, or the texts are others than the history's.
    """
    bulletin, decision = record.bulletin, record.decision
    assert decision is not None  # noqa: S101 - it is live
    check_authority(tx, deployment, record, decision)
    details: list[Any] = [
        event.detail
        for event in tx.events(bulletin.bulletin_id)
        if event.what == "approved" and event.detail.get("plan") == decision.plan_hash
    ]
    said = details[-1].get("said", {}).get("texts") if details else None
    if said != dict(bulletin.texts):
        msg = f"the texts of {bulletin.bulletin_id} are not those that were approved"
        raise SignatureInvalidError(msg)
    return dict(bulletin.texts)


def concerned(tx: Transaction, deployment: Deployment, record: BulletinRecord) -> dict[str, int]:
    """Count the subscribers who would be told of a bulletin, by carrier."""
    contains = deployment.regions.contains
    counts = dict.fromkeys(deployment.asked_at, 0)
    for (peer_id, regions), count in tx.count_subscriptions().items():
        is_concerned = any(
            contains(asked, told) or contains(told, asked)
            for asked in regions
            for told in record.bulletin.regions
        )
        if is_concerned and peer_id in counts:
            counts[peer_id] += count
    return counts


def _end(tx: Transaction, one: Round, now: datetime) -> None:
    """Write down that a round is over, once all of it has an outcome."""
    if one.after < one.up_to or one.in_flight or not one.up_to:
        return
    detail = {
        "peer": one.peer_id,
        "told": one.told,
        "refused": one.refused,
        "in_doubt": one.in_doubt,
    }
    if one.told or one.refused or one.in_doubt:
        tx.record(Event(now, one.bulletin_id, TOLD, GATEWAY, detail))
