"""Carries out what one ESME asks for, and writes the answer."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cbgateway.codec import smpp
from cbsim.accounts import Esme
from cbsim.broadcasts import integer
from cbsim.centre import VERSION_5, MessageCentre
from cbsim.faults import Fault, Stage
from cbsim.receipts import write_incoming
from cbsim.refusal import Refusal
from cbsim.submissions import Multi, raw, read_multi, submission_of, write_multi_resp

Bind = smpp.BindTransmitter | smpp.BindReceiver | smpp.BindTransceiver
BindResp = smpp.BindTransmitterResp | smpp.BindReceiverResp | smpp.BindTransceiverResp
_BIND_RESPONSES: Mapping[type[Bind], type[BindResp]] = {
    smpp.BindTransmitter: smpp.BindTransmitterResp,
    smpp.BindReceiver: smpp.BindReceiverResp,
    smpp.BindTransceiver: smpp.BindTransceiverResp,
}
_MODES: Mapping[type[Bind], str] = {
    smpp.BindTransmitter: "transmitter",
    smpp.BindReceiver: "receiver",
    smpp.BindTransceiver: "transceiver",
}
VERSION_LEAST = 0x33

OnBound = Callable[[Esme, Bind], None]


class Requests:
    """What one ESME asks for.

    Attributes:
        mode: how it is bound; empty before.
        version: of SMPP, as both sides know it.
        esme: who it is; None before the bind.
        waiting: requests that are carried out and not answered yet.
        answered_at_s: when the message at hand is answered.
    """

    def __init__(
        self, centre: MessageCentre, *, tell: Callable[..., None], on_bound: OnBound
    ) -> None:
        """Make it for a connection that was just accepted.

        Args:
            centre: shared by all sessions.
            tell: called with each thing a tester wants to know.
            on_bound: called when the ESME is let in.
        """
        self.mode = ""
        self.version = centre.version
        self.esme: Esme | None = None
        self.waiting = 0
        self.answered_at_s = 0.0
        self._centre = centre
        self._tell = tell
        self._on_bound = on_bound

    def plan_answer(self, now: float) -> None:
        """Choose when the message at hand is answered."""
        answers = self._centre.scenario.answers
        at_s = now if answers.delay.is_none else now + answers.delay.draw(self._centre.rng)
        self.answered_at_s = max(at_s, self.answered_at_s) if answers.in_order else at_s

    def answer(self, pdu: smpp.Pdu, now: float) -> bytes:
        """Carry out a request and give its answer.

        Raises:
            Refusal: it is answered with a status.
        """
        number = pdu.sequence_number
        match pdu.body:
            case smpp.EnquireLink():
                return self.encode(smpp.EnquireLinkResp(), number)
            case smpp.BindTransmitter() | smpp.BindReceiver() | smpp.BindTransceiver() as body:
                return self._bind(body, number, now)
            case smpp.Unbind():
                self._require_bound(pdu.body)
                return self.encode(smpp.UnbindResp(), number)
            case smpp.BroadcastSm() | smpp.CancelBroadcastSm() | smpp.QueryBroadcastSm():
                return self._answer_broadcast(pdu, now)
            case _:
                return self._answer_message(pdu, now)

    def answer_multi(self, octets: bytes, number: int, now: float) -> bytes:
        """Carry out a submit_multi, which the codec does not know.

        Raises:
            PduError: it cannot be read.
            Refusal: it is answered with a status.
        """
        esme = self._require_bound(None)
        multi = read_multi(octets)
        self._check_limits(esme, now)
        return self._submit_multi(esme, multi, number, now)

    def encode(
        self,
        body: smpp.Body,
        number: int,
        status: int = smpp.Status.ESME_ROK,
        tlvs: tuple[smpp.Tlv, ...] = (),
    ) -> bytes:
        """Write an answer; one to a message tells how congested the centre is (SMPP 5.0)."""
        congestion = self._centre.scenario.answers.congestion
        is_message = isinstance(body, smpp.SubmitSmResp | smpp.DataSmResp | smpp.BroadcastSmResp)
        if congestion >= 0 and self.version >= VERSION_5 and is_message:
            tlvs = (*tlvs, smpp.Tlv.integer(smpp.TlvTag.CONGESTION_STATE, congestion))
        return smpp.encode(smpp.Pdu(body, number, status, tlvs))

    def _answer_message(self, pdu: smpp.Pdu, now: float) -> bytes:
        esme = self._require_bound(pdu.body)
        centre, number = self._centre, pdu.sequence_number
        match pdu.body:
            case smpp.SubmitSm():
                return self.encode(smpp.SubmitSmResp(message_id=self._submit(pdu, now)), number)
            case smpp.DataSm():
                return self.encode(smpp.DataSmResp(message_id=self._submit(pdu, now)), number)
            case smpp.QuerySm() as body:
                found = centre.query(esme, body, raw(body.source))
                answer = smpp.QuerySmResp(
                    message_id=found.message_id,
                    final_date=found.final_date,
                    message_state=found.state,
                    error_code=found.error_code,
                )
                return self.encode(answer, number)
            case smpp.CancelSm() as body:
                centre.cancel(esme, body, raw(body.source), raw(body.destination), now)
                return self.encode(smpp.CancelSmResp(), number)
            case smpp.ReplaceSm() as body:
                centre.replace(esme, body, raw(body.source))
                return self.encode(smpp.ReplaceSmResp(), number)
            case other:
                raise Refusal(
                    smpp.Status.ESME_RINVCMDID, f"{smpp.name_of(other)} is not for a centre"
                )

    def _answer_broadcast(self, pdu: smpp.Pdu, now: float) -> bytes:
        self._require_bound(pdu.body)
        if self.version < VERSION_5:
            raise Refusal(smpp.Status.ESME_RINVCMDID, "version 3.4 has no broadcasts")
        desk, number = self._centre.broadcasts, pdu.sequence_number
        reference = integer(pdu, smpp.TlvTag.USER_MESSAGE_REFERENCE, None)
        match pdu.body:
            case smpp.BroadcastSm() as body:
                _check_mandatory(pdu)
                one = desk.broadcast(pdu, body, now)
                self._tell("on_air", message_id=one.message_id)
                answer = smpp.BroadcastSmResp(message_id=one.message_id)
                return self.encode(answer, number, tlvs=_failed(one.failed))
            case smpp.QueryBroadcastSm() as body:
                name, tlvs = desk.query(body, reference)
                return self.encode(smpp.QueryBroadcastSmResp(message_id=name), number, tlvs=tlvs)
            case smpp.CancelBroadcastSm() as body:
                content = pdu.tlv(smpp.TlvTag.BROADCAST_CONTENT_TYPE) or b""
                for name in desk.cancel(body, reference, content):
                    self._tell("off_air", message_id=name)
                return self.encode(smpp.CancelBroadcastSmResp(), number)
            case other:
                raise Refusal(smpp.Status.ESME_RINVCMDID, f"{smpp.name_of(other)} is none")

    def _bind(self, body: Bind, number: int, now: float) -> bytes:
        if self.mode:
            raise Refusal(smpp.Status.ESME_RALYBND, "bound already")
        centre, mode = self._centre, _MODES[type(body)]
        try:
            esme = centre.accounts.admit(body.system_id, body.password, mode)
        except Refusal as refusal:
            esme = self._wrong_password(body, refusal, now)
        self.esme, self.mode = esme, mode
        self.version = min(centre.version, max(body.interface_version, VERSION_LEAST))
        if not esme.account.numbers and mode != "transmitter" and body.address_range:
            centre.accounts.claim(body.address_range, esme)
        self._tell(
            "bound",
            system_id=body.system_id,
            **{"as": smpp.name_of(body)},
            version=f"{body.interface_version:#04x}",
        )
        self._on_bound(esme, body)
        version = smpp.Tlv.integer(smpp.TlvTag.SC_INTERFACE_VERSION, centre.version)
        answer = _BIND_RESPONSES[type(body)](system_id=centre.name)
        return self.encode(answer, number, tlvs=(version,))

    def _wrong_password(self, body: Bind, refusal: Refusal, now: float) -> Esme:
        """Do with a wrong password what a fault asks for; refuse it otherwise."""
        is_password = refusal.status == smpp.Status.ESME_RINVPASWD
        fault = self._centre.director.happens(Stage.PASSWORD, now) if is_password else None
        if fault is None:
            raise refusal
        self._tell("fault", fault=fault.name)
        if fault.name == "password-ignored":
            return self._centre.accounts.esmes[body.system_id]
        manner = "close" if fault.name == "password-close" else "silence"
        raise Refusal(refusal.status, str(refusal), manner=manner)

    def _require_bound(self, body: smpp.Body | None) -> Esme:
        """Refuse what needs a bind, or one that may send."""
        if self.esme is None:
            raise Refusal(smpp.Status.ESME_RINVBNDSTS, "not bound")
        if self.mode == "receiver" and not isinstance(body, smpp.Unbind):
            raise Refusal(smpp.Status.ESME_RINVBNDSTS, "bound as a receiver")
        return self.esme

    def _check_limits(self, esme: Esme, now: float) -> None:
        """Refuse what is too much, and the share that the scenario wants refused."""
        account, answers = esme.account, self._centre.scenario.answers
        per_s = min(filter(None, (account.per_s, answers.per_s)), default=0.0)
        if per_s and not esme.limiter.allows(now, per_s=per_s, window_s=answers.limit_window_s):
            raise Refusal(smpp.Status.ESME_RTHROTTLED, f"more than {per_s:g} a second")
        if account.window and self.waiting >= account.window:
            raise Refusal(
                smpp.Status.ESME_RTHROTTLED, f"{self.waiting} requests wait for their answers"
            )
        if answers.error_share and self._centre.rng.random() < answers.error_share:
            raise Refusal(answers.error_status, "as answers.error_share asks")

    def _submit(self, pdu: smpp.Pdu, now: float) -> str:
        """Hand a message to the centre; gives its message_id."""
        esme = self._require_bound(pdu.body)
        taken = submission_of(pdu)
        self._check_limits(esme, now)
        message = self._centre.submit(
            esme, taken, now, version=self.version, answered_at_s=self.answered_at_s
        )
        return message.message_id

    def _submit_multi(self, esme: Esme, multi: Multi, number: int, now: float) -> bytes:
        """Take a message to several; those that cannot be reached are told apart."""
        failed: list[tuple[bytes, int]] = []
        addresses = list(multi.addresses)
        for name in multi.lists:
            members = self._centre.lists.get(name)
            if members is None:
                failed.append((b"\0\0" + name.encode("ascii") + b"\0", smpp.Status.ESME_RINVDLNAME))
            else:
                addresses += [b"\1\1" + member.encode("ascii") + b"\0" for member in members]
        message_id = ""
        for address in addresses:
            if not address[2:-1]:
                failed.append((address, smpp.Status.ESME_RINVDSTADR))
                continue
            message = self._centre.submit(
                esme,
                replace(multi.taken, destination=address),
                now,
                version=self.version,
                answered_at_s=self.answered_at_s,
                message_id=message_id,
            )
            message_id = message.message_id
        return write_multi_resp(number, message_id, failed)


def bare_deliver(centre: MessageCentre, number: int) -> bytes:
    """Give a deliver_sm that nobody counts."""
    rules = centre.scenario.incoming
    body = write_incoming(
        service_type=b"\0",
        source=b"\1\1" + rules.source.encode("ascii") + b"\0",
        destination=b"\1\1" + rules.destination.encode("ascii") + b"\0",
        esm_class=0,
        data_coding=0,
        text=b"flood",
        tlvs=(),
    )
    length = 16 + len(body)
    header = (length, int(smpp.CommandId.DELIVER_SM), 0, number)
    return b"".join(one.to_bytes(4, "big") for one in header) + body


def fault_of(centre: MessageCentre, body: smpp.Body, *, is_bound: bool, now: float) -> Fault | None:
    """Give the fault that happens to a request."""
    director = centre.director
    match body:
        case smpp.BindTransmitter() | smpp.BindReceiver() | smpp.BindTransceiver():
            return director.happens(Stage.BIND, now)
        case smpp.EnquireLink():
            return director.happens(Stage.ENQUIRE, now)
        case smpp.SubmitSm() | smpp.DataSm() | smpp.BroadcastSm() if is_bound:
            return director.happens(Stage.MESSAGE, now)
        case _:
            return None


def _failed(areas: list[bytes]) -> tuple[smpp.Tlv, ...]:
    """Tell which areas a broadcast did not reach (SMPP 5.0 4.4.1.2)."""
    tlvs: list[Any] = []
    for octets in areas:
        tlvs += (
            smpp.Tlv.integer(smpp.TlvTag.BROADCAST_ERROR_STATUS, smpp.Status.ESME_RBCASTFAIL),
            smpp.Tlv(smpp.TlvTag.BROADCAST_AREA_IDENTIFIER, octets),
        )
    return tuple(tlvs)


def _check_mandatory(pdu: smpp.Pdu) -> None:
    try:
        smpp.check_mandatory_tlvs(pdu)
    except smpp.PduError as error:
        raise Refusal(error.command_status, str(error)) from error
