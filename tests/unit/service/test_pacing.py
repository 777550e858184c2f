"""Pacing per region and carrier: what a window of short messages costs, and how long it waits."""

from typing import Any

import pytest

from cbgateway.service.pacing import Pacer

LONG = "장애 안내 " * 30
LONG_PARTS = 3


@pytest.mark.parametrize("segmentation", ["udh8", "udh16", "sar", "payload"])
def test_long_text_counts_as_its_parts(office: Any, segmentation: str) -> None:
    """However it travels: a payload is cut by the message centre, and is as much on the air."""
    deployment = office.gateway.deployment
    carrier = deployment.carriers["kt"]
    sms = carrier.smpp.sms.model_copy(update={"segmentation": segmentation})
    smpp = carrier.smpp.model_copy(update={"sms": sms})
    deployment.carriers["kt"] = carrier.model_copy(update={"smpp": smpp})
    pacer = Pacer(deployment)

    assert 1 == pacer.parts_of("kt", "장애")
    assert LONG_PARTS == pacer.parts_of("kt", LONG)


def test_region_waits_for_what_was_sent_there_and_for_nothing_else(office: Any) -> None:
    """A second's worth leaves at once, the next part after a part's time; others do not wait."""
    rate = office.gateway.deployment.carriers["kt"].pacing.messages_per_s
    pacer = Pacer(office.gateway.deployment)

    assert 0.0 == pacer.take("kt", "KR-26", int(rate) * 9, now_s=100.0)
    assert pytest.approx(1 / rate) == pacer.take("kt", "KR-26", 1, now_s=100.0)
    assert 0.0 == pacer.take("kt", "KR-11", 1, now_s=100.0)
    assert 0.0 == pacer.take("kt", "KR-26", 1, now_s=100.0 + 1.01 / rate)
