"""People who ask a gateway at a rate while a bulletin goes out, in one process on virtual time."""

import asyncio
import random
from datetime import timedelta
from typing import Any

from cbgateway.app import Gateway
from cbgateway.asking import Asking
from cbgateway.carriers.registry import make_link
from cbgateway.history import History
from cbgateway.keyring import Keyring
from cbgateway.service.dispatcher import Dispatcher
from cbgateway.service.inbox import Inbox
from cbgateway.settings import load_settings
from cbgateway.storage.marks import Marks
from cbsim.handset import Handset
from tests.enquirers import phone
from tests.storm.centre import Centre
from tests.storm.loop import VirtualLoop, Weather
from tests.storm.world import DirectStore

PHONES = 2_500
"""Enough that none asks more than five times a minute."""
WINDOW = 100
"""Requests in flight: with the profile's ten, a bulletin alone takes all that they carry."""
TURN_S = 0.02


class Scene:
    """A gateway and KT's message centre with its phones, in virtual time."""

    def __init__(self, office: Any) -> None:
        self.office = office
        self.loop = VirtualLoop(Weather(random.Random(1), roughness=0.0))
        settings = load_settings(office.gateway.home)
        store = DirectStore.open(settings.database)
        marks = Marks.open(settings.marks)
        self.deployment = office.gateway.deployment
        keyring = Keyring(settings, self.deployment, store, self)
        history = History(settings, store, marks, self)
        self.gateway = Gateway(
            office.gateway.home, settings, self.deployment, store, marks, self, keyring, history
        )
        phones = [
            Handset(
                number=phone(index),
                region="KR-26",
                language="ko",
                home_language="ko",
                takes_broadcasts=False,
                keys={},
            )
            for index in range(PHONES)
        ]
        self.password = settings.carriers["kt"].password_file.read_text().strip()
        areas = {region.name["en"]: code for code, region in self.deployment.regions.items()}
        self.centre = Centre("kt", phones, areas, self, self.password)
        weather = Weather(random.Random(2), roughness=0.0)
        self.loop.servers[2775] = lambda: self.centre.protocol(weather, random.Random(3))

    def now(self) -> Any:
        """Give the time, which goes on with the loop's."""
        return self.office.clock.now() + timedelta(seconds=self.loop.time())

    def monotonic_s(self) -> float:
        """Give seconds."""
        return float(self.loop.time())

    @property
    def dialogues(self) -> Any:
        """Give what phones asked and were answered."""
        return self.centre.centre.dialogues

    def play(self, *, asks_per_s: float, seconds: float) -> None:
        """Let people ask at a rate while everything that was approved goes out."""
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._play(asks_per_s, seconds))
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()
            self.gateway.store.close()
            self.gateway.marks.close()

    async def _play(self, asks_per_s: float, seconds: float) -> None:
        inbox = Inbox(self.gateway.store, self.deployment, self)
        carrier = self.deployment.carriers["kt"]
        rules = carrier.smpp.model_copy(update={"window_requests_max": WINDOW})
        link = make_link(
            carrier.model_copy(update={"smpp": rules}),
            places=[("127.0.0.1", 2775)],
            system_id="cbgateway",
            password=self.password,
            random=lambda: 0.5,
            inbox=inbox,
        )
        dispatcher = Dispatcher(
            self.gateway.store,
            self.deployment,
            {"kt": link},
            clock=self,
            random=lambda: 0.5,
            inbox=inbox,
        )
        asking = Asking(
            self.gateway.settings,
            self.deployment,
            self.gateway.store,
            self,
            self.gateway.keyring,
        )
        stop = asyncio.Event()
        links = {"kt": link, "skt": link}
        answering = asking.answering(links, inbox.arrivals)
        assert answering is not None
        tasks = [
            asyncio.ensure_future(dispatcher.run(stop)),
            asyncio.ensure_future(answering.run(stop)),
        ]
        await link.wait_ready()
        scenario = {"per_s": asks_per_s, "texts": ["부산", "상태 부산", "Busan", "도움"]}
        self.centre.centre.set({"incoming": scenario | {"from_phones": True}})
        await asyncio.sleep(seconds)
        self.centre.centre.set({"incoming": {"per_s": 0.0}})
        await asyncio.sleep(4)
        stop.set()
        await asyncio.wait(tasks, timeout=30)
