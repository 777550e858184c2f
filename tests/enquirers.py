"""People who ask an office by short message, without a carrier in between."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cbgateway.asking import EnquiryKeys
from cbgateway.domain.incoming import IncomingMessage
from cbgateway.domain.outcomes import Outcome
from cbgateway.service.enquiries import Enquiries
from cbgateway.service.subscribers import Subscribers

SETTINGS = '\n[enquiries]\ncarriers = ["kt", "skt"]\n'
"""What switches answering on; belongs in front of tables."""
NUMBER = "1234"


def phone(index: int) -> str:
    """Give somebody's number."""
    return f"8210{index:08d}"


@dataclass
class Enquirers:
    """Those who ask one office."""

    office: Any
    enquiries: Enquiries = field(init=False)
    subscribers: Subscribers = field(init=False)
    keys: EnquiryKeys = field(init=False)

    def __post_init__(self) -> None:
        """Begin."""
        self.restart()

    def restart(self) -> None:
        """Begin as a process that knows nothing."""
        gateway = self.office.gateway
        self.keys = EnquiryKeys(gateway.settings.enquiries.keys_file)
        self.enquiries = Enquiries(gateway.deployment, gateway_id="g", pseudonyms=self.keys.of)
        self.subscribers = Subscribers(gateway.deployment)

    @property
    def store(self) -> Any:
        """Give the store."""
        return self.office.gateway.store

    def write(
        self, text: str, *, source: str = phone(1), peer: str = "kt", at: datetime | None = None
    ) -> None:
        """Have a message committed, as the inbox does."""
        message = IncomingMessage(source, NUMBER, text)
        with self.store.transaction() as tx:
            tx.add_message(peer, message, at=at or self.office.clock.now())

    def take(self, peer: str = "kt", limit: int = 1000) -> Any:
        """Decide about what waits."""
        clock = self.office.clock
        with self.store.transaction() as tx:
            return self.enquiries.take(
                tx, peer, limit=limit, now=clock.now(), now_s=clock.monotonic_s()
            )

    def settle(self, answers: Any, outcome: Outcome = Outcome.ACCEPTED, peer: str = "kt") -> None:
        """Have the carrier answer for all."""
        outcomes = bytes([outcome]) * len(answers)
        with self.store.transaction() as tx:
            self.enquiries.settle(tx, peer, answers, outcomes, now=self.office.clock.now())

    def ask(self, text: str, *, source: str = phone(1), peer: str = "kt") -> str | None:
        """Ask, and give the reply; None for silence. Afterwards nobody has asked lately."""
        self.write(text, source=source, peer=peer)
        answers = self.take(peer).answers
        self.settle(answers, peer=peer)
        self.office.clock.advance(1)
        return answers[0].text if answers else None

    def summary(self, peer: str = "kt") -> dict[str, Any]:
        """Give what operators see."""
        with self.store.read() as tx:
            return self.office.gateway.asking.summary(tx)[peer]  # type: ignore[no-any-return]

    def tell(self, peer: str = "kt", outcome: Outcome = Outcome.ACCEPTED) -> list[Any]:
        """Have subscribers told of everything; gives the replies."""
        replies = []
        now = self.office.clock.now()
        while True:
            with self.store.transaction() as tx:
                batch = self.subscribers.next_batch(tx, peer, self.keys.of(now), limit=50, now=now)
            if batch is None:
                return replies
            for reply in batch.replies:
                replies.append(reply)
                outcomes = bytes([outcome]) * len(reply.recipients)
                with self.store.transaction() as tx:
                    self.subscribers.settle(tx, peer, batch.bulletin_id, outcomes, now=now)
