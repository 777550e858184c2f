"""The SMPP link over loopback TCP: binds, reconnects, and says what became of each recipient."""

import asyncio
import contextlib
import itertools
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cbgateway.app import load_checked_profiles
from cbgateway.carriers.registry import make_link
from cbgateway.carriers.smpp.link import Endpoint, SmppLink
from cbgateway.carriers.smpp.session import Credentials
from cbgateway.codec import cbs, smpp
from cbgateway.domain.broadcast import Broadcast, GeographicalScope, SerialNumber
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.errors import InputError, NotSentError, RejectedError, UnansweredError
from cbgateway.domain.incoming import MessageState
from cbgateway.domain.orders import Area, Handle, OnAirReport, Stop, Submit, WriteReplace
from cbgateway.domain.outcomes import Outcome
from cbgateway.settings import CarrierSettings, tls_context

_KT = load_checked_profiles(None).carriers["kt"]
CARRIER = _KT.model_copy(update={"smpp": _KT.smpp.model_copy(update={"bind": "transmitter"})})
COMMON: dict[str, Any] = {
    "bulletin_id": "inc-1/1",
    "alert_class": "safety",
    "area": Area("KR-26", {"ko": "부산", "en": "Busan"}),
    "expires_at": datetime(2021, 10, 25, 4, 0, tzinfo=UTC),
}
BROADCAST = WriteReplace(
    **COMMON,
    broadcast=Broadcast(
        "ko",
        4372,
        SerialNumber(GeographicalScope.PLMN, 1, 0),
        0x48,
        "장애",
        cbs.paginate("장애", dcs=0x48),
    ),
    repetition_period_s=60,
    number_of_broadcasts=1,
)
SUBMIT = Submit(
    **COMMON, language="ko", text="장애", recipients=tuple("82101234560" + str(n) for n in range(5))
)

Answer = Callable[[smpp.Pdu], smpp.Pdu | None]


def accept(pdu: smpp.Pdu) -> smpp.Pdu | None:
    """Say yes to every request."""
    return smpp.Pdu(smpp.response_to(pdu.body), pdu.sequence_number)


@contextlib.asynccontextmanager
async def connected(
    answer: Answer, **changes: Any
) -> AsyncIterator[tuple[SmppLink, list[smpp.Pdu]]]:
    """Give a bound link to a message centre that answers as told, and what the centre has seen."""
    seen: list[smpp.Pdu] = []
    writers: list[asyncio.StreamWriter] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        framer = smpp.Framer()
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                for pdu in framer.receive(octets):
                    assert isinstance(pdu, smpp.Pdu)
                    seen.append(pdu)
                    is_ours = isinstance(pdu.body, smpp.BindTransmitter | smpp.Unbind)
                    reply = accept(pdu) if is_ours else answer(pdu)
                    if reply is None:
                        writer.transport.abort()
                    else:
                        writer.write(smpp.encode(reply))

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    rules = CARRIER.smpp.model_copy(
        update={"reconnect_delay_min_s": 0.01, "reconnect_delay_max_s": 0.01, **changes}
    )
    link = make_link(
        CARRIER.model_copy(update={"smpp": rules}),
        places=[("127.0.0.1", server.sockets[0].getsockname()[1])],
        system_id="gateway",
        password="secret",
        random=lambda: 0.5,
    )
    assert isinstance(link, SmppLink)
    task = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(10):
            await link.wait_ready()
            yield link, seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for writer in writers:
            writer.close()
        server.close()


def outcomes(report: Any) -> list[int]:
    """Give a report's outcomes as numbers."""
    return list(report.outcomes)


def test_orders_are_carried_out() -> None:
    """Broadcast, stop and short messages go out on one bind, and the goodbye too."""

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        if isinstance(pdu.body, smpp.BroadcastSm):
            return smpp.Pdu(smpp.BroadcastSmResp(message_id="b-1"), pdu.sequence_number)
        return accept(pdu)

    async def run() -> list[smpp.Pdu]:
        async with connected(answer) as (link, seen):
            report: Any = await link.send(
                BROADCAST, seal="s", handle=Handle(alias=1), is_urgent=False
            )
            assert report.peer_reference == "b-1"
            stop = Stop(**COMMON, message_identifier=4372, message_code=1)
            await link.send(stop, seal="s", handle=Handle("b-1"), is_urgent=True)
            report = await link.send(SUBMIT, seal="s", handle=Handle(alias=1), is_urgent=False)
            assert outcomes(report) == [Outcome.ACCEPTED] * 5
        return seen

    names = [smpp.name_of(pdu.body) for pdu in asyncio.run(run())]

    assert names == [
        "bind_transmitter",
        "broadcast_sm",
        "cancel_broadcast_sm",
        *["submit_sm"] * 5,
        "unbind",
    ]


def test_link_comes_back_after_a_reset() -> None:
    """What was in flight is unanswered; the next order goes out on a new bind."""
    drops = iter([True])

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        return None if next(drops, False) else accept(pdu)

    async def run() -> int:
        async with connected(answer) as (link, seen):
            with pytest.raises(UnansweredError):
                await link.send(BROADCAST, seal="", handle=Handle(alias=1), is_urgent=False)
            with pytest.raises(NotSentError):
                await link.send(BROADCAST, seal="", handle=Handle(alias=1), is_urgent=False)
            await link.wait_ready()
            await link.send(BROADCAST, seal="", handle=Handle(alias=1), is_urgent=False)
            return sum(isinstance(pdu.body, smpp.BindTransmitter) for pdu in seen)

    assert asyncio.run(run()) == 2


def test_each_recipient_has_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused for good, put off for too long, accepted: the report tells them apart."""
    monkeypatch.setattr("cbgateway.carriers.smpp.submission.PATIENCE_S", 0.2)
    statuses = {"821012345601": 0x0B, "821012345603": 0x58}

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        assert isinstance(pdu.body, smpp.SubmitSm)
        status = statuses.get(pdu.body.destination.address, 0)
        return smpp.Pdu(smpp.SubmitSmResp(), pdu.sequence_number, status)

    async def run() -> Any:
        async with connected(answer, window_requests_max=1) as (link, _):
            return await link.send(SUBMIT, seal="", handle=Handle(), is_urgent=False)

    report = asyncio.run(run())

    assert outcomes(report) == [1, 2, 1, 0, 1]
    assert dict(report.causes) == {"ESME_RINVDSTADR": 1, "ESME_RTHROTTLED": 1}


def test_message_of_which_a_part_has_left_is_in_doubt() -> None:
    """The second part is put off: sending all parts again would show the first one twice."""
    count = itertools.count()

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        status = 0x58 if next(count) else 0
        return smpp.Pdu(smpp.SubmitSmResp(), pdu.sequence_number, status)

    order = replace(SUBMIT, text="장애 " * 40, recipients=SUBMIT.recipients[:2])

    async def run() -> Any:
        async with connected(answer, window_requests_max=1) as (link, _):
            return await link.send(order, seal="", handle=Handle(), is_urgent=False)

    assert outcomes(asyncio.run(run()))[0] == Outcome.IN_DOUBT


@pytest.mark.parametrize("is_drained", [True, False])
def test_message_that_ends_between_its_parts_is_in_doubt(*, is_drained: bool) -> None:
    """The gateway stops, or the link is lost, once the first of two parts has left."""
    links: list[SmppLink] = []

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        if is_drained:
            links[0].drain()
            return accept(pdu)
        is_first = pdu.sequence_number == 2
        return accept(pdu) if is_first else None

    order = replace(SUBMIT, text="장애 " * 40, recipients=SUBMIT.recipients[:2])

    async def run() -> Any:
        async with connected(answer, window_requests_max=1) as (link, _):
            links.append(link)
            return await link.send(order, seal="", handle=Handle(), is_urgent=False)

    assert outcomes(asyncio.run(run())) == [3, 0]


def test_messages_of_more_parts_than_the_window_go_part_by_part() -> None:
    """Slowly, but everybody gets all of it."""
    order = replace(SUBMIT, text="장애 " * 40, recipients=SUBMIT.recipients[:2])

    async def run() -> tuple[Any, list[smpp.Pdu]]:
        async with connected(accept, window_requests_max=1) as (link, seen):
            report = await link.send(order, seal="", handle=Handle(), is_urgent=False)
            return report, [pdu for pdu in seen if isinstance(pdu.body, smpp.SubmitSm)]

    report, sent = asyncio.run(run())

    assert outcomes(report) == [1, 1]
    numbers = [pdu.body.destination.address for pdu in sent]  # type: ignore[union-attr]
    assert numbers == [number for number in order.recipients for _ in range(2)]


def test_messages_of_parts_go_together_where_the_window_has_room() -> None:
    """Each has one outcome, and all parts of a message follow one another."""
    order = replace(SUBMIT, text="장애 " * 40)

    async def run() -> tuple[Any, list[smpp.Pdu]]:
        async with connected(accept, window_requests_max=4) as (link, seen):
            report = await link.send(order, seal="", handle=Handle(), is_urgent=False)
            return report, [pdu for pdu in seen if isinstance(pdu.body, smpp.SubmitSm)]

    report, sent = asyncio.run(run())

    assert outcomes(report) == [1] * 5
    numbers = [pdu.body.destination.address for pdu in sent]  # type: ignore[union-attr]
    assert numbers == [number for number in SUBMIT.recipients for _ in range(2)]


def test_throttled_messages_go_out_again_within_the_order() -> None:
    """The centre takes two and has then no room for two; in the end each was taken once."""
    statuses = iter([0, 0, 0x58, 0x58])
    taken: list[str] = []

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        assert isinstance(pdu.body, smpp.SubmitSm)
        status = next(statuses, 0)
        if not status:
            taken.append(pdu.body.destination.address)
        return smpp.Pdu(smpp.SubmitSmResp(), pdu.sequence_number, status)

    async def run() -> Any:
        async with connected(answer) as (link, _):
            return await link.send(SUBMIT, seal="", handle=Handle(), is_urgent=False)

    report = asyncio.run(run())

    assert outcomes(report) == [1] * 5
    assert dict(report.causes) == {}
    assert sorted(SUBMIT.recipients) == sorted(taken)


def test_late_answer_to_a_message_is_only_noted(warnings: list[str]) -> None:
    """The report has said that it is in doubt; what comes later ends no session."""
    held: list[smpp.Pdu] = []

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        held.append(pdu)
        return smpp.Pdu(smpp.EnquireLink(), 99)

    async def run() -> Any:
        async with connected(answer, response_timeout_s=0.05) as (link, _):
            report = await link.send(SUBMIT, seal="", handle=Handle(), is_urgent=False)
            pump = link._pump
            assert pump is not None
            for pdu in held[:5]:
                pump.data_received(smpp.encode(accept(pdu)))  # type: ignore[arg-type]
            assert link._ready.is_set()
            return report

    assert outcomes(asyncio.run(run())) == [3] * 5
    assert warnings[:5] == ["answered late"] * 5


def test_congestion_holds_the_rate() -> None:
    """A centre that says that it is loaded is not asked for more than it answers."""

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        tlv = smpp.Tlv.integer(smpp.TlvTag.CONGESTION_STATE, 95)
        return smpp.Pdu(smpp.SubmitSmResp(), pdu.sequence_number, tlvs=(tlv,))

    async def run() -> tuple[int, int]:
        async with connected(answer, window_requests_max=1_000) as (link, _):
            before = link.window_max
            await link.send(SUBMIT, seal="", handle=Handle(), is_urgent=False)
            return before, link.window_max

    before, after = asyncio.run(run())

    assert after < before <= 1_000


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Give a file with a key and a certificate for smsc.example that its own key has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "smsc.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("smsc.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "smsc.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(("name", "is_bound"), [("smsc.example", True), ("other.example", False)])
def test_tls_binds_only_with_who_the_certificate_names(
    name: str, certificate: Path, warnings: list[str], *, is_bound: bool
) -> None:
    """The authority is the file's, the name the setting's; nothing is sent to anybody else."""
    settings = CarrierSettings(
        mode=Mode.TEST,
        host="127.0.0.1",
        port=1,
        system_id="gateway",
        password_file=certificate,
        tls_ca_file=certificate,
        tls_server_name=name,
    )
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    heard: list[bytes] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                heard.append(octets)
                for pdu in smpp.Framer().receive(octets):
                    writer.write(smpp.encode(accept(pdu)))  # type: ignore[arg-type]
        writer.close()

    async def run() -> bool:
        server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=server_side)
        link = make_link(
            CARRIER,
            places=[("127.0.0.1", server.sockets[0].getsockname()[1])],
            system_id="gateway",
            password="secret",
            random=lambda: 0.5,
            tls=tls_context(settings),
            server_name=settings.tls_server_name,
        )
        task = asyncio.create_task(link.run())
        ready = asyncio.create_task(link.wait_ready())
        async with asyncio.timeout(10):
            while not ready.done() and not warnings:
                await asyncio.wait([ready], timeout=0.01)
        found = ready.done()
        ready.cancel()
        task.cancel()
        await asyncio.gather(task, ready, return_exceptions=True)
        server.close()
        return found

    assert asyncio.run(run()) is is_bound
    assert bool(heard) is is_bound
    assert is_bound or "not valid for 'other.example'" in warnings[0]


def test_authorities_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A file that is not there, or is no certificate, is found before anything is sent."""
    (tmp_path / "text.pem").write_text("no certificate")
    settings = CarrierSettings(
        mode=Mode.TEST, host="127.0.0.1", port=1, system_id="gateway", password_file=tmp_path
    )

    assert tls_context(settings) is None
    for name in ("text.pem", "absent.pem"):
        with pytest.raises(InputError, match=name):
            tls_context(settings.model_copy(update={"tls_ca_file": tmp_path / name}))


def test_what_is_urgent_does_not_wait_for_the_window() -> None:
    """A stop goes out while the whole window waits for answers that do not come."""
    held = asyncio.Event()

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        if isinstance(pdu.body, smpp.CancelBroadcastSm):
            return accept(pdu)
        held.set()
        return smpp.Pdu(smpp.EnquireLink(), 99)  # says something, answers nothing

    async def run() -> Any:
        async with connected(answer, window_requests_max=1) as (link, _):
            hung = asyncio.create_task(
                link.send(BROADCAST, seal="", handle=Handle(alias=1), is_urgent=False)
            )
            await held.wait()
            stop = Stop(**COMMON, message_identifier=4372, message_code=1)
            report = await link.send(stop, seal="", handle=Handle(alias=1), is_urgent=True)
            assert not hung.done()
            hung.cancel()
            return report

    assert asyncio.run(run()).peer_reference == ""


def test_what_was_overtaken_by_its_own_stop_does_not_leave() -> None:
    """What waits for room while it is stopped would be on air with nobody to stop it."""
    came: list[smpp.Pdu] = []
    held = asyncio.Event()

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        came.append(pdu)
        if len(came) == 1:
            held.set()
            return smpp.Pdu(smpp.EnquireLink(), 99)  # the window stays full
        return accept(pdu)

    async def run() -> None:
        async with connected(answer, window_requests_max=1) as (link, _):

            def begin(alias: int) -> asyncio.Task[Any]:
                handle = Handle(alias=alias)
                return asyncio.create_task(
                    link.send(BROADCAST, seal="", handle=handle, is_urgent=False)
                )

            hung = begin(1)
            await held.wait()
            stopped, other = begin(2), begin(3)
            both_wait = asyncio.Event()
            asyncio.get_running_loop().call_soon(both_wait.set)
            await both_wait.wait()
            stop = Stop(**COMMON, message_identifier=4372, message_code=1)
            await link.send(stop, seal="", handle=Handle(alias=2), is_urgent=True)
            with pytest.raises(NotSentError, match="something newer"):
                await stopped
            assert not other.done()
            for task in (hung, other):
                task.cancel()

    asyncio.run(run())

    kinds = Counter(type(pdu.body) for pdu in came)
    assert (kinds[smpp.BroadcastSm], kinds[smpp.CancelBroadcastSm]) == (1, 1)


def test_lost_link_leaves_the_chunk_in_doubt_and_unsent() -> None:
    """The one in flight is in doubt, those behind it were never sent."""
    answers = iter([accept])

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        return next(answers, lambda _: None)(pdu)

    async def run() -> Any:
        async with connected(answer, window_requests_max=1) as (link, _):
            report: Any = await link.send(SUBMIT, seal="", handle=Handle(alias=1), is_urgent=False)
            with pytest.raises(NotSentError):
                await link.send(SUBMIT, seal="", handle=Handle(alias=1), is_urgent=False)
            return report

    assert outcomes(asyncio.run(run())) == [1, 3, 0, 0, 0]


def test_refusal_is_a_refusal() -> None:
    """The status comes out by its name."""

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        return smpp.Pdu(smpp.BroadcastSmResp(), pdu.sequence_number, 0x10D)

    async def run() -> None:
        async with connected(answer) as (link, _):
            await link.send(BROADCAST, seal="", handle=Handle(alias=1), is_urgent=False)

    with pytest.raises(RejectedError, match="ESME_RBCASTFAIL"):
        asyncio.run(run())


class FakeTime:
    """Notes how long a link waits before it tries again, and does not wait."""

    def __init__(self, enough: int) -> None:
        self.waits: list[float] = []
        self.done = asyncio.Event()
        self._enough = enough
        self._real = asyncio.sleep

    async def sleep(self, seconds: float) -> None:
        """Go on at once."""
        self.waits.append(seconds)
        if len(self.waits) == self._enough:
            self.done.set()
        await self._real(0)


def make(port: int, **changes: Any) -> SmppLink:
    """Give a link to a port of this machine."""
    rules = CARRIER.smpp.model_copy(
        update={"reconnect_delay_min_s": 1, "reconnect_delay_max_s": 60, **changes}
    )
    link = make_link(
        CARRIER.model_copy(update={"smpp": rules}),
        places=[("127.0.0.1", port)],
        system_id="gateway",
        password="secret",
        random=lambda: 0.5,
    )
    assert isinstance(link, SmppLink)
    return link


async def run_until(link: SmppLink, event: asyncio.Event) -> None:
    """Run a link until something has happened."""
    task = asyncio.create_task(link.run())
    async with asyncio.timeout(10):
        await event.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give what links warn of, and what is only for those who look closely."""
    found: list[str] = []

    class Log:
        """Keeps warnings."""

        def bind(self, **_: Any) -> "Log":
            """Be the same."""
            return self

        def info(self, *_: Any) -> None:
            """Look away."""

        def debug(self, text: str) -> None:
            """Keep it too."""
            found.append(text)

        def warning(self, text: str, *rest: str) -> None:
            """Keep it."""
            found.append(text.format(*rest))

    monkeypatch.setattr("cbgateway.carriers.smpp.link.logger", Log())
    return found


async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Refuse every bind: the password is wrong."""
    framer = smpp.Framer()
    with contextlib.suppress(OSError):
        while octets := await reader.read(65536):
            for pdu in framer.receive(octets):
                assert isinstance(pdu, smpp.Pdu)
                reply = smpp.Pdu(smpp.response_to(pdu.body), pdu.sequence_number, 0x0E)
                writer.write(smpp.encode(reply))
    writer.close()


def test_refused_binds_back_off(monkeypatch: pytest.MonkeyPatch, warnings: list[str]) -> None:
    """Each wait is longer up to the carrier's limit, and it is said once."""

    async def run() -> list[float]:
        server = await asyncio.start_server(refusing, "127.0.0.1", 0)
        time = FakeTime(18)
        monkeypatch.setattr(asyncio, "sleep", time.sleep)
        link = make(server.sockets[0].getsockname()[1])
        await run_until(link, time.done)
        assert not link._ready.is_set()
        server.close()
        return time.waits[1:18:2]  # every other one is for the link's turn to connect

    waits = asyncio.run(run())

    assert waits == sorted(waits)
    assert 0 < waits[0] < waits[3] < waits[-1] <= 60
    assert warnings == ["link down: the bind was refused: ESME_RINVPASWD"]


def test_centre_that_is_not_there_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    """Refused, or silent for too long; each said once."""

    async def run() -> list[float]:
        server = await asyncio.start_server(refusing, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        time = FakeTime(4)
        monkeypatch.setattr(asyncio, "sleep", time.sleep)
        await run_until(make(port), time.done)

        async def time_out(*_: Any, **_named: Any) -> None:
            raise TimeoutError

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "create_connection", time_out, raising=False)
        again = FakeTime(2)
        monkeypatch.setattr(asyncio, "sleep", again.sleep)
        await run_until(make(port), again.done)
        return time.waits + again.waits

    waits = asyncio.run(run())

    assert len(waits) >= 6
    assert len(warnings) == 2
    assert "cannot connect" in warnings[0]
    assert warnings[1] == "link down: cannot connect: timed out"


def test_broadcast_is_asked_about() -> None:
    """On the same bind, as everything else."""

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        tlvs = (smpp.Tlv(smpp.TlvTag.MESSAGE_STATE, b"\1"),)
        assert isinstance(pdu.body, smpp.QueryBroadcastSm)
        return smpp.Pdu(
            smpp.QueryBroadcastSmResp(message_id=pdu.body.message_id),
            pdu.sequence_number,
            tlvs=tlvs,
        )

    async def run() -> OnAirReport:
        async with connected(answer) as (link, _):
            return await link.ask(Handle("b-1"))

    assert asyncio.run(run()) == OnAirReport(MessageState.ENROUTE, ())


def test_next_place_of_a_centre_is_tried() -> None:
    """One that does not answer costs a pause, and what comes after it is bound to."""

    async def run() -> list[int]:
        found: list[int] = []

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.append(writer.get_extra_info("sockname")[1])
            framer = smpp.Framer()
            with contextlib.suppress(OSError):
                while octets := await reader.read(65536):
                    for pdu in framer.receive(octets):
                        assert isinstance(pdu, smpp.Pdu)
                        writer.write(smpp.encode(accept(pdu)))
            writer.close()

        gone, there = [await asyncio.start_server(converse, "127.0.0.1", 0) for _ in range(2)]
        ports = [one.sockets[0].getsockname()[1] for one in (gone, there)]
        gone.close()
        link = make_link(
            CARRIER,
            places=[("127.0.0.1", port) for port in ports],
            system_id="gateway",
            password="secret",
            random=lambda: 0.0,
        )
        task = asyncio.create_task(link.run())
        async with asyncio.timeout(10):
            await link.wait_ready()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        there.close()
        assert found == ports[1:]
        return found

    assert len(asyncio.run(run())) == 1


def test_binds_begin_at_different_places() -> None:
    """So that they are spread over those that are there."""
    endpoint = Endpoint((("a", 1), ("b", 2), ("c", 3)), Credentials("gateway", "secret"))

    assert [endpoint.turned(count).places[0][0] for count in range(4)] == ["a", "b", "c", "a"]
    assert endpoint.turned(1).places == (("b", 2), ("c", 3), ("a", 1))


def test_draining_link_sends_nothing_new() -> None:
    """What waits for its turn when the gateway stops was never sent."""
    held = asyncio.Event()

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        held.set()
        return smpp.Pdu(smpp.EnquireLink(), 99)

    async def run() -> list[str]:
        async with connected(answer, window_requests_max=1) as (link, seen):
            first, second = (
                asyncio.create_task(
                    link.send(BROADCAST, seal="", handle=Handle(alias=1), is_urgent=False)
                )
                for _ in range(2)
            )
            await held.wait()
            link.drain()
            first.cancel()
            with pytest.raises(NotSentError, match="stopping"):
                await second
            with pytest.raises(NotSentError, match="stopping"):
                await link.send(BROADCAST, seal="", handle=Handle(alias=1), is_urgent=True)
            return [smpp.name_of(pdu.body) for pdu in seen]

    assert asyncio.run(run()).count("broadcast_sm") == 1


def test_draining_leaves_the_rest_of_a_chunk_unsent() -> None:
    """The one that was answered is accepted, those behind it stay for the next process."""
    links: list[SmppLink] = []

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        links[0].drain()
        return accept(pdu)

    async def run() -> Any:
        async with connected(answer, window_requests_max=1) as (link, _):
            links.append(link)
            return await link.send(SUBMIT, seal="", handle=Handle(alias=1), is_urgent=False)

    assert outcomes(asyncio.run(run())) == [Outcome.ACCEPTED] + [Outcome.UNSENT] * 4


def test_late_answer_for_nobody_is_dropped() -> None:
    """Whoever asked was cancelled; the link goes on with the next request."""
    held: list[smpp.Pdu] = []
    begun = asyncio.Event()

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        if held:
            return accept(pdu)
        held.append(pdu)
        begun.set()
        return smpp.Pdu(smpp.EnquireLink(), 99)

    async def run() -> Any:
        async with connected(answer, window_requests_max=2) as (link, _):
            lost = asyncio.create_task(
                link.send(BROADCAST, seal="", handle=Handle(alias=1), is_urgent=False)
            )
            await begun.wait()
            lost.cancel()
            await asyncio.gather(lost, return_exceptions=True)
            late = smpp.Pdu(smpp.response_to(held[0].body), held[0].sequence_number)
            link._pump.data_received(smpp.encode(late))  # type: ignore[union-attr]
            return await link.send(BROADCAST, seal="", handle=Handle("b"), is_urgent=False)

    assert asyncio.run(run()) is not None


def test_lost_link_tells_nobody_who_has_gone() -> None:
    """A request whose sender was cancelled is unanswered for nobody."""
    begun = asyncio.Event()

    def answer(pdu: smpp.Pdu) -> smpp.Pdu | None:
        begun.set()
        return smpp.Pdu(smpp.EnquireLink(), 99)

    async def run() -> None:
        async with connected(answer) as (link, _):
            lost = asyncio.create_task(
                link.send(BROADCAST, seal="", handle=Handle(alias=1), is_urgent=False)
            )
            await begun.wait()
            lost.cancel()
            await asyncio.gather(lost, return_exceptions=True)
            pump = link._pump
            assert pump is not None
            pump.abort()
            await pump.closed
            await link.wait_ready()

    asyncio.run(run())


def test_goodbye_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    """A centre that does not answer unbind is left."""
    monkeypatch.setattr("cbgateway.carriers.smpp.link.UNBIND_TIMEOUT_S", 0.01)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = smpp.Framer()
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                for pdu in framer.receive(octets):
                    if isinstance(pdu.body, smpp.BindTransmitter):  # type: ignore[union-attr]
                        writer.write(smpp.encode(accept(pdu)))  # type: ignore[arg-type]
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(converse, "127.0.0.1", 0)
        link = make(server.sockets[0].getsockname()[1])
        await run_until(link, link._ready)
        server.close()

    asyncio.run(run())

    assert "no answer to unbind" in warnings


def test_unknown_event_is_a_bug() -> None:
    """It is not passed over."""

    async def run() -> None:
        make(1)._on_event("surprise")

    with pytest.raises(AssertionError, match="surprise"):
        asyncio.run(run())
