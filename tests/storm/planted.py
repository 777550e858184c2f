"""Faults planted on purpose: a storm that does not find them sees nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import apsw

from cbgateway.carriers.smpp import link
from cbgateway.domain.errors import StaleError
from cbgateway.domain.lifecycle import DeliveryState
from cbgateway.domain.orders import Handle
from cbgateway.domain.outcomes import Outcome
from cbgateway.service import approval
from cbgateway.service.outbox import Outbox
from cbgateway.service.planning import PlannedOrder
from cbgateway.storage.marks import Marks
from cbgateway.storage.transaction import SqliteTransaction
from tests.storm.world import DirectStore, World

LAST_RANK = 50


@contextmanager
def acknowledge_before_commit() -> Iterator[None]:
    """Say yes first, and commit when the next one comes; a power cut in between undoes it."""
    pending: list[Any] = []

    def end(how: str) -> None:
        while pending:
            with suppress(apsw.Error):
                pending.pop().execute(how)

    @contextmanager
    def transaction(store: Any) -> Iterator[Any]:
        end("COMMIT")
        connection = store._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield SqliteTransaction(connection)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        pending.append(connection)

    real_read, real_crash = DirectStore.read, World.crash

    def read(store: Any) -> Any:
        end("COMMIT")
        return real_read(store)

    def crash(world: Any) -> None:
        end("ROLLBACK")
        real_crash(world)

    with (
        patch.object(DirectStore, "transaction", transaction),
        patch.object(DirectStore, "read", read),
        patch.object(World, "crash", crash),
    ):
        yield


@contextmanager
def forget_what_was_in_flight() -> Iterator[None]:
    """Take what was about to be sent for unsent after a restart."""
    forgotten = bytes.maketrans(
        bytes([Outcome.SENDING, Outcome.RESENDING]), bytes([Outcome.UNSENT, Outcome.RESEND])
    )

    def recover(_outbox: Any, tx: Any, *, now: Any) -> dict[str, int]:
        for row in tx.in_state(DeliveryState.INTENT):
            outcomes = row.outcomes.translate(forgotten)
            tx.settle(row, DeliveryState.READY, at=now, due=now, outcomes=outcomes)
        return {}

    with patch.object(Outbox, "recover", recover):
        yield


@contextmanager
def reuse_a_serial_number() -> Iterator[None]:
    """Give an update the serial number of what it updates."""
    real_next, real_claim = approval.next_serials, Marks.claim

    def next_serials(
        tx: Any, marks: Any, deployment: Any, incident: str, ids: Any, **at: Any
    ) -> Any:
        ids = list(ids)
        scope = deployment.country.geographical_scope
        serials = real_next(tx, marks, deployment, incident, ids, **at)
        return {one: tx.serial_number(incident, one, scope) or serials[one] for one in ids}

    def claim(marks: Any, *what: Any, **at: Any) -> None:
        with suppress(StaleError):
            real_claim(marks, *what, **at)

    with patch.object(approval, "next_serials", next_serials), patch.object(Marks, "claim", claim):
        yield


@contextmanager
def update_without_replacing() -> Iterator[None]:
    """Put an update on air beside what it updates."""
    real = link.broadcast_request

    def broadcast_request(order: Any, rules: Any, *, seal: str, handle: Handle) -> Any:
        return real(order, rules, seal=seal, handle=Handle(alias=handle.alias))

    with patch.object(link, "broadcast_request", broadcast_request):
        yield


@contextmanager
def let_cancel_wait() -> Iterator[None]:
    """Have withdrawals wait their turn like everything else."""
    real = PlannedOrder.deliver

    def deliver(order: Any, bulletin: Any, *, rank: int, seal: str) -> Any:
        return replace(real(order, bulletin, rank=rank, seal=seal), rank=max(rank, LAST_RANK))

    with patch.object(PlannedOrder, "deliver", deliver):
        yield


PLANTS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "acknowledge-before-commit": acknowledge_before_commit,
    "forget-in-flight": forget_what_was_in_flight,
    "reuse-serial": reuse_a_serial_number,
    "update-without-replacing": update_without_replacing,
    "cancel-waits": let_cancel_wait,
}


def plant(name: str) -> None:
    """Plant a fault in this process, for good."""
    _planted.enter_context(PLANTS[name]())


_planted = ExitStack()
