"""The kinds of fields in SMPP bodies: how each is read, written and named (SMPP 5.0 3.1)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from cbgateway.domain.errors import DecodeError, EncodeError

ADDRESS_OCTETS_MAX = 21
LONG_ADDRESS_OCTETS_MAX = 65
SHORT_MESSAGE_OCTETS_MAX = 255
TIME_CHARACTERS = 16
CLAUSE = "SMPP 5.0 3.1"


class PduError(DecodeError):
    """A PDU that can be told from its neighbours, and not be read.

    Attributes:
        command_status: what to answer it with.
    """

    def __init__(
        self,
        problem: str,
        *,
        field: str,
        offset: int,
        clause: str,
        command_status: int,
        framing_lost: bool = False,
    ) -> None:
        super().__init__(
            problem, field=field, offset=offset, clause=clause, framing_lost=framing_lost
        )
        self.command_status = command_status


@dataclass(frozen=True, slots=True)
class Address:
    """A subscriber or service.

    Attributes:
        ton: type of number, 0 to 255.
        npi: numbering plan indicator, 0 to 255.
        address: ASCII, 20 characters at most (64 in data_sm and alert_notification).
    """

    ton: int
    npi: int
    address: str


class Field(ABC):
    """One mandatory field."""

    __slots__ = ()

    @abstractmethod
    def write(self, name: str, value: Any) -> bytes:  # noqa: ANN401 - each kind has its own type
        """Give the field's octets.

        Raises:
            EncodeError: the value does not fit; nothing is ever cut or masked.
        """

    @abstractmethod
    def read(self, name: str, octets: bytes, offset: int) -> tuple[Any, int]:
        """Give the value that begins at `offset`, and where the next field begins.

        Raises:
            PduError: the octets break the specification.
        """

    def named(self, name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - each kind its own
        """Give the value by the field's specification names."""
        return {name: value}


@dataclass(frozen=True, slots=True)
class Integer(Field):
    """An unsigned number, big endian."""

    length: int

    def write(self, name: str, value: int) -> bytes:
        """See `Field`."""
        if not 0 <= value < 1 << 8 * self.length:
            problem = f"{value} does not fit {self.length} octets"
            raise EncodeError(problem, field=name, clause=CLAUSE)
        return value.to_bytes(self.length, "big")

    def read(self, name: str, octets: bytes, offset: int) -> tuple[int, int]:
        """See `Field`."""
        end = offset + self.length
        if end > len(octets):
            raise PduError(
                "the PDU ends before it",
                field=name,
                offset=len(octets),
                clause=CLAUSE,
                command_status=0x02,
            )
        return int.from_bytes(octets[offset:end], "big"), end


@dataclass(frozen=True, slots=True)
class CString(Field):
    """ASCII with a final NUL.

    Attributes:
        length_max: octets at most, the NUL included.
        status: what to answer a broken one with.
    """

    length_max: int
    status: int

    def write(self, name: str, value: str) -> bytes:
        """See `Field`."""
        if not value.isascii() or "\0" in value:
            raise EncodeError("holds ASCII without NUL", field=name, clause=CLAUSE)
        if len(value) >= self.length_max:
            problem = f"{len(value)} characters, at most {self.length_max - 1}"
            raise EncodeError(problem, field=name, clause=CLAUSE)
        return value.encode("ascii") + b"\0"

    def read(self, name: str, octets: bytes, offset: int) -> tuple[str, int]:
        """See `Field`."""
        end = octets.find(b"\0", offset, offset + self.length_max)
        if end < 0:
            problem = f"no NUL within {self.length_max} octets"
            at = min(offset + self.length_max, len(octets))
            raise PduError(
                problem, field=name, offset=at, clause=CLAUSE, command_status=self.status
            )
        value = octets[offset:end]
        if not value.isascii():
            at = offset + next(i for i, octet in enumerate(value) if octet > 0x7F)  # noqa: PLR2004 - ASCII
            raise PduError(
                "not ASCII", field=name, offset=at, clause=CLAUSE, command_status=self.status
            )
        return value.decode("ascii"), end + 1


@dataclass(frozen=True, slots=True)
class Time(Field):
    """A time: empty, or 16 characters (SMPP 5.0 4.7.23)."""

    status: int

    def write(self, name: str, value: str) -> bytes:
        """See `Field`."""
        if len(value) not in {0, TIME_CHARACTERS}:
            problem = f"{len(value)} characters; it is empty or has {TIME_CHARACTERS}"
            raise EncodeError(problem, field=name, clause="SMPP 5.0 4.7.23")
        return CString(TIME_CHARACTERS + 1, self.status).write(name, value)

    def read(self, name: str, octets: bytes, offset: int) -> tuple[str, int]:
        """See `Field`."""
        value, end = CString(TIME_CHARACTERS + 1, self.status).read(name, octets, offset)
        if len(value) not in {0, TIME_CHARACTERS}:
            problem = f"{len(value)} characters; it is empty or has {TIME_CHARACTERS}"
            raise PduError(
                problem,
                field=name,
                offset=offset,
                clause="SMPP 5.0 4.7.23",
                command_status=self.status,
            )
        return value, end


_OCTET = Integer(1)
_ADDRESS_NAMES = {
    "source": ("source_addr_ton", "source_addr_npi", "source_addr"),
    "destination": ("dest_addr_ton", "dest_addr_npi", "destination_addr"),
    "esme": ("esme_addr_ton", "esme_addr_npi", "esme_addr"),
}


@dataclass(frozen=True, slots=True)
class AddressField(Field):
    """Type of number, numbering plan and address, one after another."""

    length_max: int
    status: int

    def write(self, name: str, value: Address) -> bytes:
        """See `Field`."""
        ton, npi, address = _ADDRESS_NAMES[name]
        return (
            _OCTET.write(ton, value.ton)
            + _OCTET.write(npi, value.npi)
            + CString(self.length_max, self.status).write(address, value.address)
        )

    def read(self, name: str, octets: bytes, offset: int) -> tuple[Address, int]:
        """See `Field`."""
        ton_name, npi_name, address_name = _ADDRESS_NAMES[name]
        ton, offset = _OCTET.read(ton_name, octets, offset)
        npi, offset = _OCTET.read(npi_name, octets, offset)
        address, offset = CString(self.length_max, self.status).read(address_name, octets, offset)
        return Address(ton, npi, address), offset

    def named(self, name: str, value: Address) -> dict[str, Any]:
        """See `Field`."""
        names = _ADDRESS_NAMES[name]
        return dict(zip(names, (value.ton, value.npi, value.address), strict=True))


@dataclass(frozen=True, slots=True)
class ShortMessageField(Field):
    """sm_length and as many octets."""

    status: int

    def write(self, name: str, value: bytes) -> bytes:
        """See `Field`."""
        if len(value) > SHORT_MESSAGE_OCTETS_MAX:
            problem = f"{len(value)} octets, at most {SHORT_MESSAGE_OCTETS_MAX}"
            raise EncodeError(problem, field=name, clause="SMPP 5.0 4.2.1.1")
        return bytes([len(value)]) + value

    def read(
        self,
        name: str,  # noqa: ARG002 - it is the length in front that can be wrong
        octets: bytes,
        offset: int,
    ) -> tuple[bytes, int]:
        """See `Field`."""
        length, start = _OCTET.read("sm_length", octets, offset)
        if start + length > len(octets):
            problem = f"says {length} octets, {len(octets) - start} are left"
            raise PduError(
                problem,
                field="sm_length",
                offset=offset,
                clause="SMPP 5.0 4.2.1.1",
                command_status=self.status,
            )
        return octets[start : start + length], start + length

    def named(self, name: str, value: bytes) -> dict[str, Any]:
        """See `Field`."""
        return {"sm_length": len(value), name: value}
