"""Commands over MQTT: receipts after the commit, refusals by name, events and retained state."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from cbgateway.interfaces.mqtt.commands import Incoming, read_command
from cbgateway.interfaces.mqtt.topics import ALARM, SUBMIT, Topics
from tests.conftest import Office
from tests.unit.interfaces.mqtt_bench import Bench, on_bench


def test_command_is_committed_and_told(office: Office) -> None:
    """The receipt names the bulletin; the same document again gets the first answer."""

    async def work(bench: Bench) -> None:
        document = office.document()
        payload = bench.command(document)
        first = await bench.ask(payload)
        again = await bench.ask(payload)
        anew = await bench.ask(bench.command(document))

        assert first["status"] == "accepted"
        assert first["bulletin"] == "inc-1/1"
        assert first["id"] == "c-1"
        assert again == first
        assert anew | {"id": "c-1"} == first
        with office.gateway.store.read() as tx:
            assert len(tx.bulletins()) == 1

    on_bench(office, work)
