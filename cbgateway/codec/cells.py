"""Cells and areas: what networks call them, as octets and as text (TS 23.003, TS 48.008 3.2.2.27).

The text form is one word: `450-08-1001-11` for a GSM cell, `450-08-1001` for a location area.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

LAC_MAX = 0xFFFF
CI_MAX = 0xFFFF
TAC_4G_MAX = 0xFFFF
TAC_4G_OCTETS = 2
TAC_5G_OCTETS = 3
TAC_5G_MAX = 0xFFFFFF
ECI_MAX = (1 << 28) - 1
NCI_MAX = (1 << 36) - 1
PLMN_OCTETS = 3
FILLER = 0xF
"""Stands in place of the third digit of a network code that has two (TS 24.008 10.5.1.3)."""
DIGIT_MAX = 9
MNC_DIGITS_SHORT = 2

_PLMN = re.compile(r"([0-9]{3})-([0-9]{2,3})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Plmn:
    """A network: country code and network code.

    Attributes:
        mcc: three digits.
        mnc: two or three digits; `01` and `001` are two networks.
    """

    mcc: str
    mnc: str

    def __post_init__(self) -> None:
        """Refuse what is no network."""
        if not _PLMN.fullmatch(f"{self.mcc}-{self.mnc}"):
            msg = f"{self.mcc}-{self.mnc} is no network such as 450-08"
            raise ValueError(msg)

    def __str__(self) -> str:
        """Write country and network code with a hyphen between."""
        return f"{self.mcc}-{self.mnc}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `450-08`, or `45008` as some write it.

        Raises:
            ValueError: it is no network.
        """
        mcc, hyphen, mnc = text.partition("-")
        return cls(mcc, mnc) if hyphen else cls(text[:3], text[3:])

    def encode(self) -> bytes:
        """Give the three octets of core networks and GSM (TS 24.008 10.5.1.3)."""
        one, two, three = map(int, self.mcc)
        first, second, *rest = map(int, self.mnc)
        third = rest[0] if rest else FILLER
        return bytes([two << 4 | one, third << 4 | three, second << 4 | first])

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read the three octets of core networks and GSM.

        Raises:
            ValueError: they hold no network.
        """
        low, middle, high = octets
        return cls._of(
            (low & 15, low >> 4, middle & 15), (high & 15, high >> 4, middle >> 4), octets
        )

    def encode_ran(self) -> bytes:
        """Give the three octets of S1AP, NGAP and SBc-AP; differs for three digits.

        Spec: TS 36.413 9.2.3.8, TS 38.413 9.3.3.5.
        """
        one, two, three = map(int, self.mcc)
        digits = [one, two, three, *map(int, self.mnc)]
        if len(self.mnc) == MNC_DIGITS_SHORT:
            digits.insert(3, FILLER)
        return bytes(digits[at + 1] << 4 | digits[at] for at in (0, 2, 4))

    @classmethod
    def decode_ran(cls, octets: bytes) -> Self:
        """Read the three octets of S1AP, NGAP and SBc-AP.

        Raises:
            ValueError: they hold no network.
        """
        digits = [digit for octet in octets for digit in (octet & 15, octet >> 4)]
        mnc = [*digits[4:], FILLER] if digits[3] == FILLER else digits[3:]
        return cls._of(tuple(digits[:3]), tuple(mnc), octets)

    @classmethod
    def _of(cls, mcc: tuple[int, ...], mnc: tuple[int, ...], octets: bytes) -> Self:
        if mnc[-1] == FILLER:
            mnc = mnc[:-1]
        if max(mcc + mnc) > DIGIT_MAX:
            msg = f"{octets.hex()} is no network"
            raise ValueError(msg)
        return cls("".join(map(str, mcc)), "".join(map(str, mnc)))


def _check(name: str, value: int, value_max: int) -> None:
    if not 0 <= value <= value_max:
        msg = f"{name} {value} is not in 0..{value_max}"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True, order=True)
class Lac:
    """A location area of the network that is spoken to."""

    OCTETS: ClassVar[int] = 2
    lac: int

    def __post_init__(self) -> None:
        """Refuse what sixteen bits cannot hold."""
        _check("LAC", self.lac, LAC_MAX)

    def __str__(self) -> str:
        """Write it as others say it."""
        return f"LAC {self.lac}"

    def encode(self) -> bytes:
        """Give two octets."""
        return self.lac.to_bytes(2, "big")

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read two octets."""
        return cls(int.from_bytes(octets, "big"))


@dataclass(frozen=True, slots=True, order=True)
class Ci:
    """A cell of the base station controller that is spoken to."""

    OCTETS: ClassVar[int] = 2
    ci: int

    def __post_init__(self) -> None:
        """Refuse what sixteen bits cannot hold."""
        _check("CI", self.ci, CI_MAX)

    def __str__(self) -> str:
        """Write it as others say it."""
        return f"CI {self.ci}"

    def encode(self) -> bytes:
        """Give two octets."""
        return self.ci.to_bytes(2, "big")

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read two octets."""
        return cls(int.from_bytes(octets, "big"))


@dataclass(frozen=True, slots=True, order=True)
class LacCi:
    """A cell of the network that is spoken to."""

    OCTETS: ClassVar[int] = 4
    lac: int
    ci: int

    def __post_init__(self) -> None:
        """Refuse what sixteen bits cannot hold."""
        _check("LAC", self.lac, LAC_MAX)
        _check("CI", self.ci, CI_MAX)

    def __str__(self) -> str:
        """Write it as others say it."""
        return f"LAC {self.lac} CI {self.ci}"

    def encode(self) -> bytes:
        """Give four octets."""
        return self.lac.to_bytes(2, "big") + self.ci.to_bytes(2, "big")

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read four octets."""
        return cls(int.from_bytes(octets[:2], "big"), int.from_bytes(octets[2:], "big"))


@dataclass(frozen=True, slots=True, order=True)
class Lai:
    """A location area, named for the whole world."""

    OCTETS: ClassVar[int] = 5
    plmn: Plmn
    lac: int

    def __post_init__(self) -> None:
        """Refuse what sixteen bits cannot hold."""
        _check("LAC", self.lac, LAC_MAX)

    def __str__(self) -> str:
        """Write network and area."""
        return f"{self.plmn}-{self.lac}"

    def encode(self) -> bytes:
        """Give five octets."""
        return self.plmn.encode() + self.lac.to_bytes(2, "big")

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read five octets.

        Raises:
            ValueError: they hold no network.
        """
        return cls(Plmn.decode(octets[:3]), int.from_bytes(octets[3:], "big"))


@dataclass(frozen=True, slots=True, order=True)
class Cgi:
    """A GSM cell, named for the whole world (cell global identification)."""

    OCTETS: ClassVar[int] = 7
    plmn: Plmn
    lac: int
    ci: int

    def __post_init__(self) -> None:
        """Refuse what sixteen bits cannot hold."""
        _check("LAC", self.lac, LAC_MAX)
        _check("CI", self.ci, CI_MAX)

    def __str__(self) -> str:
        """Write network, area and cell."""
        return f"{self.plmn}-{self.lac}-{self.ci}"

    @property
    def lai(self) -> Lai:
        """The location area it is in."""
        return Lai(self.plmn, self.lac)

    def encode(self) -> bytes:
        """Give seven octets."""
        return self.plmn.encode() + self.lac.to_bytes(2, "big") + self.ci.to_bytes(2, "big")

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read seven octets.

        Raises:
            ValueError: they hold no network.
        """
        return cls(
            Plmn.decode(octets[:3]),
            int.from_bytes(octets[3:5], "big"),
            int.from_bytes(octets[5:], "big"),
        )


@dataclass(frozen=True, slots=True, order=True)
class AllCells:
    """Every cell of the base station controller that is spoken to."""

    OCTETS: ClassVar[int] = 0

    def __str__(self) -> str:
        """Write it as orders do."""
        return "*"

    def encode(self) -> bytes:
        """Give no octet: the discriminator says it."""
        return b""

    @classmethod
    def decode(cls, _octets: bytes) -> Self:
        """Read no octet."""
        return cls()


ALL_CELLS = AllCells()

GsmPlace = Cgi | Lai | AllCells
"""What an order may name at a base station controller."""


@dataclass(frozen=True, slots=True, order=True)
class Tai:
    """A tracking area of LTE or NR.

    Attributes:
        tac: two octets in LTE, three in NR.
    """

    plmn: Plmn
    tac: int
    is_nr: bool = False

    def __post_init__(self) -> None:
        """Refuse what the generation's code cannot hold."""
        _check("TAC", self.tac, TAC_5G_MAX if self.is_nr else TAC_4G_MAX)

    def encode(self) -> bytes:
        """Give network and code, as SBc-AP and NGAP write them."""
        return self.plmn.encode_ran() + self.tac.to_bytes(3 if self.is_nr else 2, "big")

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read five octets of LTE, or six of NR.

        Raises:
            ValueError: they hold no tracking area.
        """
        tac = octets[PLMN_OCTETS:]
        if len(tac) not in {TAC_4G_OCTETS, TAC_5G_OCTETS}:
            msg = f"a tracking area code has 2 or 3 octets, not {len(tac)}"
            raise ValueError(msg)
        plmn = Plmn.decode_ran(octets[:PLMN_OCTETS])
        return cls(plmn, int.from_bytes(tac, "big"), is_nr=len(tac) == TAC_5G_OCTETS)


@dataclass(frozen=True, slots=True, order=True)
class Ecgi:
    """An LTE cell, named for the whole world.

    Attributes:
        eci: 28 bits.
    """

    plmn: Plmn
    eci: int

    def __post_init__(self) -> None:
        """Refuse what 28 bits cannot hold."""
        _check("ECI", self.eci, ECI_MAX)

    def encode(self) -> bytes:
        """Give network and cell, the cell flush left in four octets (TS 36.413 9.2.1.38)."""
        return self.plmn.encode_ran() + (self.eci << 4).to_bytes(4, "big")

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read seven octets; the last four bits are spare.

        Raises:
            ValueError: they hold no cell.
        """
        _check_octets(octets, 7)
        return cls(Plmn.decode_ran(octets[:3]), int.from_bytes(octets[3:], "big") >> 4)


@dataclass(frozen=True, slots=True, order=True)
class Ncgi:
    """An NR cell, named for the whole world.

    Attributes:
        nci: 36 bits.
    """

    plmn: Plmn
    nci: int

    def __post_init__(self) -> None:
        """Refuse what 36 bits cannot hold."""
        _check("NCI", self.nci, NCI_MAX)

    def encode(self) -> bytes:
        """Give network and cell, the cell flush left in five octets (TS 38.413 9.3.1.7)."""
        return self.plmn.encode_ran() + (self.nci << 4).to_bytes(5, "big")

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read eight octets; the last four bits are spare.

        Raises:
            ValueError: they hold no cell.
        """
        _check_octets(octets, 8)
        return cls(Plmn.decode_ran(octets[:3]), int.from_bytes(octets[3:], "big") >> 4)


def _check_octets(octets: bytes, length: int) -> None:
    if len(octets) != length:
        msg = f"{length} octets are needed, not {len(octets)}"
        raise ValueError(msg)


_PLACE = re.compile(r"([0-9]{3}-[0-9]{2,3})-([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


def parse_place(text: str) -> GsmPlace:
    """Read `450-08-1001-11`, `450-08-1001`, or `*` for all cells of a controller.

    Raises:
        ValueError: it is none of these.
    """
    if text == str(ALL_CELLS):
        return ALL_CELLS
    match = _PLACE.fullmatch(text)
    if match is None:
        msg = f"{text!r} is no cell such as 450-08-1001-11, and no location area"
        raise ValueError(msg)
    plmn, lac = Plmn.parse(match[1]), int(match[2])
    return Lai(plmn, lac) if match[3] is None else Cgi(plmn, lac, int(match[3]))
