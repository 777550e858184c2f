"""What the tests share: a clock that stands still, and a gateway with two people in a folder."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from cbgateway.app import Gateway, init_home
from cbgateway.domain.bulletin import Mode
from cbgateway.domain.delivery import BulletinRecord
from cbgateway.domain.orders import BroadcastReport, Submit
from cbgateway.domain.outcomes import Outcome
from cbgateway.domain.people import Permission
from cbgateway.home import ballast_of
from cbgateway.service.outbox import Answers, Outbox
from cbgateway.settings import FILE_NAME, load_settings
from cbgateway.signing.keys import SigningKey
from tests.enquirers import SETTINGS as ANSWERING
from tests.enquirers import Enquirers
from tests.front import Front, serving

settings.register_profile(
    "ci",
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")

BAD_INPUTS = re.compile(r"tests/conformance/test_bad_(\w+)\.py::")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many bad inputs were tried: the tests of the catalogue that have passed."""
    passed = [BAD_INPUTS.match(one.nodeid) for one in terminalreporter.stats.get("passed", ())]
    tried = Counter(match[1] for match in passed if match is not None)
    if tried:
        parts = ", ".join(f"{what} {count}" for what, count in sorted(tried.items()))
        terminalreporter.write_line(f"bad inputs refused: {tried.total()} ({parts})")


NOON = datetime(2021, 10, 25, 3, 0, tzinfo=UTC)
KOREAN = "[과기정통부] 11:16부터 전국 KT 인터넷·통화 장애. 원인 확인 중. 다음 안내 12:00"
ENGLISH = "[MSIT] KT outage nationwide since 11:16. Next update 12:00"


@dataclass
class FakeClock:
    """Shows the time it is told."""

    at: datetime = NOON
    jumped_s: float = 0.0

    def now(self) -> datetime:
        """Give the time."""
        return self.at

    def monotonic_s(self) -> float:
        """Give seconds that go on with the time."""
        return (self.at - NOON).total_seconds() - self.jumped_s

    def jump(self, seconds: float) -> None:
        """Show another time without any having passed."""
        self.at += timedelta(seconds=seconds)
        self.jumped_s += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


PERMISSION = set(Permission.__dataclass_fields__)


@dataclass
class Office:
    """A gateway with two people: alice submits, bob approves."""

    gateway: Gateway
    clock: FakeClock
    keys: dict[str, SigningKey]
    carrier: str = "kt"
    close_radio: Callable[[], object] = lambda: None
    _count: int = field(default=0)

    def document(self, **changes: Any) -> dict[str, Any]:
        """Give a sound first bulletin, changed as asked; None takes a member out."""
        self._count += 1
        document: dict[str, Any] = {
            "schema": 1,
            "identifier": f"b-{self._count}",
            "sender": "alice",
            "incident": {
                "id": "inc-1",
                "carrier": self.carrier,
                "services": ["voice"],
                "started_at": "2021-10-25T11:16:00+09:00",
            },
            "kind": "first",
            "regions": ["KR-26"],
            "texts": {"ko": KOREAN, "en": ENGLISH},
            "next_update": "PT30M",
        }
        document |= changes
        return {name: value for name, value in document.items() if value is not None}

    def later(self, kind: str, **changes: Any) -> dict[str, Any]:
        """Give a sound later bulletin of the same incident."""
        changes = {"incident": "inc-1", "kind": kind} | changes
        if kind in {"restored", "withdrawal"}:
            changes.setdefault("next_update", None)
        if kind == "withdrawal":
            changes.setdefault("texts", None)
        return self.document(**changes)

    def submit(self, document: dict[str, Any], *, by: str = "alice") -> BulletinRecord:
        """Have somebody submit a document."""
        return self.gateway.submit(json.dumps(document).encode(), key=self.keys[by])

    def approve(self, bulletin_id: str, *, by: str = "bob") -> BulletinRecord:
        """Have somebody approve a bulletin as it stands now."""
        prepared = self.gateway.prepare(bulletin_id)
        return self.gateway.approve(prepared, key=self.keys[by], confirmation=prepared.confirmation)

    def add(self, name: str, **rights: Any) -> SigningKey:
        """Register somebody; permissions that are not given are the widest."""
        places = {"regions": ("KR",), "classes": ("safety", "emergency", "critical")}
        permission = Permission(
            **places | {k: rights.pop(k) for k in list(rights) if k in PERMISSION}
        )
        rights = {"may_submit": False, "may_approve": False} | rights
        _, path = self.gateway.keyring.add_person(name, permission=permission, **rights)
        self.keys[name] = SigningKey.load(path)
        return self.keys[name]

    def send(self, peer: str = "kt") -> list[Any]:
        """Have a peer accept everything that is due; gives the orders."""
        outbox, now = Outbox(self.gateway.deployment), self.clock.now()
        orders = []
        with self.gateway.store.transaction() as tx:
            while leased := outbox.lease(tx, peer, now=now, limit=16, with_sms=True, rank_max=99):
                for one in leased:
                    orders.append(one.order)
                    if isinstance(one.order, Submit):
                        self._send_chunk(outbox, tx, one)
                    else:
                        report = BroadcastReport(f"ref-{one.order.bulletin_id}")
                        outbox.acknowledge(tx, one, report, now=now)
        return orders

    def _send_chunk(self, outbox: Outbox, tx: Any, leased: Any) -> None:
        stream, answers = outbox.open_stream(leased, leased.order), None
        now = self.clock.now()
        while outbox.next_window(tx, stream, answers, size=10, now=now, jitter=0.5):
            answers = Answers(bytes([Outcome.ACCEPTED]) * len(stream.window), {})

    def issue(self, document: dict[str, Any]) -> BulletinRecord:
        """Submit and approve a document."""
        return self.approve(self.submit(document).bulletin.bulletin_id)


@pytest.fixture
def clock() -> FakeClock:
    """Give a clock that shows noon in Korea on 25 October 2021."""
    return FakeClock()


@pytest.fixture
def make_office(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Office]]:
    """Give a maker of offices, each in a folder of its own; they are closed at the end."""
    open_gateways: list[Any] = []

    def make(*, mode: Mode = Mode.TEST, name: str = "gateway", more: str = "") -> Office:
        home = tmp_path / name
        ports = {"kt": 2775, "skt": 2776, "lguplus": 2777}
        settings = init_home(home, mode=mode, country="kr", ports=ports, clock=clock)
        ballast_of(settings).release()
        text = (home / FILE_NAME).read_text("utf-8")
        smaller = re.sub("ballast_mib = .*", "ballast_mib = 0.0625", text)
        (home / FILE_NAME).write_text(smaller + more, "utf-8")
        ballast_of(load_settings(home)).hold()
        manager = Gateway.open(home, clock=clock)
        gateway = manager.__enter__()
        open_gateways.append(manager)
        office = Office(gateway, clock, {})
        office.add("alice", may_submit=True)
        office.add("bob", may_approve=True)
        return office

    yield make
    for manager in open_gateways:
        manager.__exit__(None, None, None)


@pytest.fixture
def office(make_office: Callable[..., Office]) -> Office:
    """Give a gateway in mode test, with alice and bob."""
    return make_office()


@pytest.fixture
def enquirers(make_office: Callable[..., Office]) -> Enquirers:
    """Give people who ask a gateway that answers, with alice and bob."""
    return Enquirers(make_office(more=ANSWERING))


@pytest.fixture
def front(office: Office) -> Iterator[Front]:
    """Give the office's HTTP interface on a socket of its own."""
    with serving(office) as one:
        yield one
