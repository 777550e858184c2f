"""The shape of network profiles: radio networks whose controllers are spoken to by CBSP."""

from typing import Annotated, Literal

from pydantic import Field

from cbgateway.profiles.models import Code, Model, Names, Octet, Seconds

KEEP_ALIVE_S_MAX = 120
"""TS 48.049 8.2.27."""
SLOTS_MAX = 4095

PrimaryKind = Literal["earthquake", "tsunami", "earthquake_and_tsunami", "test", "other"]
PRIMARY_KINDS: tuple[PrimaryKind, ...] = (
    "earthquake",
    "tsunami",
    "earthquake_and_tsunami",
    "test",
    "other",
)
"""By their codes (TS 23.041 9.3.24)."""


class PrimaryRules(Model):
    """A notification without a text that goes before the texts of an alert class (ETWS).

    Attributes:
        period_s: how long it is repeated.
    """

    kind: PrimaryKind
    alert: bool
    popup: bool
    period_s: Annotated[int, Field(ge=1, le=3600)]


class NetworkClass(Model):
    """How one alert class goes on air.

    Attributes:
        primary: what goes before its texts; its message identifier has to be one of ETWS.
    """

    category: Literal["high", "normal", "background"]
    primary: PrimaryRules | None = None


class Quirks(Model):
    """What a make of controller does other than the specification says.

    Attributes:
        common_period_slots: one repetition period for everything, in slots of 1.883 s; None for
            each message its own.
        replace: ``kill_then_write`` for controllers that do not survive a replace they refuse.
        until_stopped: what is sent in place of more than 65535 broadcasts: ``zero``, which means
            until killed, or ``renew`` where zero means once.
        already_there: causes that mean, to a request in doubt, that a text is on air already.
        primary_already_there: the same for a notification without a text.
        not_there: causes that mean that a message is not, or no longer, there.
    """

    common_period_slots: Annotated[int, Field(ge=1, le=SLOTS_MAX)] | None = None
    replace: Literal["replace", "kill_then_write"] = "replace"
    until_stopped: Literal["zero", "renew"] = "zero"
    already_there: tuple[Octet, ...] = (0x0D,)
    primary_already_there: tuple[Octet, ...] = (0x0D,)
    not_there: tuple[Octet, ...] = (0x02,)


class CbspProfile(Model):
    """How a network's controllers are spoken to.

    Attributes:
        scope: the widest thing that an order may name; an order never reaches further than its
            region, whatever stands here.
        audit_interval_s: how often what should be on air is compared with what is.
        link_test_interval_s: how often each route is proved without a public message.
    """

    channel: Literal["basic", "extended"] = "basic"
    scope: Literal["cell", "location_area", "bss"]
    keep_alive_interval_s: Annotated[float, Field(ge=1, le=KEEP_ALIVE_S_MAX)]
    keep_alive_timeout_s: Seconds
    response_timeout_s: Seconds
    reconnect_delay_min_s: Seconds
    reconnect_delay_max_s: Seconds
    audit_interval_s: Seconds
    link_test_interval_s: Seconds
    classes: Annotated[dict[Code, NetworkClass], Field(min_length=1)]
    quirks: Quirks = Quirks()


class NetworkProfile(Model):
    """The radio network of one operator; where its controllers are is not here."""

    schema_version: Literal[1] = Field(alias="schema")
    code: Code
    country: Code
    name: Names
    plmns: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[0-9]{5,6}$")], ...], Field(min_length=1)
    ]
    interface: Literal["cbsp"]
    cbsp: CbspProfile
