"""Deadline profiles: by when people are told first, and how often they hear again."""

from datetime import datetime, time, timedelta
from typing import Annotated

from pydantic import Field, field_validator

from cbgateway.profiles.models import Code, Model, Names

DAY_S = 86_400
MONTH_S = 31 * DAY_S

LocalTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class UpdateStep(Model):
    """How often people hear again during some time after the beginning.

    Attributes:
        until_s: up to so long after the outage began.
        interval_s: the longest that an update may be promised for.
    """

    until_s: Annotated[int, Field(ge=60, le=MONTH_S)]
    interval_s: Annotated[int, Field(ge=60, le=DAY_S)]


class Night(Model):
    """When people are left to sleep: an update due in it may wait for its end.

    Attributes:
        begins: local time.
        ends: local time, on the next day when it is earlier.
    """

    begins: LocalTime
    ends: LocalTime

    def end_after(self, local: datetime) -> datetime | None:
        """Give when the night that holds a local time ends; None when that is by day."""
        begins, ends = time.fromisoformat(self.begins), time.fromisoformat(self.ends)
        at = local.time()
        crosses = ends <= begins
        is_night = (at >= begins or at < ends) if crosses else begins <= at < ends
        if not is_night:
            return None
        day = local.date() + timedelta(days=1 if crosses and at >= begins else 0)
        return datetime.combine(day, ends, local.tzinfo)


class HeartbeatPolicy(Model):
    """What a "no change yet" bulletin has to be; a second person approves it all the same.

    Attributes:
        is_allowed: False refuses the kind.
        per_incident_max: no more for one outage: then there is something else to say.
        interval_min_s: not sooner after the bulletin before.
    """

    is_allowed: bool
    per_incident_max: Annotated[int, Field(ge=1, le=1_000)] = 24
    interval_min_s: Annotated[int, Field(ge=0, le=DAY_S)] = 600


class DeadlineProfile(Model):
    """One regulator's demands, or an operator's own.

    Attributes:
        first_notice_s: from detection to the first bulletin.
        updates: in order; the last one counts from then on.
        night: None where updates are due by night as well.
        compensation_notice_days: after restoration; None where none is demanded.
        source: where the figures come from, and what of them is a reading of our own.
    """

    schema_version: Annotated[int, Field(alias="schema", ge=1, le=1)]
    code: Code
    name: Names
    first_notice_s: Annotated[int, Field(ge=60, le=DAY_S)]
    updates: Annotated[tuple[UpdateStep, ...], Field(min_length=1, max_length=8)]
    night: Night | None = None
    compensation_notice_days: Annotated[int, Field(ge=1, le=366)] | None = None
    heartbeat: HeartbeatPolicy
    source: Annotated[str, Field(min_length=1)]

    @field_validator("updates")
    @classmethod
    def _in_order(cls, updates: tuple[UpdateStep, ...]) -> tuple[UpdateStep, ...]:
        ends = [step.until_s for step in updates]
        if ends != sorted(set(ends)):
            msg = "each step has to end later than the one before"
            raise ValueError(msg)
        return updates

    def interval_s(self, age_s: float) -> int:
        """Give how often people hear again, so long after the outage began."""
        for step in self.updates:
            if age_s < step.until_s:
                return step.interval_s
        return self.updates[-1].interval_s

    def next_update_max(self, *, began: datetime, now: datetime, utc_offset: timedelta) -> datetime:
        """Give the latest time that the next update may be promised for.

        Args:
            began: when the outage did.
            now: when the promise is made.
            utc_offset: of the country's clocks.
        """
        interval_s = self.interval_s((now - began).total_seconds())
        latest = now + timedelta(seconds=interval_s)
        if self.night is None:
            return latest
        offset = utc_offset
        local = (
            latest.astimezone(now.tzinfo) + (offset - (now.utcoffset() or timedelta()))
        ).replace(tzinfo=None)
        end = self.night.end_after(local)
        return latest if end is None else latest + (end - local)


STANDARD = DeadlineProfile.model_validate(
    {
        "schema": 1,
        "code": "custom",
        "name": {"en": "The operator's own"},
        "first_notice_s": 1_800,
        "updates": [{"until_s": MONTH_S, "interval_s": DAY_S}],
        "heartbeat": {"is_allowed": True},
        "source": "Built in, for profiles that name no other.",
    }
)
"""What counts where profiles have no deadlines at all."""
