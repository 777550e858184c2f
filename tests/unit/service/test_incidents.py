"""How far an outage has got: people say so, one signed step of the table at a time."""

import pytest

from cbgateway.domain.errors import (
    PermissionDeniedError,
    SignatureInvalidError,
    StaleError,
    UnknownNameError,
    WorkflowError,
)
from cbgateway.domain.incident import IncidentState
from cbgateway.domain.lifecycle import INCIDENT_TRANSITIONS
from cbgateway.service.incidents import STEP, Step
from cbgateway.signing.canonical import canonical
from cbgateway.signing.jws import sign_detached
from tests.conftest import Office

INVESTIGATING, RESTORED = IncidentState.INVESTIGATING, IncidentState.RESTORED


def take(office: Office, step: Step, *, by: str = "bob", content: str = STEP) -> IncidentState:
    """Have somebody take a step; gives what the incident is afterwards."""
    signature = sign_detached(canonical(step.document()), office.keys[by], content=content)
    return office.gateway.desk.commit(office.gateway.desk.step(step, signature)).state


def a_step(to: IncidentState, *, seen: IncidentState = INVESTIGATING, name: str = "inc-1") -> Step:
    """Give a step of the office's incident."""
    return Step(name, seen, to, "as it is")


@pytest.mark.parametrize("to", IncidentState)
def test_step_is_one_of_the_table(office: Office, to: IncidentState) -> None:
    """With who, when, from what and why in the history; any other is refused and leaves nothing."""
    office.submit(office.document())
    if to in INCIDENT_TRANSITIONS[INVESTIGATING]:
        assert to is take(office, a_step(to))
        with office.gateway.store.read() as tx:
            (event,) = tx.events("inc-1")
        assert (to.value, "bob", office.clock.now()) == (event.what, event.actor, event.at)
        assert ("investigating", "as it is") == (event.detail["from"], event.detail["reason"])
        return
    with pytest.raises(WorkflowError, match="may follow"):
        take(office, a_step(to))
    with office.gateway.store.read() as tx:
        assert () == tuple(tx.events("inc-1"))


def test_step_from_another_state_than_was_seen_is_stale(office: Office) -> None:
    """Two people at once: the second looks again."""
    office.submit(office.document())
    take(office, a_step(IncidentState.MONITORING))

    with pytest.raises(StaleError, match="is monitoring, not investigating"):
        take(office, a_step(RESTORED), by="alice")


def test_machines_propose_and_people_decide(office: Office) -> None:
    """Nor anybody who may neither submit nor approve, or may not speak about the region."""
    office.submit(office.document())
    office.add("noc", may_submit=True, owner="alice")
    office.add("guest")
    office.add("seoul", may_submit=True, regions=("KR-11",))
    for who, words in (("noc", "machine"), ("guest", "neither"), ("seoul", "not region KR-26")):
        with pytest.raises(PermissionDeniedError, match=words):
            take(office, a_step(RESTORED), by=who)
    office.gateway.keyring.revoke("bob")
    with pytest.raises(PermissionDeniedError, match="revoked"):
        take(office, a_step(RESTORED))

    assert RESTORED is take(office, a_step(RESTORED), by="alice")


def test_step_is_signed_for_what_it_is(office: Office) -> None:
    """No other signature of the same person counts, and no incident is made up."""
    office.submit(office.document())
    with pytest.raises(SignatureInvalidError):
        take(office, a_step(RESTORED), content="cbgateway-decision-1")
    with pytest.raises(UnknownNameError, match="inc-9"):
        take(office, a_step(RESTORED, name="inc-9"))
