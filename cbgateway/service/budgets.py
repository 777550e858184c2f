"""Budgets: how many bulletins a region may have, per alert class and per sender.

Each class has a budget of its own, so a lower class never draws on a higher one's. A sender may
use half of it at most, so that one stolen key cannot use it up. That it works again draws on a
reserve of its own, as large: whoever was told often has to be told the end as well. An approval
looks whether there is something left; the first order that leaves in a region takes the token.
"""

from datetime import datetime, timedelta

from cbgateway.domain.bulletin import Bulletin, BulletinKind
from cbgateway.domain.errors import BudgetExhaustedError
from cbgateway.domain.ports import Transaction
from cbgateway.domain.rate import Empty, TokenBucket
from cbgateway.service.deployment import Deployment

SENDER_SHARE = 0.5
EVERYBODY = ""
RESERVED = frozenset({BulletinKind.RESTORED})
"""Kinds that have a budget beside that of all others."""


def is_exempt(deployment: Deployment, bulletin: Bulletin) -> bool:
    """Tell whether a bulletin needs no budget: corrections, withdrawals, the highest class."""
    return (
        bulletin.kind in deployment.country.exempt_kinds
        or deployment.alert_class(bulletin.alert_class).exempt_from_limit
    )


def budget_name(bulletin: Bulletin) -> str:
    """Give what the budget that a bulletin draws on is called: its class, or a reserve of that."""
    reserve = f"+{bulletin.kind}" if bulletin.kind in RESERVED else ""
    return bulletin.alert_class + reserve


def check_budget(
    tx: Transaction, deployment: Deployment, bulletin: Bulletin, *, now: datetime
) -> None:
    """Refuse a bulletin for which some region has no budget left.

    What was approved and has not left yet counts as spent.

    Raises:
        BudgetExhaustedError: with the region, and when it has some again.
    """
    if is_exempt(deployment, bulletin):
        return
    waiting = [
        record.bulletin
        for record in tx.undispatched_bulletins(before=now + timedelta(days=1))
        if budget_name(record.bulletin) == budget_name(bulletin)
        and record.bulletin.bulletin_id != bulletin.bulletin_id
        and not is_exempt(deployment, record.bulletin)
    ]
    for region in deployment.leaves(bulletin.regions):
        ahead = [
            one
            for one in waiting
            if region in deployment.leaves(one.regions)
            and not tx.has_spent(one.bulletin_id, region)
        ]
        for sender, count in (
            (EVERYBODY, len(ahead)),
            (bulletin.sender, sum(one.sender == bulletin.sender for one in ahead)),
        ):
            bucket = _bucket(tx, deployment, bulletin, region, sender, now)
            taken = bucket.take(now.timestamp(), tokens=1 + count)
            if isinstance(taken, Empty):
                raise _exhausted(region, bulletin.alert_class, sender, taken, now)


def spend(
    tx: Transaction, deployment: Deployment, bulletin: Bulletin, region: str, *, now: datetime
) -> Empty | None:
    """Take a bulletin's tokens for everything inside a region, once.

    Returns:
        None when they are taken, or none are needed; `Empty` when some region has none left, and
        then nothing is taken.
    """
    if is_exempt(deployment, bulletin):
        return None
    taken: list[tuple[str, str, TokenBucket]] = []
    owing = [
        leaf
        for leaf in deployment.leaves((region,))
        if not tx.has_spent(bulletin.bulletin_id, leaf)
    ]
    for leaf in owing:
        for sender in (EVERYBODY, bulletin.sender):
            bucket = _bucket(tx, deployment, bulletin, leaf, sender, now)
            after = bucket.take(now.timestamp())
            if isinstance(after, Empty):
                return after
            taken.append((leaf, sender, after))
    for leaf, sender, after in taken:
        tx.put_tokens(
            leaf,
            budget_name(bulletin),
            sender,
            tokens=after.tokens,
            updated_s=after.updated_at_s,
        )
    for leaf in owing:
        tx.put_spent(bulletin.bulletin_id, leaf)
    return None


def left(
    tx: Transaction, deployment: Deployment, bulletin: Bulletin, *, now: datetime
) -> dict[str, tuple[float, float]]:
    """Give what each region's budget holds, for everybody and for the bulletin's sender."""
    held = {}
    for region in deployment.leaves(bulletin.regions):
        everybody, sender = (
            _bucket(tx, deployment, bulletin, region, whose, now).at(now.timestamp())
            for whose in (EVERYBODY, bulletin.sender)
        )
        held[region] = everybody.tokens, sender.tokens
    return held


def _bucket(
    tx: Transaction,
    deployment: Deployment,
    bulletin: Bulletin,
    region: str,
    sender: str,
    now: datetime,
) -> TokenBucket:
    limit = deployment.alert_class(bulletin.alert_class).limit
    share = 1.0 if sender == EVERYBODY else SENDER_SHARE
    capacity = max(1.0, limit.capacity * share)
    known = tx.tokens(region, budget_name(bulletin), sender)
    tokens, updated_s = known or (capacity, now.timestamp())
    return TokenBucket(capacity, limit.refill_per_hour * share / 3600, tokens, updated_s)


def _exhausted(
    region: str, class_name: str, sender: str, empty: Empty, now: datetime
) -> BudgetExhaustedError:
    at = now + timedelta(seconds=empty.refills_in_s)
    return BudgetExhaustedError(
        region=region,
        alert_class=class_name,
        sender=sender,
        refills_in_s=empty.refills_in_s,
        at=at.isoformat(timespec="seconds"),
    )
