"""A piece of work for one transaction, as whoever takes it in hands it to whoever commits it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cbgateway.domain.ports import Transaction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """A piece of work for one transaction.

    Attributes:
        work: does it; an error undoes all of it.
        is_urgent: goes on even when the disk is full.
    """

    work: Callable[[Transaction], T]
    is_urgent: bool
