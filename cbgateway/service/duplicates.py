"""The same, said twice: refused when one sender says it to the same regions, else warned of."""

import difflib
from datetime import datetime, timedelta

from cbgateway.domain.bulletin import Bulletin, BulletinState, MessageType
from cbgateway.domain.errors import DuplicateError
from cbgateway.domain.ports import Transaction
from cbgateway.service.deployment import Deployment

SIMILAR_RATIO = 0.9
"""Texts that are so much alike are worth a warning (difflib's measure, 0 to 1)."""

SIMILAR_COMPARED_MAX = 20
"""Of a sender's recent bulletins, so many of the newest are compared: each costs some 20 us."""

UNSAID = {BulletinState.REJECTED, BulletinState.WITHDRAWN, BulletinState.DRAFT}
"""What nobody has been told: saying it again is no repetition."""


def check_duplicate(
    tx: Transaction,
    deployment: Deployment,
    bulletin: Bulletin,
    *,
    is_meant: bool,
    now: datetime,
) -> tuple[str, ...]:
    """Refuse what the same sender has just told the same regions; give warnings of what is alike.

    Updates and withdrawals are never held up, nor is anybody by what somebody else has said.

    Args:
        tx: knows what the sender has said lately.
        deployment: says for how long it counts.
        bulletin: what is to be said.
        is_meant: the sender says it again on purpose.
        now: aware.

    Raises:
        DuplicateError: with the way to say it all the same.
    """
    if bulletin.kind.message_type is not MessageType.ALERT:
        return ()
    since = now - timedelta(seconds=deployment.country.duplicate_guard_s)
    warnings = []
    for record in tx.told_before(bulletin, since=since):
        other = record.bulletin
        if record.state in UNSAID or other.bulletin_id == bulletin.bulletin_id:
            continue
        if not is_meant:
            msg = (
                f"{bulletin.sender!r} told the same regions the same in {other.bulletin_id} at "
                f'{other.sent.isoformat()}; add "allow_duplicate": true if that is meant'
            )
            raise DuplicateError(msg)
        warnings.append(f"repeats {other.bulletin_id} on purpose")
    alike = "" if warnings else _alike(tx, deployment, bulletin, since)
    return (*warnings, f"its text is much like that of {alike}") if alike else tuple(warnings)


def _alike(tx: Transaction, deployment: Deployment, bulletin: Bulletin, since: datetime) -> str:
    """Find the newest of the sender's bulletins whose text is much like this one's."""
    language = deployment.country.default_language
    matcher = difflib.SequenceMatcher()
    text = bulletin.words.get(language, "")
    matcher.set_seq2(text)  # what is learned of it serves them all
    letters = frozenset(text)
    for other in tx.recent_texts(
        bulletin.sender, language, since=since, limit=SIMILAR_COMPARED_MAX
    ):
        if other.state in UNSAID or other.bulletin_id == bulletin.bulletin_id:
            continue
        in_both = sum(map(letters.__contains__, other.text))  # no matching can be longer
        if 2 * in_both < SIMILAR_RATIO * (len(text) + len(other.text)):
            continue
        matcher.set_seq1(other.text)
        if _are_alike(matcher):
            return other.bulletin_id
    return ""


def _are_alike(matcher: difflib.SequenceMatcher[str]) -> bool:
    """Compare two texts; the cheap bound first, which most pairs do not reach."""
    return matcher.quick_ratio() >= SIMILAR_RATIO and matcher.ratio() >= SIMILAR_RATIO
