"""What a message centre sends: read, handed on, and answered only once it is kept."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.registry import make_link
from cbgateway.carriers.smpp import session as session_module
from cbgateway.carriers.smpp.incoming import incoming
from cbgateway.carriers.smpp.session import Arrived, Bound, Credentials, SmppSession, State
from cbgateway.codec import smpp, smpp_text
from cbgateway.domain.errors import StoreFailedError
from cbgateway.domain.incoming import IncomingMessage, MessageState, Receipt

CARRIER = load_checked_profiles(None).carriers["kt"]
PHONE = smpp.Address(1, 1, "821012345678")
DESK = smpp.Address(0, 1, "1004")
RECEIPT = smpp.DeliverSm(
    source=PHONE, destination=DESK, esm_class=4, short_message=b"id:a1 stat:DELIVRD"
)
READ = Receipt(b"a1", MessageState.DELIVERED, "821012345678", "1004", None)
MESSAGE = smpp.DeliverSm(
    source=PHONE, destination=DESK, data_coding=8, short_message="상태".encode("utf-16-be")
)


def bound(*, takes_incoming: bool = True) -> SmppSession:
    """Give a bound session."""
    one = SmppSession(CARRIER.smpp, Credentials("gateway", "secret"), takes_incoming=takes_incoming)
    one.tick(now=0.0)
    one.outgoing()
    answer = smpp.encode(smpp.Pdu(smpp.BindTransmitterResp(system_id="smsc"), 1))
    assert one.receive(answer, now=0.0) == [Bound("smsc")]
    return one


def send(one: SmppSession, *bodies: smpp.Body, first: int = 1) -> list[Any]:
    """Have the centre send requests; gives the events."""
    octets = b"".join(
        smpp.encode(smpp.Pdu(body, number)) for number, body in enumerate(bodies, start=first)
    )
    return one.receive(octets, now=1.0)


def answers(one: SmppSession) -> list[tuple[str, int, int]]:
    """Give the session's answers: name, sequence number and status."""
    return [
        (smpp.name_of(pdu.body), pdu.sequence_number, pdu.command_status)
        for pdu in smpp.Framer().receive(one.outgoing())
        if isinstance(pdu, smpp.Pdu)
    ]


def test_what_arrives_waits_for_its_answer() -> None:
    """Receipts together, a message by itself; nothing is answered before somebody says so."""
    one = bound()

    events = send(one, RECEIPT, RECEIPT, MESSAGE)

    assert [event.numbers for event in events] == [[1, 2], [3]]
    assert events[0].items == [READ, READ]
    assert one.outgoing() == b""
    one.answer(events[0], [True, True])
    one.answer(events[1], [False])
    assert answers(one) == [
        ("deliver_sm_resp", 1, 0),
        ("deliver_sm_resp", 2, 0),
        ("deliver_sm_resp", 3, smpp.Status.ESME_RX_T_APPN),
    ]


def test_some_of_a_run_may_be_put_off() -> None:
    """Each has its own answer."""
    one = bound()
    (event,) = send(one, RECEIPT, RECEIPT)

    one.answer(event, [True, False])

    assert [status for _, _, status in answers(one)] == [0, smpp.Status.ESME_RX_T_APPN]


def test_data_sm_is_answered_in_kind() -> None:
    """A receipt in a data_sm is a receipt, and its answer a data_sm_resp."""
    one = bound()
    body = smpp.DataSm(source=PHONE, destination=DESK, esm_class=4)
    octets = smpp.encode(
        smpp.Pdu(body, 9, tlvs=(smpp.Tlv(smpp.TlvTag.RECEIPTED_MESSAGE_ID, b"a1\0"),))
    )

    (event,) = one.receive(octets, now=1.0)

    assert isinstance(event, Arrived)
    assert event.items[0] == READ._replace(state=MessageState.UNKNOWN)
    one.answer(event, [True])
    assert answers(one) == [("data_sm_resp", 9, 0)]


def test_nobody_to_take_it_leaves_it_at_the_centre() -> None:
    """Without an inbox, and while too much waits for its answer."""
    deaf = bound(takes_incoming=False)
    assert send(deaf, RECEIPT) == []
    assert answers(deaf) == [("deliver_sm_resp", 1, smpp.Status.ESME_RX_T_APPN)]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the centre is told to wait, until something is answered."""
    monkeypatch.setattr(session_module, "ARRIVED_MAX", 2)
    one = bound()
    (first,) = send(one, RECEIPT, RECEIPT)

    assert send(one, MESSAGE, first=3) == []
    assert answers(one) == [("deliver_sm_resp", 3, smpp.Status.ESME_RX_T_APPN)]
    one.answer(first, [True, True])
    assert len(send(one, MESSAGE, first=4)) == 1


def test_answers_after_the_end_go_nowhere() -> None:
    """The session is closed; the centre sends again on the next one."""
    one = bound()
    (event,) = send(one, RECEIPT)
    one.lost()

    one.answer(event, [True])

    assert one.state is State.CLOSED
    assert one.outgoing() == b""


def udh(text: str) -> list[smpp.Pdu]:
    """Write a text in parts with user data headers."""
    segmented = smpp_text.segment(
        text, data_coding=8, segmentation=smpp_text.Segmentation.UDH8, reference=7
    )
    return [
        smpp.Pdu(
            smpp.DeliverSm(
                source=PHONE,
                destination=DESK,
                esm_class=segmented.esm_class,
                data_coding=8,
                short_message=part.short_message,
            ),
            1,
            tlvs=part.tlvs,
        )
        for part in segmented.parts
    ]


def test_parts_of_a_text_say_where_they_stand() -> None:
    """By user data header; the text of each is without it."""
    text = "부산 상태 " * 20

    parts = [incoming(pdu) for pdu in udh(text)]

    assert "".join(part.text for part in parts if isinstance(part, IncomingMessage)) == text
    places = [
        (part.part, part.parts, part.reference)
        for part in parts
        if isinstance(part, IncomingMessage)
    ]
    assert places == [(1, 2, 7), (2, 2, 7)]


def test_parts_by_tlv_and_payloads_are_read() -> None:
    """The sar TLVs, and a text that stands in message_payload of a data_sm."""
    tag = smpp.TlvTag
    body = smpp.DataSm(source=PHONE, destination=DESK, data_coding=0)
    tlvs = (
        smpp.Tlv(tag.MESSAGE_PAYLOAD, b"STATUS"),
        smpp.Tlv(tag.SAR_MSG_REF_NUM, b"\0\x09"),
        smpp.Tlv(tag.SAR_TOTAL_SEGMENTS, b"\x03"),
        smpp.Tlv(tag.SAR_SEGMENT_SEQNUM, b"\x02"),
    )

    assert incoming(smpp.Pdu(body, 1, tlvs=tlvs)) == IncomingMessage(
        "821012345678", "1004", "STATUS", part=2, parts=3, reference=9
    )


@pytest.mark.parametrize(
    ("esm_class", "data_coding", "octets", "text"),
    [
        (0x40, 0, b"\xffhello", "\ufffdhello"),
        (0x00, 4, b"\x00\xc0ab", "\0\ufffdab"),
        (0x40, 0, b"\x03\x70\x01\x00hi", "hi"),
        (0x00, 0, b"", ""),
    ],
)
def test_what_cannot_be_read_is_kept_as_far_as_it_can(
    esm_class: int, data_coding: int, octets: bytes, text: str
) -> None:
    """A header that lies, a coding that nobody knows: nothing is lost for it."""
    body = smpp.DeliverSm(
        source=PHONE,
        destination=DESK,
        esm_class=esm_class,
        data_coding=data_coding,
        short_message=octets,
    )

    read = incoming(smpp.Pdu(body, 1))

    assert isinstance(read, IncomingMessage)
    assert read.text == text


class Shelf:
    """An inbox that remembers, keeps what it is told to, or fails."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.taken: list[Any] = []

    async def take(
        self, peer_id: str, items: Sequence[Receipt | IncomingMessage]
    ) -> Sequence[bool]:
        """Take what has come."""
        self.taken += [(peer_id, item) for item in items]
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer] * len(items)


@contextlib.asynccontextmanager
async def centre(*bodies: smpp.Body) -> AsyncIterator[tuple[int, "asyncio.Queue[smpp.Pdu]"]]:
    """Give the port of a centre that sends requests after the bind, and what it is answered."""
    answered: asyncio.Queue[smpp.Pdu] = asyncio.Queue()
    writers: list[asyncio.StreamWriter] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        framer = smpp.Framer()
        while octets := await _read(reader):
            for pdu in framer.receive(octets):
                assert isinstance(pdu, smpp.Pdu)
                if smpp.is_response(pdu.body):
                    answered.put_nowait(pdu)
                    continue
                writer.write(smpp.encode(smpp.Pdu(smpp.response_to(pdu.body), pdu.sequence_number)))
                for number, body in enumerate(bodies, start=1):
                    writer.write(smpp.encode(smpp.Pdu(body, number)))

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], answered
    finally:
        for writer in writers:
            writer.close()
        server.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except OSError:
        return b""


def link_to(port: int, shelf: Shelf) -> Any:
    """Give a link that takes what comes to a shelf."""
    return make_link(
        CARRIER,
        places=[("127.0.0.1", port)],
        system_id="gateway",
        password="secret",
        random=lambda: 0.5,
        inbox=shelf,
    )


@pytest.mark.parametrize(
    ("is_kept", "status"), [(True, 0), (False, int(smpp.Status.ESME_RX_T_APPN))]
)
def test_link_answers_what_the_inbox_has_kept(is_kept: bool, status: int) -> None:
    """Over loopback: receipts and messages reach it in order, and the answer tells what it did."""
    shelf = Shelf(is_kept)

    async def run() -> list[smpp.Pdu]:
        async with centre(RECEIPT, MESSAGE) as (port, answered), asyncio.timeout(10):
            task = asyncio.create_task(link_to(port, shelf).run())
            found = [await answered.get(), await answered.get()]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return found

    found = asyncio.run(run())

    assert [(pdu.sequence_number, pdu.command_status) for pdu in found] == [
        (1, status),
        (2, status),
    ]
    assert shelf.taken == [
        ("kt", READ),
        ("kt", IncomingMessage("821012345678", "1004", "상태")),
    ]


def test_link_ends_with_the_disk() -> None:
    """A store that failed ends whoever waits for it; nothing was answered."""
    shelf = Shelf(StoreFailedError("the disk failed"))

    async def run() -> int:
        async with centre(RECEIPT) as (port, answered), asyncio.timeout(10):
            with pytest.raises(StoreFailedError):
                await link_to(port, shelf).run()
            return answered.qsize()

    assert asyncio.run(run()) == 0
