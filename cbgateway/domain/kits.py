"""Offline kits: gateways made beforehand for the day that the main one is cut off.

Theory of operation: two gateways that cannot hear each other may not give out the same message
identifier and serial number, and there is nobody to ask. So the 1,024 message codes are divided
once and for all. The main gateway takes the codes below `KITS_BEGIN`; each of eight slots beyond
has its own, and a slot belongs to one kit at a time. The same division holds for the names that
broadcasts have at a message centre, and what a kit opens bears the kit's name, so that nothing
that was signed has to be renamed when both meet again.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from cbgateway.domain.broadcast import MESSAGE_CODE_MAX

SLOTS = 8
"""Kits at a time; each takes sixteen codes from the main gateway."""
SLOT_CODES = 16
"""New messages of a class that one kit can have on phones in a day; each takes fifteen updates."""
KITS_BEGIN = MESSAGE_CODE_MAX + 1 - SLOTS * SLOT_CODES
MAIN_CODES = range(KITS_BEGIN)
"""Message codes of a gateway that is no kit."""

ALIAS_MAX = 65_535
"""user_message_reference has sixteen bits (SMPP 5.0 4.8.4.62)."""
SLOT_ALIASES = 2_048
"""Broadcasts that one kit may have on air at one peer: more than any country has regions."""
MAIN_ALIASES = range(1, ALIAS_MAX + 1 - SLOTS * SLOT_ALIASES)

NAME = re.compile(r"kit[0-9a-z]{4}", re.ASCII)
_SUFFIX = re.compile(r"\.(kit[0-9a-z]{4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Kit:
    """What a gateway that is a kit knows of itself.

    Attributes:
        name: never given to another kit.
        slot: 0 to 7; which codes are its own.
        until: from then on it sends nothing.
        is_closed: True once the main gateway has taken over what it did.
    """

    name: str
    slot: int
    until: datetime
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class KitRecord:
    """What the main gateway knows of a kit.

    Attributes:
        gateway_id: of the kit.
        audit_public_key: that its history is signed with, 32 octets.
        merged_size: leaves of its history that were taken over.
        merged_root: root hash over these.
    """

    name: str
    slot: int
    gateway_id: str
    audit_public_key: bytes
    made_at: datetime
    until: datetime
    merged_size: int = 0
    merged_root: bytes = b""


def codes_of(kit: Kit | None) -> range:
    """Give the message codes that a gateway may take; None for one that is no kit."""
    return MAIN_CODES if kit is None else slot_codes(kit.slot)


def slot_codes(slot: int) -> range:
    """Give the message codes of a slot.

    Raises:
        ValueError: there is no such slot.
    """
    if not 0 <= slot < SLOTS:
        msg = f"slot {slot} is not in 0..{SLOTS - 1}"
        raise ValueError(msg)
    return range(KITS_BEGIN + slot * SLOT_CODES, KITS_BEGIN + (slot + 1) * SLOT_CODES)


def slot_aliases(slot: int) -> range:
    """Give the names that broadcasts of a slot's kit have at a message centre."""
    return range(
        MAIN_ALIASES.stop + slot * SLOT_ALIASES, MAIN_ALIASES.stop + (slot + 1) * SLOT_ALIASES
    )


def kit_in(name: str) -> str | None:
    """Give the kit that an incident's or document's name says it is of; None for none."""
    match = _SUFFIX.fullmatch(name[-len(".kit0000") :])
    return None if match is None else match[1]


def with_kit(name: str, kit: str) -> str:
    """Give an incident's or document's name as it is in a kit."""
    return name if kit_in(name) == kit else f"{name}.{kit}"
