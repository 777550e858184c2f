"""What an approval of now would send, in the words of those who decide: texts, reach, budgets."""

from collections import Counter
from datetime import datetime
from typing import Any

from cbgateway.codec import cbs, smpp_text
from cbgateway.codec.smpp_text import Segmentation
from cbgateway.domain.broadcast import Broadcast
from cbgateway.domain.bulletin import Bulletin
from cbgateway.domain.delivery import Channel
from cbgateway.domain.errors import EncodeError
from cbgateway.domain.ports import Transaction
from cbgateway.service import budgets
from cbgateway.service.approval import Prepared
from cbgateway.service.deployment import Deployment
from cbgateway.service.planning import PlannedOrder, Reach
from cbgateway.service.reach import reach_document
from cbgateway.service.subscribers import concerned

QUESTIONS_SHOWN = 5
"""Questions that stand beside a draft; the next bulletin may answer them."""


def plan_report(
    tx: Transaction, deployment: Deployment, prepared: Prepared, *, now: datetime
) -> dict[str, Any]:
    """Give a plan, ready for JSON."""
    bulletin = prepared.record.bulletin
    orders: dict[str, list[PlannedOrder]] = {code: [] for code in deployment.carriers}
    for order in prepared.plan.orders:
        orders.setdefault(order.lineage.peer_id, []).append(order)
    left = budgets.left(tx, deployment, bulletin, now=now)
    return {
        "bulletin": bulletin.bulletin_id,
        "plan": prepared.plan.hash(),
        "confirmation": prepared.confirmation,
        "broadcasts": [_broadcast(one) for one in prepared.plan.broadcasts],
        "short_messages": _short_messages(bulletin, prepared.plan.orders),
        "carriers": {code: _reach(some) for code, some in orders.items()},
        "reach": reach_document(prepared.reach),
        "warnings": list(prepared.warnings),
        "cells": [_cells(network) for network in prepared.plan.coverage],
        "budgets": [
            {"region": region, "left": round(everybody, 3), "left_for_sender": round(sender, 3)}
            for region, (everybody, sender) in left.items()
        ],
        "subscribers": concerned(tx, deployment, prepared.record),
        "questions": question_documents(tx, limit=QUESTIONS_SHOWN),
    }


def question_documents(tx: Transaction, *, limit: int) -> list[dict[str, Any]]:
    """List what people asked and nobody could answer, the most frequent first, ready for JSON."""
    return [
        {
            "question": one.text,
            "asked": one.count,
            "source": one.source,
            "first_at": one.first_at.isoformat(),
            "last_at": one.last_at.isoformat(),
        }
        for one in tx.questions(limit=limit)
    ]


def _broadcast(broadcast: Broadcast) -> dict[str, Any]:
    """Show each page as a phone reads it, from its octets."""
    pages = [cbs.read_pages((page,), dcs=broadcast.dcs).text for page in broadcast.pages]
    return {
        "language": broadcast.language,
        "message_identifier": broadcast.message_identifier,
        "serial_number": f"{int(broadcast.serial_number):04x}",
        "dcs": broadcast.dcs,
        "text": broadcast.text,
        "pages": pages,
    }


def _short_messages(bulletin: Bulletin, orders: tuple[PlannedOrder, ...]) -> list[dict[str, Any]]:
    languages = {order.language for order in orders if order.lineage.channel is Channel.SMS}
    return [
        {"language": language, "text": text, "parts": _parts(text)}
        for language, text in bulletin.texts.items()
        if language in languages
    ]


def _parts(text: str) -> list[str]:
    try:
        segmented = smpp_text.segment(
            text, data_coding=None, segmentation=Segmentation.UDH8, reference=1
        )
    except EncodeError as error:
        return [str(error)]
    parts = []
    for part in segmented.parts:
        octets = part.short_message
        if segmented.esm_class & smpp_text.UDH_INDICATOR:
            _, octets = smpp_text.split_udh(octets)
        parts.append(smpp_text.decode_text(octets, segmented.data_coding))
    return parts


def _cells(network: Reach) -> dict[str, Any]:
    """Say which cells send, controller by controller, and where there is none."""
    return {
        "network": network.network,
        "controllers": [
            {
                "controller": one.controller,
                "region": region,
                "cells": one.cells,
                "places": list(one.places),
            }
            for region, covered in network.covered.items()
            for one in covered
        ],
        "regions_bare": list(network.bare),
    }


def _reach(orders: list[PlannedOrder]) -> dict[str, Any]:
    counts = Counter(
        "stops"
        if order.is_stop
        else "broadcasts"
        if order.lineage.channel is Channel.BROADCAST
        else "short_messages"
        for order in orders
    )
    return {
        "broadcasts": counts["broadcasts"],
        "stops": counts["stops"],
        "short_messages": counts["short_messages"],
        "recipients": sum(order.recipients for order in orders),
        "regions": sorted({order.lineage.region for order in orders}),
    }
