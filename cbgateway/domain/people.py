"""People and machines that may issue or approve bulletins, with what they may do and their keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cbgateway.domain.bulletin import BulletinKind
from cbgateway.domain.delivery import Channel
from cbgateway.domain.errors import PermissionDeniedError, SamePersonError


class Severity(StrEnum):
    """How bad it is for those who are told (CAP 1.2 severity), the worst first."""

    EXTREME = "Extreme"
    SEVERE = "Severe"
    MODERATE = "Moderate"
    MINOR = "Minor"

    def is_above(self, other: "Severity") -> bool:
        """Tell whether this is worse than `other`."""
        order = list(Severity)
        return order.index(self) < order.index(other)


@dataclass(frozen=True, slots=True)
class Permission:
    """What somebody may do, as one whole: everything in it has to allow a bulletin.

    Attributes:
        regions: codes of regions, each with all that lies inside.
        classes: alert classes by name.
        channels: ways that a bulletin may take.
        severity_max: no class that is worse.
        kinds: kinds of bulletin.
    """

    regions: tuple[str, ...]
    classes: tuple[str, ...]
    channels: tuple[Channel, ...] = tuple(Channel)
    severity_max: Severity = Severity.EXTREME
    kinds: tuple[BulletinKind, ...] = tuple(BulletinKind)


@dataclass(frozen=True, slots=True)
class Use:
    """What a bulletin asks for, beside its regions.

    Attributes:
        channels: every way that it would take at any carrier.
    """

    alert_class: str
    severity: Severity
    kind: BulletinKind
    channels: frozenset[Channel]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, or a machine, known to this gateway.

    Attributes:
        name: how the person is called in files and logs.
        may_submit: may issue bulletins.
        may_approve: may approve and reject what others submitted.
        owner: of a machine, the person who answers for its key; empty for people.
        is_revoked: True once every permission was taken back.
    """

    name: str
    may_submit: bool
    may_approve: bool
    permission: Permission
    owner: str = ""
    is_revoked: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """The public half of somebody's or some region's Ed25519 key.

    Attributes:
        key_id: RFC 7638 thumbprint.
        holder: name of the person, or code of the region.
        public_key: 32 octets.
        since: signatures made earlier do not count.
        until: nor those made later; None while nobody has set an end.
        is_revoked: True once nothing that it ever signed may leave any more.
        kit: name of the offline kit that has the private half; empty when this gateway has it,
            or a person.
    """

    key_id: str
    holder: str
    public_key: bytes
    since: datetime
    until: datetime | None = None
    is_revoked: bool = False
    kit: str = ""

    def is_valid_at(self, at: datetime) -> bool:
        """Tell whether a signature made at this time counts."""
        return not self.is_revoked and self.since <= at and (self.until is None or at < self.until)


def check_may_submit(person: Person, use: Use) -> None:
    """Refuse somebody who may not issue such a bulletin.

    Raises:
        PermissionDeniedError: with what is missing.
    """
    if not person.may_submit:
        msg = f"{person.name!r} may not submit bulletins"
        raise PermissionDeniedError(msg)
    _check_use(person, use)


def check_may_approve(person: Person, use: Use, *, hands: Sequence[Person]) -> None:
    """Refuse an approver who is not a second person, or may not approve such a bulletin.

    Args:
        person: who wants to approve.
        use: what the bulletin asks for.
        hands: everybody who created, edited or submitted it. Who answers for a machine's key
            counts as that machine.

    Raises:
        SamePersonError: the approver had a hand in it.
        PermissionDeniedError: the approver may not approve it.
    """
    for hand in hands:
        if person.name in {hand.name, hand.owner} or hand.name == person.owner:
            msg = (
                f"{person.name!r} wrote or submitted this bulletin, or answers for the key that "
                "did; somebody else has to decide"
            )
            raise SamePersonError(msg)
    if person.owner:
        msg = f"{person.name!r} is a machine; people decide"
        raise PermissionDeniedError(msg)
    if not person.may_approve:
        msg = f"{person.name!r} may not approve bulletins"
        raise PermissionDeniedError(msg)
    _check_use(person, use)


def _check_use(person: Person, use: Use) -> None:
    may = person.permission
    if person.is_revoked:
        msg = f"the permissions of {person.name!r} were revoked"
        raise PermissionDeniedError(msg)
    if use.alert_class not in may.classes:
        msg = f"{person.name!r} may use class {', '.join(may.classes)}, not {use.alert_class!r}"
        raise PermissionDeniedError(msg)
    if use.severity.is_above(may.severity_max):
        msg = f"{person.name!r} may go up to {may.severity_max}; this is {use.severity}"
        raise PermissionDeniedError(msg)
    if use.kind not in may.kinds:
        msg = f"{person.name!r} may issue {', '.join(may.kinds)}, not {use.kind}"
        raise PermissionDeniedError(msg)
    beyond = use.channels - set(may.channels)
    if beyond:
        msg = f"{person.name!r} may not use channel {', '.join(sorted(beyond))}"
        raise PermissionDeniedError(msg)
