"""How far an outage has got, as somebody has decided: one signed step of the table at a time."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cbgateway.domain.delivery import Event
from cbgateway.domain.errors import PermissionDeniedError, StaleError, UnknownNameError
from cbgateway.domain.incident import Incident, IncidentState
from cbgateway.domain.lifecycle import advance_incident
from cbgateway.domain.people import Person
from cbgateway.domain.ports import Transaction
from cbgateway.service.authority import check_regions, signer_of
from cbgateway.service.deployment import Deployment
from cbgateway.signing.canonical import canonical

STEP = "cbgateway-incident-1"
"""Content name of somebody's signature over a step."""


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody decides about an outage.

    Attributes:
        state: that it was seen in; in any other the step is refused.
        to: what it becomes.
        reason: for the history.
    """

    incident_id: str
    state: IncidentState
    to: IncidentState
    reason: str

    def document(self) -> dict[str, Any]:
        """Give what is signed."""
        return {
            "decision": "transition",
            "incident": self.incident_id,
            "from": self.state.value,
            "to": self.to.value,
            "reason": self.reason,
        }


def take_step(
    tx: Transaction, deployment: Deployment, step: Step, *, signature: str, now: datetime
) -> Incident:
    """Move an outage on, and tell nobody outside.

    Raises:
        UnknownNameError: no such incident.
        SignatureInvalidError: nobody who is known here signed this.
        PermissionDeniedError: a machine signed it, or somebody who may not.
        StaleError: the incident is not in the state that was seen.
        WorkflowError: that may not follow its state.
    """
    incident = tx.incident(step.incident_id)
    if incident is None:
        known = tuple(one.incident_id for one in tx.incidents())[-10:] or ("none yet",)
        raise UnknownNameError("incident", step.incident_id, known=known)
    person = signer_of(tx, signature, canonical(step.document()), content=STEP, at=now)
    _check_may(tx, deployment, person, step.incident_id)
    if incident.state is not step.state:
        msg = f"{step.incident_id} is {incident.state}, not {step.state}; look at it again"
        raise StaleError(msg)
    advance_incident(incident.state, step.to)
    tx.set_incident_state(step.incident_id, step.to)
    detail = {"from": step.state.value, "reason": step.reason, "signature": signature}
    tx.record(Event(now, step.incident_id, step.to.value, person.name, detail))
    return replace(incident, state=step.to)


def _check_may(tx: Transaction, deployment: Deployment, person: Person, incident_id: str) -> None:
    """Refuse a machine, and somebody who may not speak about the outage's regions.

    Raises:
        PermissionDeniedError: says which.
    """
    problem = ""
    if person.is_revoked:
        problem = f"the permissions of {person.name!r} were revoked"
    elif person.owner:
        problem = f"{person.name!r} is a machine; it proposes, and people decide"
    elif not person.may_submit and not person.may_approve:
        problem = f"{person.name!r} may neither submit nor approve bulletins"
    if problem:
        raise PermissionDeniedError(problem)
    for record in tx.bulletins(incident_id)[-1:]:
        check_regions(deployment, person, record.bulletin.regions)
