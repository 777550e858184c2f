"""Link tests: the way to each peer and back is proved without a public message, again and again."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from loguru import logger

from cbgateway.domain.errors import DeliveryError
from cbgateway.domain.ports import Clock, PeerStatus, ProbedLink, Store

LOOK_INTERVAL_S = 1.0
"""How often it is looked whether a test is due or asked for, and how peers stand is told."""
REQUEST = "link-test"
"""Counter in the store that grows whenever somebody asks for a test."""
TESTS_AT_ONCE = 64


STATUS = tuple(field.name for field in fields(PeerStatus))


class LinkTests:
    """Tests every link when its time has come, or when somebody asks, and tells how peers stand."""

    def __init__(
        self,
        store: Store,
        links: Iterable[ProbedLink],
        *,
        intervals_s: Mapping[str, float],
        clock: Clock,
        publish: Callable[[str], None],
    ) -> None:
        """Make tests.

        Args:
            store: where somebody asks.
            links: to test.
            intervals_s: how often, by peer; a peer that is not there is tested when asked for.
            clock: wall time.
            publish: takes the state of all peers, as JSON.
        """
        self._store = store
        self._links = {link.peer_id: link for link in links}
        self._intervals_s = intervals_s
        self._clock = clock
        self._publish = publish
        self._results: dict[str, dict[str, Any]] = {}
        self._tested_s: dict[str, float] = {}

    async def run(self) -> None:
        """Test and tell, until cancelled; a test that takes long does not keep from telling."""
        seen = answered = await self._asked()
        testing: asyncio.Task[None] | None = None
        try:
            while True:
                if testing is None or testing.done():
                    answered = seen
                    asked = await self._asked()
                    due = [one for one in self._links if asked != seen or self._is_due(one)]
                    seen = asked
                    testing = asyncio.create_task(self.test(due))
                    await asyncio.sleep(0)  # with no test due, there is nothing to wait for
                self._tell(answered)
                await asyncio.wait({testing}, timeout=LOOK_INTERVAL_S)
                if testing.done():
                    await asyncio.sleep(LOOK_INTERVAL_S if answered == seen else 0)
        finally:
            if testing is not None:
                testing.cancel()

    async def test(self, peer_ids: Iterable[str]) -> None:
        """Test some links, so many at once."""
        slots = asyncio.Semaphore(TESTS_AT_ONCE)

        async def one(peer_id: str) -> None:
            async with slots:
                await self._test(peer_id)

        await asyncio.gather(*map(one, peer_ids))

    async def _test(self, peer_id: str) -> None:
        self._tested_s[peer_id] = self._clock.monotonic_s()
        at = self._clock.now().isoformat()
        try:
            round_trip_s = await self._links[peer_id].probe()
        except DeliveryError as error:
            before = self._results.get(peer_id, {}).get("passed_at")
            self._results[peer_id] = {
                "at": at,
                "passed": False,
                "passed_at": before,
                "problem": str(error),
            }
            logger.bind(peer=peer_id).warning("link test failed: {}", error)
        else:
            self._results[peer_id] = {
                "at": at,
                "passed": True,
                "passed_at": at,
                "round_trip_s": round(round_trip_s, 6),
            }

    def _is_due(self, peer_id: str) -> bool:
        """Tell whether a link's time has come; one that is down is tested when it is up."""
        interval_s = self._intervals_s.get(peer_id)
        if interval_s is None:
            return False
        tested_s = self._tested_s.get(peer_id)
        if tested_s is not None and self._clock.monotonic_s() - tested_s < interval_s:
            return False
        return self._links[peer_id].status().is_up

    async def _asked(self) -> int:
        return await asyncio.to_thread(self._read_asked)

    def _read_asked(self) -> int:
        with self._store.read() as tx:
            return tx.count(REQUEST)

    def _tell(self, asked: int) -> None:
        """Publish how all peers stand."""
        self._publish(json.dumps(self.document(asked), ensure_ascii=False, separators=(",", ":")))

    def document(self, asked: int) -> dict[str, Any]:
        """Give the state of all peers.

        Args:
            asked: the request that the newest tests answer.
        """
        return {
            "asked": asked,
            "at": self._clock.now().isoformat(),
            "peers": [
                _document(link.status()) | {"link_test": self._results.get(peer_id)}
                for peer_id, link in self._links.items()
            ],
        }


def _document(status: PeerStatus) -> dict[str, Any]:
    """Give a status as JSON has it; `asdict` copies deeply, which a thousand peers would feel."""
    return {name: getattr(status, name) for name in STATUS}
