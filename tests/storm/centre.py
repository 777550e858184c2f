"""A message centre in the storm: `cbsim`'s own, behind a protocol that loses answers."""

import asyncio
import random
from typing import Any

from cbgateway.codec import smpp
from cbsim.centre import Setup
from cbsim.handset import Handset
from cbsim.network import Network, OnAir
from cbsim.scenario import Scenario
from cbsim.settings import read_table
from cbsim.smsc import Account, MessageCentre, SmscSession, VendorTlvs
from tests.storm.loop import Weather

TURN_S = 0.7
"""How often a centre looks whether receipts are due."""


SCENARIO = {"receipts": {"delay": "uniform:0.3,20", "loss": "5%"}, "answers": {"id_format": "hex"}}
"""Receipts come before the answer to their message is committed, or long after, or never."""


class RecordingNetwork(Network):
    """Remembers everything that reaches it, in order."""

    def __init__(self, phones: list[Handset], clock: Any) -> None:
        super().__init__(phones, self._on_screen)
        self.clock = clock
        self.broadcasts: list[tuple[float, OnAir]] = []
        self.messages: list[tuple[float, str, str]] = []
        self.shown: list[tuple[str, str]] = []

    def _on_screen(self, phone: Handset, shown: Any) -> None:
        self.shown.append((phone.number, shown.text))

    def broadcast(self, broadcast: OnAir, *, now_s: float) -> None:
        """Put a broadcast on air."""
        self.broadcasts.append((now_s, broadcast))
        super().broadcast(broadcast, now_s=now_s)

    def deliver_sms(self, number: str, octets: bytes, **rest: Any) -> bool:
        """Deliver a short message."""
        self.messages.append((rest["now_s"], number, octets.decode("utf-16-be", "replace")))
        return super().deliver_sms(number, octets, **rest)


class Centre:
    """One carrier's centre: what it has, and how badly it behaves."""

    def __init__(
        self, code: str, phones: list[Handset], areas: dict[str, str], clock: Any, password: str
    ) -> None:
        self.code = code
        self.clock = clock
        self.network = RecordingNetwork(phones, clock)
        self.centre = MessageCentre(
            code,
            self.network,
            accounts=(Account("cbgateway", password),),
            areas=areas,
            vendor_tlvs=VendorTlvs(),
            now_s=lambda: clock.now().timestamp(),
            setup=Setup(scenario=read_table(Scenario(), SCENARIO)),
        )
        self.is_hung = False

    def protocol(self, weather: Weather, rng: random.Random) -> "CentreProtocol":
        """Give the protocol of one connection."""
        return CentreProtocol(self, weather, rng)


class CentreProtocol(asyncio.Protocol):
    """One connection to a centre."""

    def __init__(self, centre: Centre, weather: Weather, rng: random.Random) -> None:
        self._centre = centre
        self._weather = weather
        self._rng = rng
        self._session = SmscSession(centre.centre, lambda event: None)
        self._framer = smpp.Framer()
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        """Remember where answers go, and let time pass at the centre."""
        self._transport = transport
        asyncio.get_running_loop().call_later(TURN_S, self._turn)

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the gateway is gone."""
        self._session.lost(self._now_s())

    def _now_s(self) -> float:
        return float(self._centre.clock.now().timestamp())

    def _turn(self) -> None:
        """Send the receipts that are due, or lose them."""
        if self._session.is_closed or self._transport.is_closing():
            return
        self._centre.centre.tick(self._now_s())
        octets = self._session.outgoing()
        if octets and not self._weather.happens("lost receipts", 0.1):
            self._transport.write(octets)
        asyncio.get_running_loop().call_later(TURN_S, self._turn)

    def data_received(self, data: bytes) -> None:
        """Carry out what came, and answer it, unless the weather is bad."""
        for item in self._framer.receive(data):
            if isinstance(item, smpp.Pdu):
                self._on_pdu(item)
        if self._session.is_closed:
            self._transport.close()

    def _on_pdu(self, pdu: smpp.Pdu) -> None:
        is_order = isinstance(pdu.body, smpp.SubmitSm | smpp.BroadcastSm | smpp.CancelBroadcastSm)
        if self._centre.is_hung and is_order:
            return
        if is_order and self._weather.happens("throttle", 0.03):
            status = self._rng.choice([smpp.Status.ESME_RTHROTTLED, smpp.Status.ESME_RMSGQFUL])
            answer = smpp.Pdu(smpp.response_to(pdu.body), pdu.sequence_number, status)
            self._transport.write(smpp.encode(answer))
            return
        self._session.receive(smpp.encode(pdu))
        octets = self._session.outgoing()
        if is_order and self._weather.happens("lost answer", 0.03):
            return
        if is_order and self._weather.happens("answer, then gone", 0.01):
            self._transport.abort()
            return
        self._transport.write(octets)
