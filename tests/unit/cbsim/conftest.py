"""A simulated centre on a clock that stands still, and ESMEs that talk to it in memory."""

from typing import Any

import pytest

from cbgateway.codec import smpp
from cbsim.centre import MessageCentre, Setup
from cbsim.handset import Handset
from cbsim.network import Network
from cbsim.scenario import Scenario
from cbsim.session import SmscSession
from cbsim.settings import read_table
from cbsim.smsc import VendorTlvs

START_S = 1_635_130_800.0


class Esme:
    """One connection to the centre."""

    def __init__(self, lab: "Lab", *, accepted: bool = False) -> None:
        self.lab = lab
        self.session = SmscSession(lab.centre, lab.events.append)
        if accepted:
            self.session.accepted(lab.now_s)
        self._framer = smpp.Framer()
        self._number = 0

    def send(self, body: smpp.Body, *tlvs: smpp.Tlv, number: int | None = None) -> int:
        """Send a request; gives its sequence number."""
        self._number += 1
        number = self._number if number is None else number
        self.send_octets(smpp.encode(smpp.Pdu(body, number, tlvs=tlvs)))
        return number

    def send_octets(self, octets: bytes) -> None:
        """Send anything; what is due at once happens."""
        self.session.receive(octets, self.lab.now_s)
        self.lab.centre.tick(self.lab.now_s)

    def answer(self, body: smpp.Body, number: int, status: int = 0) -> None:
        """Answer the centre."""
        self.send_octets(smpp.encode(smpp.Pdu(body, number, status)))

    def got(self) -> list[Any]:
        """Give what has come since, PDU by PDU."""
        return self._framer.receive(self.session.outgoing())

    def ask(self, body: smpp.Body, *tlvs: smpp.Tlv) -> smpp.Pdu:
        """Send a request and give what has come, which has to be its answer alone."""
        number = self.send(body, *tlvs)
        (pdu,) = self.got()
        assert isinstance(pdu, smpp.Pdu)
        assert pdu.sequence_number == number
        return pdu

    def bind(self, kind: type[Any] = smpp.BindTransceiver, **fields: Any) -> "Esme":
        """Bind, and be let in."""
        fields = {"system_id": "esme", "password": "secret", "interface_version": 0x50} | fields
        answer = self.ask(kind(**fields))
        assert answer.command_status == 0, smpp.status_name(answer.command_status)
        return self

    def submit(self, to: str = "447700900123", *tlvs: smpp.Tlv, **fields: Any) -> smpp.Pdu:
        """Submit a message and give its answer."""
        fields = {"short_message": b"hello"} | fields
        return self.ask(message(to, **fields), *tlvs)

    def received(self) -> list[smpp.Pdu]:
        """Take the deliver_sm that have come, answering each."""
        delivered = [pdu for pdu in self.got() if isinstance(pdu.body, smpp.DeliverSm)]
        for pdu in delivered:
            self.answer(smpp.DeliverSmResp(), pdu.sequence_number)
        return delivered


def message(to: str = "447700900123", **fields: Any) -> smpp.SubmitSm:
    """Give a submit_sm."""
    fields = {"source": smpp.Address(5, 0, "TEST")} | fields
    return smpp.SubmitSm(destination=smpp.Address(1, 1, to), **fields)


class Lab:
    """A centre, its clock, and everything it has told."""

    def __init__(self, settings: dict[str, Any] | None = None, **changes: Any) -> None:
        self.now_s = START_S
        self.events: list[dict[str, Any]] = []
        self.screens: list[tuple[str, str]] = []
        phones = [
            Handset(number, "KR-26", "ko", "ko", takes_broadcasts=takes, keys={})
            for number, takes in (("821000000001", True), ("821000000002", False))
        ]
        setup = {key: changes.pop(key) for key in ("version", "lists", "is_fast") if key in changes}
        facts: dict[str, Any] = {
            "accounts": (),
            "areas": {"Busan": "KR-26", "Korea": "KR"},
            "vendor_tlvs": VendorTlvs(),
        }
        self.centre = MessageCentre(
            "smsc",
            Network(phones, lambda phone, shown: self.screens.append((phone.number, shown.text))),
            **(facts | changes),
            now_s=lambda: self.now_s,
            setup=Setup(scenario=read_table(Scenario(), settings or {}), **setup),
            on_event=self.events.append,
        )

    def esme(self, *, accepted: bool = False) -> Esme:
        """Connect."""
        return Esme(self, accepted=accepted)

    def wait(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due."""
        end_s = self.now_s + seconds
        while True:
            next_s = self.centre.next_tick()
            if next_s is None or next_s > end_s:
                break
            self.now_s = max(self.now_s, next_s)
            self.centre.tick(self.now_s)
        self.now_s = end_s
        self.centre.tick(self.now_s)

    def told(self, event: str) -> list[dict[str, Any]]:
        """Give the events of one kind."""
        return [one for one in self.events if one["event"] == event]


@pytest.fixture
def lab() -> type[Lab]:
    """Give the class: a test makes the centre that it needs."""
    return Lab


@pytest.fixture
def message_to() -> Any:
    """Give what makes a submit_sm."""
    return message
