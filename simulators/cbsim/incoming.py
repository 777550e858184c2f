"""Messages that begin at a phone: on demand, and at a rate."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from cbgateway.codec import smpp_text
from cbgateway.domain.errors import EncodeError
from cbsim.accounts import Accounts, Esme
from cbsim.receipts import write_incoming
from cbsim.scenario import Incoming
from cbsim.schedule import Schedule

TICK_S = 0.05
"""Messages at a rate are made in batches this far apart."""
BATCH_MAX = 1_000_000
"""Made at a time, where no count is given; a clock that jumps asks for no more."""
ADDRESS_CHARACTERS = 20


class IncomingTraffic:
    """Makes messages from phones and hands them to the ESMEs that they are for."""

    def __init__(
        self,
        accounts: Accounts,
        schedule: Schedule,
        *,
        rules: Callable[[], Incoming],
        now_s: Callable[[], float],
        queue: Callable[[Esme, bytes, float], None],
        phones: Collection[str],
        asked: Callable[..., None],
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        """Begin with none.

        Args:
            accounts: who may get them.
            schedule: for those at a rate.
            rules: what the scenario says of them now.
            now_s: the simulator's clock.
            queue: has a deliver_sm sent.
            phones: the centre's own numbers.
            asked: called with phone, number and text of what is sent.
            tell: called with what a tester wants to know.
        """
        self._accounts = accounts
        self._schedule = schedule
        self._rules = rules
        self._now_s = now_s
        self._queue = queue
        self._numbers = phones
        self._asked = asked
        self._turn: Iterator[str] = iter(())
        self._tell = tell
        self._made = 0
        self._owed = 0.0
        self._at_s: float | None = None

    def send(
        self,
        *,
        system_id: str | None = None,
        source: str = "",
        destination: str = "",
        text: str = "",
        data_coding: int | None = None,
        now_s: float | None = None,
    ) -> int:
        """Let a phone send a message to ESMEs; gives to how many.

        Args:
            system_id: to whom; whoever owns the number, or else all that receive, when None.
            source: the phone; the scenario's when empty.
            destination: where to; the scenario's when empty.
            text: what it says.
            data_coding: 0 or 8; chosen by the text when None.
            now_s: when; now when None.

        Raises:
            EncodeError: the text cannot be sent in this coding.
        """
        now_s = self._now_s() if now_s is None else now_s
        rules = self._rules()
        destination = destination or rules.destination
        coding = smpp_text.choose_data_coding(text) if data_coding is None else data_coding
        body = write_incoming(
            service_type=b"\0",
            source=_address(source or rules.source),
            destination=_address(destination),
            esm_class=0,
            data_coding=coding,
            text=smpp_text.encode_text(text, coding),
            tlvs=(),
        )
        owner = self._accounts.owner_of(destination)
        esmes = [esme for esme in self._accounts.esmes.values() if esme.receivers]
        if system_id is not None:
            esmes = [one for one in (self._accounts.esmes.get(system_id),) if one is not None]
        elif owner is not None:
            esmes = [owner]
        if esmes:
            self._asked(source or rules.source, destination, text, now_s=now_s)
        for esme in esmes:
            self._queue(esme, body, now_s)
        return len(esmes)

    def on_change(self, now_s: float) -> None:
        """Begin to send at a rate, when the scenario says so."""
        if self._rules().per_s and self._at_s is None:
            self._at_s = now_s
            self._schedule.at(now_s, self._make)

    def stop(self) -> None:
        """Send at no rate any more; the schedule has been cleared."""
        self._at_s = None

    def _make(self, _: object, now_s: float) -> None:
        """Make the messages that are owed for the time since the last call."""
        rules = self._rules()
        began_s = now_s if self._at_s is None else self._at_s
        self._at_s = now_s
        left = rules.count - self._made if rules.count else BATCH_MAX
        if not rules.per_s or left <= 0:
            self._at_s = None
            return
        self._owed += (now_s - began_s) * rules.per_s
        due = min(int(self._owed), left)
        self._owed -= int(self._owed)
        for _count in range(due):
            texts = rules.texts or (rules.text,)
            text = texts[self._made % len(texts)]
            self._made += 1
            source = self._next_phone() if rules.from_phones else ""
            try:
                self.send(source=source, text=text.replace("{n}", str(self._made)), now_s=now_s)
            except EncodeError as error:
                self._tell({"event": "incoming_failed", "detail": str(error)})
        self._schedule.at(now_s + max(TICK_S, 1 / rules.per_s), self._make)

    def _next_phone(self) -> str:
        """Give the next of the centre's phones; empty when it has none."""
        number = next(self._turn, None)
        if number is None:
            self._turn = iter(self._numbers)
            number = next(self._turn, "")
        return number


def _address(number: str) -> bytes:
    return b"\1\1" + number.encode("ascii", "replace")[:ADDRESS_CHARACTERS] + b"\0"
