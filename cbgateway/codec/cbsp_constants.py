"""Numbers of CBSP by their specification names (TS 48.049)."""

from collections.abc import Mapping
from enum import IntEnum

SLOT_S = 1.883
"""Seconds that one page takes on the cell broadcast channel; the unit of repetition periods."""
PERIOD_SLOTS_MAX = 4095
NUMBER_OF_BROADCASTS_MAX = 65535
CONTENT_OCTETS = 82
PAGES_MAX = 15
SECURITY_OCTETS = 50
KEEP_ALIVE_S_MAX = 120
"""TS 48.049 8.2.27."""
UNTIL_STOPPED = 0
"""Coded warning period that does not end by itself."""


class MessageType(IntEnum):
    """TS 48.049 8.2.2."""

    WRITE_REPLACE = 0x01
    WRITE_REPLACE_COMPLETE = 0x02
    WRITE_REPLACE_FAILURE = 0x03
    KILL = 0x04
    KILL_COMPLETE = 0x05
    KILL_FAILURE = 0x06
    LOAD_QUERY = 0x07
    LOAD_QUERY_COMPLETE = 0x08
    LOAD_QUERY_FAILURE = 0x09
    MESSAGE_STATUS_QUERY = 0x0A
    MESSAGE_STATUS_QUERY_COMPLETE = 0x0B
    MESSAGE_STATUS_QUERY_FAILURE = 0x0C
    SET_DRX = 0x0D
    SET_DRX_COMPLETE = 0x0E
    SET_DRX_FAILURE = 0x0F
    RESET = 0x10
    RESET_COMPLETE = 0x11
    RESET_FAILURE = 0x12
    RESTART = 0x13
    FAILURE = 0x14
    ERROR_INDICATION = 0x15
    KEEP_ALIVE = 0x16
    KEEP_ALIVE_COMPLETE = 0x17


class ElementId(IntEnum):
    """TS 48.049 8.2.1."""

    MESSAGE_CONTENT = 0x01
    OLD_SERIAL_NUMBER = 0x02
    NEW_SERIAL_NUMBER = 0x03
    CELL_LIST = 0x04
    CATEGORY = 0x05
    REPETITION_PERIOD = 0x06
    NUMBER_OF_BROADCASTS_REQUESTED = 0x07
    NUMBER_OF_BROADCASTS_COMPLETED_LIST = 0x08
    FAILURE_LIST = 0x09
    RADIO_RESOURCE_LOADING_LIST = 0x0A
    CAUSE = 0x0B
    DATA_CODING_SCHEME = 0x0C
    RECOVERY_INDICATION = 0x0D
    MESSAGE_IDENTIFIER = 0x0E
    EMERGENCY_INDICATOR = 0x0F
    WARNING_TYPE = 0x10
    WARNING_SECURITY_INFORMATION = 0x11
    CHANNEL_INDICATOR = 0x12
    NUMBER_OF_PAGES = 0x13
    SCHEDULE_PERIOD = 0x14
    NUMBER_OF_RESERVED_SLOTS = 0x15
    BROADCAST_MESSAGE_TYPE = 0x16
    WARNING_PERIOD = 0x17
    KEEP_ALIVE_REPETITION_PERIOD = 0x18

    @property
    def title(self) -> str:
        """Its name in the specification."""
        return self.name.replace("_", " ").capitalize()


class Cause(IntEnum):
    """TS 48.049 8.2.13."""

    PARAMETER_NOT_RECOGNISED = 0x00
    PARAMETER_VALUE_INVALID = 0x01
    MESSAGE_REFERENCE_NOT_IDENTIFIED = 0x02
    CELL_IDENTITY_NOT_VALID = 0x03
    UNRECOGNISED_MESSAGE = 0x04
    MISSING_MANDATORY_ELEMENT = 0x05
    BSC_CAPACITY_EXCEEDED = 0x06
    CELL_MEMORY_EXCEEDED = 0x07
    BSC_MEMORY_EXCEEDED = 0x08
    CELL_BROADCAST_NOT_SUPPORTED = 0x09
    CELL_BROADCAST_NOT_OPERATIONAL = 0x0A
    INCOMPATIBLE_DRX_PARAMETER = 0x0B
    EXTENDED_CHANNEL_NOT_SUPPORTED = 0x0C
    MESSAGE_REFERENCE_ALREADY_USED = 0x0D
    UNSPECIFIED_ERROR = 0x0E
    LAI_OR_LAC_NOT_VALID = 0x0F


def cause_name(value: int) -> str:
    """Give a cause by its specification name, or by its number when it has none."""
    try:
        return Cause(value).name
    except ValueError:
        return f"cause {value:#04x}"


class Discriminator(IntEnum):
    """What the entries of a list are (TS 48.049 8.2.6, TS 48.008 3.2.2.17)."""

    CGI = 0
    LAC_CI = 1
    CI = 2
    NO_CELL = 3
    LAI = 4
    LAC = 5
    ALL_CELLS = 6


class Category(IntEnum):
    """TS 48.049 8.2.7."""

    HIGH_PRIORITY = 0
    BACKGROUND = 1
    NORMAL = 2


class Channel(IntEnum):
    """TS 48.049 8.2.20."""

    BASIC = 0
    EXTENDED = 1


class BroadcastMessageType(IntEnum):
    """TS 48.049 8.2.24."""

    CBS = 0
    EMERGENCY = 1


class Recovery(IntEnum):
    """TS 48.049 8.2.15."""

    DATA_AVAILABLE = 0
    DATA_LOST = 1


class CountInfo(IntEnum):
    """How far a number of broadcasts can be believed (TS 48.049 8.2.10)."""

    VALID = 0
    OVERFLOW = 1
    UNKNOWN = 2


_PERIOD_STEPS: tuple[tuple[int, int, int, int], ...] = (
    # first code, last code, seconds of the code before the first, seconds for each code
    (1, 10, 0, 1),
    (11, 20, 10, 2),
    (21, 38, 30, 5),
    (39, 86, 120, 10),
    (87, 186, 600, 30),
)
PERIOD_S: Mapping[int, int] = {
    code: base_s + step_s * (code - first + 1)
    for first, last, base_s, step_s in _PERIOD_STEPS
    for code in range(first, last + 1)
}
"""Seconds by coded Warning Period or Keep Alive Repetition Period (TS 48.049 8.2.25)."""


def period_code(seconds: float) -> int:
    """Give the code of the shortest period that is not shorter than `seconds`.

    Raises:
        ValueError: it is not positive, or longer than the longest code, an hour.
    """
    if seconds <= 0:
        msg = f"a period of {seconds} s is no period"
        raise ValueError(msg)
    for code, code_s in PERIOD_S.items():
        if code_s >= seconds:
            return code
    msg = f"{seconds} s is longer than {PERIOD_S[186]} s, the longest period"
    raise ValueError(msg)
