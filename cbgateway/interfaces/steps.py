"""What people decide about an outage, as it comes over HTTP and MQTT."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cbgateway.domain.errors import InputError
from cbgateway.domain.incident import IncidentState
from cbgateway.interfaces.schema import Identifier, parse_json, problems_of
from cbgateway.service.incidents import Step

REASON_CHARACTERS_MAX = 2_000


class TransitionDocument(BaseModel):
    """What a person signs who says how far an outage has got; `from` is what was seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Literal["transition"]
    incident: Identifier
    seen: IncidentState = Field(alias="from")
    to: IncidentState
    reason: Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS_MAX)]


def parse_step(octets: bytes) -> Step:
    """Read what somebody decides about an outage.

    Raises:
        InputError: every fault is named with its place.
    """
    try:
        found = TransitionDocument.model_validate(parse_json(octets))
    except ValidationError as error:
        raise InputError(*problems_of(error)) from error
    return Step(found.incident, found.seen, found.to, found.reason)
