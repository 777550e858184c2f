"""From a command to its receipt: committed first, then told, then acknowledged."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from loguru import logger

from cbgateway.domain import failpoints
from cbgateway.domain.delivery import Answer, BulletinRecord
from cbgateway.domain.errors import (
    DiskFullError,
    GatewayError,
    InputError,
    PermissionDeniedError,
    StoreError,
)
from cbgateway.domain.incident import Incident
from cbgateway.domain.ports import Clock, Transaction
from cbgateway.interfaces.http.alarms import parse_alarm
from cbgateway.interfaces.mqtt.commands import (
    COMMAND,
    Command,
    CommandError,
    Incoming,
    read_command,
    refused_for,
)
from cbgateway.interfaces.mqtt.topics import INCIDENT, SUBMIT, Topics
from cbgateway.interfaces.schema import BulletinDocument
from cbgateway.interfaces.steps import parse_step
from cbgateway.service.authority import signer_of
from cbgateway.service.deployment import Deployment
from cbgateway.service.incidents import Step
from cbgateway.service.intake import Request
from cbgateway.service.proposals import Alarm, Proposal
from cbgateway.service.writes import Write
from cbgateway.signing.canonical import canonical

T = TypeVar("T")

ACCEPTED = 200  # what kept answers carry; the same number as over HTTP
ANSWERS_FORGOTTEN_AT_ONCE = 8  # more than one comes, so that the table does not grow
SHOWN_CHARACTERS_MAX = 200


class Desk(Protocol):
    """The one intake; `cbgateway.desk.Desk` is it."""

    def submission(
        self, request: Request, signature: str, *, as_draft: bool = False
    ) -> Write[BulletinRecord]:
        """Take a bulletin in."""
        ...

    def step(self, step: Step, signature: str) -> Write[Incident]:
        """Note how far somebody says that an outage has got."""
        ...

    def alarm(self, alarm: Alarm, signature: str) -> Write[Proposal]:
        """Take an alarm in."""
        ...

    async def commit_together(self, write: Write[T]) -> T:
        """Commit with what others write at the same time."""
        ...


@dataclass(frozen=True, slots=True)
class Receipt:
    """What somebody who asked is told.

    Attributes:
        topic: where; empty when nobody waits for it.
        correlation: as it came.
    """

    topic: str
    payload: bytes
    correlation: bytes | None


@dataclass(frozen=True, slots=True)
class MqttIntake:
    """Carries commands out."""

    topics: Topics
    deployment: Deployment
    desk: Desk
    clock: Clock

    async def handle(self, incoming: Incoming) -> Receipt:
        """Carry a command out and give its receipt; whatever it says is committed.

        Raises:
            StoreError: the store cannot be used; nothing may be acknowledged.
        """
        command: Command | None = None
        try:
            command = read_command(incoming, self.topics, now=self.clock.now())
            failpoints.passing("mqtt.read")
            told = await self.desk.commit_together(self._write(command))
            failpoints.passing("mqtt.committed")
        except DiskFullError as error:
            told = refusal(error)
        except StoreError:
            raise
        except GatewayError as error:
            told = refusal(error)
        if told["status"] == "refused":
            logger.bind(
                topic=incoming.topic[:SHOWN_CHARACTERS_MAX], problem=told["problem"]["type"]
            ).info("command refused")
        return self._receipt(incoming, command, told)

    def _receipt(
        self, incoming: Incoming, command: Command | None, told: dict[str, Any]
    ) -> Receipt:
        if command is None:
            topic, command_id = refused_for(incoming, self.topics)
        else:
            topic, command_id = command.reply_to, command.command_id
        told = {"id": command_id, **told} if command_id else told
        return Receipt(topic, json.dumps(told, ensure_ascii=True).encode(), incoming.correlation)

    def _write(self, command: Command) -> Write[dict[str, Any]]:
        if command.what == SUBMIT:
            request = BulletinDocument.of(command.document).to_request(command.document)
            taken = self.desk.submission(request, command.document_signature)
            return self._once(command, taken, bulletin_receipt, request.sender)
        octets = json.dumps(command.document, ensure_ascii=False).encode()
        if command.what == INCIDENT:
            taken_step = self.desk.step(parse_step(octets), command.document_signature)
            return self._once(command, taken_step, incident_receipt, command.person)
        alarm = parse_alarm(octets, carriers=tuple(self.deployment.carriers))
        proposed = self.desk.alarm(alarm, command.document_signature)
        return self._once(command, proposed, proposal_receipt, command.person)

    def _once(
        self,
        command: Command,
        write: Write[T],
        tell: Callable[[T], dict[str, Any]],
        sender: str,
    ) -> Write[dict[str, Any]]:
        """Have a command carried out once, however often the broker hands it over."""
        now = self.clock.now()
        octets = canonical(command.signed)
        name, content = f"mqtt:{command.command_id}", hashlib.sha256(octets).hexdigest()

        def work(tx: Transaction) -> dict[str, Any]:
            _check_signer(tx, command, octets, sender, now)
            known = tx.answer(command.person, name)
            if known is not None:
                return _told_before(known, content, command.command_id)
            told = tell(write.work(tx))
            tx.forget_answers(at=now, limit=ANSWERS_FORGOTTEN_AT_ONCE)
            body = json.dumps(told, ensure_ascii=False)
            answer = Answer(content, ACCEPTED, body)
            tx.put_answer(command.person, name, answer, until=command.expires)
            failpoints.passing("mqtt.written")
            return told

        return Write(work, write.is_urgent)


def _check_signer(
    tx: Transaction, command: Command, octets: bytes, sender: str, now: datetime
) -> None:
    """Refuse a command whose topic, envelope and document are not of the same sender.

    Raises:
        SignatureInvalidError: nobody who is known here signed the envelope.
        PermissionDeniedError: they are of different people.
    """
    person = signer_of(tx, command.signature, octets, content=COMMAND, at=now)
    if {person.name, sender} != {command.person}:
        msg = (
            f"topic of {command.person[:SHOWN_CHARACTERS_MAX]!r}, envelope by {person.name!r}, "
            f"document of {sender!r}: all three are the same"
        )
        raise PermissionDeniedError(msg)


def _told_before(known: Answer, content: str, command_id: str) -> dict[str, Any]:
    if known.digest != content:
        msg = f"id {command_id!r} was used for another command; make a new one for each"
        raise CommandError(msg)
    told: dict[str, Any] = json.loads(known.body)
    return told


def bulletin_receipt(record: BulletinRecord) -> dict[str, Any]:
    """Say what became of a bulletin."""
    return {
        "status": "accepted",
        "bulletin": record.bulletin.bulletin_id,
        "identifier": record.bulletin.identifier,
        "state": record.state.value,
        "expires": record.bulletin.expires.isoformat(),
        "warnings": list(record.submission.warnings),
    }


def incident_receipt(incident: Incident) -> dict[str, Any]:
    """Say how far an outage has got now."""
    return {"status": "accepted", "incident": incident.incident_id, "state": incident.state.value}


def proposal_receipt(proposal: Proposal) -> dict[str, Any]:
    """Say what became of an alarm."""
    return {
        "status": "accepted",
        "effect": proposal.effect.value,
        "incident": proposal.incident_id or None,
        "draft": proposal.draft or None,
        "proposed_state": None if proposal.state is None else proposal.state.value,
    }


def refusal(error: GatewayError) -> dict[str, Any]:
    """Say why a command was not carried out."""
    problem: dict[str, Any] = {
        "type": f"urn:cbgateway:problem:{error.code}",
        "title": (type(error).__doc__ or "").splitlines()[0],
        "detail": str(error),
    }
    if isinstance(error, InputError):
        problem["problems"] = list(error.problems)
    return {"status": "refused", "problem": problem}
