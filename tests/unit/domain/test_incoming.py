"""States of messages, as receipts tell them one after another and part by part."""

import pytest

from cbgateway.domain.incoming import NOTHING_YET, MessageState, message_states, next_state

M = MessageState


@pytest.mark.parametrize(
    ("state", "told", "expected"),
    [
        (NOTHING_YET, M.ENROUTE, M.ENROUTE),
        (NOTHING_YET, M.SCHEDULED, M.ENROUTE),
        (M.UNKNOWN, M.ENROUTE, M.UNKNOWN),
        (M.ENROUTE, M.DELIVERED, M.DELIVERED),
        (M.UNKNOWN, M.UNDELIVERABLE, M.UNDELIVERABLE),
        (M.DELIVERED, M.UNDELIVERABLE, M.DELIVERED),
        (M.EXPIRED, M.DELIVERED, M.EXPIRED),
    ],
)
def test_first_final_state_stays(state: int, told: MessageState, expected: int) -> None:
    """What is passing makes way; a second final receipt changes nothing."""
    assert next_state(state, told) == expected


def test_text_is_where_its_parts_are() -> None:
    """All parts delivered, or the one that was not, or not yet known."""
    of_parts = [
        [M.DELIVERED, M.DELIVERED],
        [M.DELIVERED, M.EXPIRED],
        [M.DELIVERED, NOTHING_YET],
        [M.UNDELIVERABLE, M.ENROUTE],
    ]
    states = bytes(octet for parts in of_parts for octet in parts)

    joined = message_states(states, 2)

    assert list(joined) == [M.DELIVERED, M.EXPIRED, NOTHING_YET, M.ENROUTE]
    assert message_states(states, 1) == states
