"""Who may bind, as what, how often, and how fast they may submit."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from cbgateway.codec import smpp
from cbsim.refusal import Refusal
from cbsim.settings import choice, list_of, number, read_table, setting, text, whole

MODES = ("transmitter", "receiver", "transceiver")
ESMES_MAX = 10_000
"""Different system_ids that are remembered where everybody may bind."""
BINDS_MAX = 1_000
WINDOW_MAX = 1_000_000
PER_S_MAX = 1e9
_NUMBER_CHARACTERS = 65

Queued = tuple[bytes, int]
"""A deliver_sm without its header, and how often it has been sent."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who may bind.

    Attributes:
        system_id: its name.
        password: empty for any.
    """

    system_id: str = setting("", text(15, least=1), "name that the ESME binds with")
    password: str = setting("", text(8), "its password; empty accepts every password")
    modes: tuple[str, ...] = setting(MODES, list_of(choice(*MODES)), "how it may bind")
    binds_max: int = setting(0, whole(0, BINDS_MAX), "binds at a time; 0 for any number")
    window: int = setting(
        0, whole(0, WINDOW_MAX), "unanswered requests that it may have; 0 for any number"
    )
    per_s: float = setting(0.0, number(0, PER_S_MAX), "messages each second; 0 for any number")
    numbers: tuple[str, ...] = setting(
        (),
        list_of(text(_NUMBER_CHARACTERS, least=1)),
        "numbers that are its own, `82*` for all that begin so: what is sent there arrives there",
    )


def read_accounts(value: Any) -> tuple[Account, ...]:  # noqa: ANN401 - whatever TOML holds
    """Read a list of accounts.

    Raises:
        ValueError: one of them is wrong, or two have one name.
    """
    if not isinstance(value, list | tuple) or not all(isinstance(one, dict) for one in value):
        raise ValueError("is a list of tables, [[accounts]]")
    accounts = tuple(
        read_table(Account(), one, where=f"accounts[{index}].") for index, one in enumerate(value)
    )
    for index, account in enumerate(accounts):
        if not account.system_id:
            raise ValueError(f"entry {index} has no system_id")
    if len({account.system_id for account in accounts}) < len(accounts):
        raise ValueError("two accounts have the same system_id")
    return accounts


def owns(pattern: str, address: str) -> bool:
    """Tell whether a number belongs to a pattern: itself, or a beginning with ``*``."""
    pattern = pattern.removeprefix("^").removesuffix("$")
    if pattern.endswith("*"):
        return address.startswith(pattern.removesuffix("*").removesuffix("."))
    return address == pattern


class Limiter:
    """Counts what comes in each window of time; what is too many is refused."""

    __slots__ = ("_began_s", "_count")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._began_s = 0.0
        self._count = 0

    def allows(self, now_s: float, *, per_s: float, window_s: float) -> bool:
        """Count one more; False when it is one too many for this window."""
        if not 0 <= now_s - self._began_s < window_s:
            self._began_s = now_s
            self._count = 0
        self._count += 1
        return self._count <= per_s * window_s


class Bound(Protocol):
    """A bound session, as what waits for it sees it."""

    @property
    def mode(self) -> str:
        """How it is bound; empty before."""
        ...

    def room(self) -> int:
        """Tell how many more deliver_sm it takes now."""
        ...

    def deliver(self, queued: Queued, now_s: float) -> None:
        """Send a deliver_sm."""
        ...


class Esme:
    """One system_id: its sessions, and what waits for it."""

    def __init__(self, account: Account) -> None:
        """Begin with no session.

        Args:
            account: what it may do.
        """
        self.account = account
        self.sessions: list[Bound] = []
        self.queue: deque[Queued] = deque()
        self.limiter = Limiter()
        self.last_due_s = 0.0
        self._turn = 0

    @property
    def receivers(self) -> list[Bound]:
        """Its sessions that take deliver_sm."""
        return [session for session in self.sessions if session.mode != "transmitter"]

    def put(self, body: bytes, *, most: int) -> bool:
        """Let a deliver_sm wait for a session with room; False when too many wait."""
        if len(self.queue) >= most:
            return False
        self.queue.append((body, 0))
        return True

    def pump(self, now_s: float) -> None:
        """Give what waits to the sessions that have room, in turn."""
        if not self.queue:
            return
        waiting = deque(session for session in self.receivers if session.room() > 0)
        waiting.rotate(-self._turn)
        while self.queue and waiting:
            session = waiting.popleft()
            session.deliver(self.queue.popleft(), now_s)
            self._turn = (self._turn + 1) % BINDS_MAX
            if session.room() > 0:
                waiting.append(session)


class Accounts:
    """Everybody who may bind, and everybody who has."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        """Know some accounts.

        Args:
            accounts: none lets everybody bind.
        """
        self.known = {account.system_id: account for account in accounts}
        self.esmes: dict[str, Esme] = {name: Esme(account) for name, account in self.known.items()}
        self._exact: dict[str, Esme] = {}
        self._beginnings: list[tuple[str, Esme]] = []
        for esme in self.esmes.values():
            for pattern in esme.account.numbers:
                self.claim(pattern, esme)

    def claim(self, pattern: str, esme: Esme) -> None:
        """Remember that numbers of a pattern belong to somebody."""
        pattern = pattern.removeprefix("^").removesuffix("$")
        if pattern.endswith("*"):
            beginning = pattern.removesuffix("*").removesuffix(".")
            if (beginning, esme) not in self._beginnings and len(self._beginnings) < ESMES_MAX:
                self._beginnings.append((beginning, esme))
        elif len(self._exact) < ESMES_MAX:
            self._exact[pattern] = esme

    @property
    def owns_any(self) -> bool:
        """Tell whether any number belongs to an ESME."""
        return bool(self._exact or self._beginnings)

    def owner_of(self, address: str) -> Esme | None:
        """Find whose number this is; the longest beginning wins."""
        esme = self._exact.get(address)
        if esme is not None:
            return esme
        found = [one for one in self._beginnings if address.startswith(one[0])]
        return max(found, key=lambda one: len(one[0]))[1] if found else None

    def admit(self, system_id: str, password: str, mode: str) -> Esme:
        """Check a bind.

        Raises:
            Refusal: it may not.
        """
        if not self.known:
            return self._anybody(system_id)
        account = self.known.get(system_id)
        if account is None:
            raise Refusal(smpp.Status.ESME_RINVSYSID, f"nobody is called {system_id!r}")
        if account.password and account.password != password:
            raise Refusal(smpp.Status.ESME_RINVPASWD, "wrong password")
        if mode not in account.modes:
            may = " or ".join(account.modes)
            raise Refusal(smpp.Status.ESME_RBINDFAIL, f"{system_id!r} may bind as {may} only")
        esme = self.esmes[system_id]
        if account.binds_max and len(esme.sessions) >= account.binds_max:
            raise Refusal(
                smpp.Status.ESME_RALYBND,
                f"{system_id!r} has {len(esme.sessions)} binds, at most {account.binds_max}",
            )
        return esme

    def _anybody(self, system_id: str) -> Esme:
        esme = self.esmes.get(system_id)
        if esme is None:
            if len(self.esmes) >= ESMES_MAX:
                raise Refusal(smpp.Status.ESME_RBINDFAIL, f"{ESMES_MAX} names have bound already")
            esme = self.esmes[system_id] = Esme(Account(system_id))
        return esme
