"""What the HTTP interface knows of the gateway: `app` hands it in."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from cbgateway.domain.bulletin import BulletinState
from cbgateway.domain.delivery import BulletinRecord
from cbgateway.domain.incident import Incident
from cbgateway.domain.ports import Clock, Store, Transaction
from cbgateway.interfaces.http.limits import (
    ANSWERS_TIDIED_EVERY,
    PROOF_ADDRESSES_MAX,
    PROOFS_ALL_BURST,
    PROOFS_ALL_PER_S,
    PROOFS_EACH_BURST,
    PROOFS_EACH_PER_S,
)
from cbgateway.interfaces.http.throttle import Rate, Throttle
from cbgateway.interfaces.http.tokens import Tokens
from cbgateway.public.site import Resource
from cbgateway.service.approval import Approval, Prepared
from cbgateway.service.deployment import Deployment
from cbgateway.service.incidents import Step
from cbgateway.service.intake import Request
from cbgateway.service.proposals import Alarm, Proposal
from cbgateway.service.writes import Write

T = TypeVar("T")


class Intake(Protocol):
    """The one intake; `cbgateway.desk.Desk` is it."""

    def submission(
        self, request: Request, signature: str, *, as_draft: bool = False
    ) -> Write[BulletinRecord]:
        """Take a bulletin in."""
        ...

    def revision(
        self, bulletin_id: str, request: Request, signature: str, *, as_draft: bool = False
    ) -> Write[BulletinRecord]:
        """Put another document in place of a draft's or returned bulletin's."""
        ...

    def taking_back(
        self, bulletin_id: str, *, reason: str, signature: str
    ) -> Write[BulletinRecord]:
        """Have an author take back what nobody has approved."""
        ...

    def refusal(
        self, bulletin_id: str, state: BulletinState, *, reason: str, signature: str
    ) -> Write[BulletinRecord]:
        """Turn a bulletin down, or give it back to its authors."""
        ...

    def step(self, step: Step, signature: str) -> Write[Incident]:
        """Note how far somebody says that an outage has got."""
        ...

    def alarm(self, alarm: Alarm, signature: str) -> Write[Proposal]:
        """Take an alarm in."""
        ...

    def receipt(self, bulletin_id: str, reader: str, signature: str) -> Write[bool]:
        """Note that somebody has read a bulletin's briefing."""
        ...

    def alert(self, octets: bytes) -> Write[BulletinRecord]:
        """Take in a CAP alert that its sender has signed."""
        ...

    def publication(self, bulletin_id: str) -> Write[bytes]:
        """Give a bulletin as a CAP alert."""
        ...

    async def commit_together(self, write: Write[T]) -> T:
        """Commit with what others write at the same time."""
        ...


class Briefings(Protocol):
    """What call-centre staff read; called in a thread, by many at once."""

    def briefings(self, language: str) -> list[dict[str, Any]]:
        """Give the briefing of each outage that goes on, or ended within a day."""
        ...

    def briefing(
        self, incident_id: str, *, language: str, number: int | None = None
    ) -> dict[str, Any]:
        """Give one."""
        ...

    def briefing_page(self, incident_id: str, *, language: str, number: int | None = None) -> bytes:
        """Give one as a page."""
        ...


@dataclass(slots=True)
class Counters:
    """What the interface counts of itself."""

    requests: dict[tuple[str, int], int] = field(default_factory=dict)
    seconds: float = 0.0
    watchers: int = 0
    writes: int = 0

    def is_tidying(self) -> bool:
        """Tell, for one write of some, that it drops old answers; the first does."""
        self.writes += 1
        return self.writes % ANSWERS_TIDIED_EVERY == 1

    def count(self, method: str, status: int, spent_s: float) -> None:
        """Count a request that was answered."""
        key = (method, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.seconds += spent_s


def proofs_throttle() -> Throttle:
    """Give the budgets for proofs: pages of codes, and what takes as long to make."""
    return Throttle(
        Rate(PROOFS_EACH_BURST, PROOFS_EACH_PER_S),
        Rate(PROOFS_ALL_BURST, PROOFS_ALL_PER_S),
        PROOF_ADDRESSES_MAX,
    )


@dataclass(frozen=True, slots=True)
class Backend:
    """The gateway, as far as the interface may see it.

    Attributes:
        names: what clients may call this server by, as in a Host field; a signed request for
            another name was meant for another gateway.
        intake: where everything that changes something goes.
        lookup: for reads that take no time, on the event loop.
        reading: for longer reads, in a thread; a connection of its own.
        prepare: works out what an approval would send; called in a thread.
        approving: makes the write of a signed approval; called in a thread.
        published_keys: the regions' public keys as a JWK Set.
        facts: what `cbgateway status` knows; called in a thread.
        show: gives what a path of the public site shows; called in a thread.
        briefings: what call-centre staff read.
        is_ready: False while starting, stopping, or once failed.
        stop: set when the server has to end.
        proxies: addresses that are believed when they say whom they speak for.
        proofs: who may look up how many codes.
    """

    deployment: Deployment
    clock: Clock
    names: frozenset[str]
    intake: Intake
    lookup: Store
    reading: Store
    prepare: Callable[[str], Prepared]
    approving: Callable[[str, str, Approval], Write[BulletinRecord]]
    published_keys: Callable[[], dict[str, Any]]
    facts: Callable[[], Mapping[str, Any]]
    show: Callable[[str], Resource]
    briefings: Briefings
    tokens: Tokens
    is_ready: Callable[[], bool]
    stop: asyncio.Event
    counters: Counters = field(default_factory=Counters)
    proxies: frozenset[str] = frozenset()
    proofs: Throttle = field(default_factory=proofs_throttle)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Read without keeping the event loop from anything else."""

        def locked() -> T:
            with self.reading.read() as tx:
                return work(tx)

        return await asyncio.to_thread(locked)
