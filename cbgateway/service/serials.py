"""Serial numbers: which version of which message a bulletin becomes (TS 23.041 9.4.1.2.1).

A phone shows a message once per (message identifier, serial number). So a new text always gets a
number that no phone can have seen within the window in which phones remember, not even when the
database came back from a backup: what was ever claimed stands in the marks, too. A
gateway takes its own message codes only; offline kits have others (`domain.kits`).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from cbgateway.domain.broadcast import UPDATE_NUMBER_MAX, GeographicalScope, SerialNumber
from cbgateway.domain.errors import SerialsExhaustedError
from cbgateway.domain.ports import SerialMarks, Transaction
from cbgateway.service.deployment import Deployment

SERIAL_MARGIN_S = 3600
"""Added to the phones' duplicate window, for clocks that differ."""


def next_serials(
    tx: Transaction,
    marks: SerialMarks,
    deployment: Deployment,
    incident_id: str,
    message_identifiers: Iterable[int],
    *,
    now: datetime,
) -> dict[int, SerialNumber]:
    """Give the serial number of an incident's next version, by message identifier.

    Raises:
        SerialsExhaustedError: every message code was used within the window.
    """
    scope = deployment.country.geographical_scope
    window = timedelta(seconds=deployment.country.duplicate_window_s + SERIAL_MARGIN_S)
    serials = {}
    for identifier in sorted(set(message_identifiers)):
        current = tx.serial_number(incident_id, identifier, scope)
        marked = None if current is None else marks.claimed(identifier, scope, current.message_code)
        may_go_on = (
            current is not None
            and current.message_code in deployment.codes
            and current.update_number < UPDATE_NUMBER_MAX
            and marked is not None
            and marked[0] == current
        )
        if current is not None and may_go_on:
            serials[identifier] = current.updated()
        else:
            serials[identifier] = _new_code(
                tx, marks, deployment.codes, identifier, scope, unused_since=now - window
            )
    return serials


def _new_code(
    tx: Transaction,
    marks: SerialMarks,
    codes: range,
    identifier: int,
    scope: GeographicalScope,
    *,
    unused_since: datetime,
) -> SerialNumber:
    """Give version 0 of the message code that comes next in turn and that no phone remembers.

    When the marks are lost, codes begin as far as one can from what may be in use.
    """
    marked = marks.newest(identifier, scope, codes=codes)
    stored = tx.last_serial_number(identifier, scope, codes=codes)
    if marked is not None:
        first = codes.index(marked[0].message_code) + 1
    else:
        first = 0 if stored is None else codes.index(stored.message_code) + len(codes) // 2
    for turn in range(len(codes)):
        code = codes[(first + turn) % len(codes)]
        claimed = marks.claimed(identifier, scope, code)
        used = tx.code_used_at(identifier, scope, code)
        times = [at for at in (used, claimed and claimed[1]) if at is not None]
        if all(at <= unused_since for at in times):
            return SerialNumber(scope, code, 0)
    msg = (
        f"all message codes of message identifier {identifier} were used since "
        f"{unused_since.isoformat()}; phones would take a new message for an old one"
    )
    raise SerialsExhaustedError(msg)
