"""Bad-input catalogue 17 and 21 to 29: who signed, may they, and was it said before."""

import hmac
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cbgateway.app import Gateway
from cbgateway.cli.common import exit_code
from cbgateway.domain.errors import GatewayError, StaleError
from cbgateway.interfaces.schema import parse_bulletin
from cbgateway.service import approval, intake
from cbgateway.signing.canonical import canonical, encode_base64url
from cbgateway.signing.jws import sign_detached
from cbgateway.signing.keys import SigningKey
from tests.conformance.catalogue import (
    FIRST,
    Refusal,
    check_refused,
    done,
    key_of,
    make_home,
    tally,
)

NOT_TRUSTED = Refusal("signature-invalid", 5, "^key '[^']+' is not known or not trusted here$")


@dataclass(frozen=True, slots=True)
class Desk:
    """A gateway in a folder, and a bulletin in a file."""

    home: Path
    path: Path

    def key(self, name: str) -> Path:
        """Give where somebody's key is."""
        return key_of(self.home, name)

    def new_key(self) -> Path:
        """Make a key that nobody has registered."""
        path = self.path.with_suffix(".pem")
        SigningKey.generate().save(path)
        return path

    def run(self, *arguments: object) -> Any:
        """Run a command that ends well."""
        return done(*arguments, "--home", self.home)

    def submit(self, key: Path | None = None, **changes: Any) -> tuple[object, ...]:
        """Give the command that submits the sound bulletin, changed as asked."""
        self.path.write_text(json.dumps(FIRST | changes))
        return ("bulletin", "submit", self.path, "--key", key or self.key("alice"))

    def approve(self, key: Path | None = None) -> tuple[object, ...]:
        """Give the command that approves it."""
        return ("bulletin", "approve", "inc-1/1", "--key", key or self.key("bob"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a gateway with alice and bob that is copied, or that nothing is stored in."""
    return make_home(tmp_path_factory.mktemp("authority") / "lab")


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Desk:
    """Give a gateway of the test's own."""
    return Desk(shutil.copytree(made, tmp_path / "lab"), tmp_path / "bulletin.json")


@dataclass(frozen=True, slots=True)
class Open:
    """An open gateway, with the keys of its people."""

    gateway: Gateway
    keys: Mapping[str, SigningKey]


@pytest.fixture(scope="module")
def opened(made: Path) -> Iterator[Open]:
    """Give a gateway that all signatures are tried on: none of them may leave anything in it."""
    keys = {name: SigningKey.load(key_of(made, name)) for name in ("alice", "bob")}
    with Gateway.open(made) as gateway:
        yield Open(gateway, keys)


def _revoked_key(desk: Desk) -> tuple[object, ...]:
    key_id = SigningKey.load(desk.key("alice")).key_id
    desk.run("keys", "revoke", key_id)
    return desk.submit()


def _ended_key(desk: Desk) -> tuple[object, ...]:
    desk.run("keys", "rotate", "alice", "--overlap-hours", 0)
    return desk.submit()


def _disabled(desk: Desk) -> tuple[object, ...]:
    desk.run("keys", "revoke", "alice")
    return desk.submit()


def _then(first: Callable[[Desk], tuple[object, ...]]) -> Callable[[Desk], Desk]:
    def ready(desk: Desk) -> Desk:
        desk.run(*first(desk))
        return desk

    return ready


_submitted = _then(Desk.submit)


def _disabled_approver(desk: Desk) -> tuple[object, ...]:
    _submitted(desk).run("keys", "revoke", "bob")
    return desk.approve()


def _approved_twice(desk: Desk) -> tuple[object, ...]:
    _submitted(desk).run(*desk.approve())
    return desk.approve()


def _said_twice(desk: Desk) -> tuple[object, ...]:
    incident = FIRST["incident"] | {"id": "inc-2"}
    return _submitted(desk).submit(identifier="b-2", incident=incident)


def _cli() -> Iterator[tuple[str, Callable[[Desk], tuple[object, ...]], Refusal]]:
    def signature(words: str) -> Refusal:
        return Refusal("signature-invalid", 5, words)

    def denied(words: str) -> Refusal:
        return Refusal("permission-denied", 3, words)

    yield (
        "17-identifier-reused",
        lambda desk: _submitted(desk).submit(regions=["KR-11"]),
        Refusal("identifier-reused", 3, "'b-1' for inc-1/1 with other content"),
    )
    yield "17-same-said-twice", _said_twice, Refusal("duplicate", 3, "in inc-1/1 at ")
    yield "21-unknown-key", lambda desk: desk.submit(desk.new_key()), NOT_TRUSTED
    yield "22-revoked-key", _revoked_key, NOT_TRUSTED
    yield "22-ended-key", _ended_key, NOT_TRUSTED
    yield "22-disabled-person", _disabled, denied("permissions of 'alice' were revoked")
    yield "22-disabled-approver", _disabled_approver, denied("permissions of 'bob' were revoked")
    yield "22-unknown-approver", lambda desk: _submitted(desk).approve(desk.new_key()), NOT_TRUSTED
    yield (
        "22-sender-is-another",
        lambda desk: desk.submit(desk.key("bob")),
        signature("names sender 'alice', but somebody else signed it"),
    )
    yield (
        "22-approver-submits",
        lambda desk: desk.submit(desk.key("bob"), sender="bob"),
        denied("'bob' may not submit"),
    )
    yield (
        "27-approve-own",
        lambda desk: _submitted(desk).approve(desk.key("alice")),
        Refusal("same-person", 3, "'alice' wrote or submitted this bulletin"),
    )
    yield "27-approve-twice", _approved_twice, Refusal("workflow", 3, "approved")
    yield "27-approve-nothing", Desk.approve, Refusal("unknown-name", 3, "bulletin 'inc-1/1'")


CLI = {name: (prepare, refusal) for name, prepare, refusal in _cli()}


@pytest.mark.parametrize("name", CLI)
def test_refused_by_name_and_nothing_is_stored(name: str, desk: Desk) -> None:
    """Whoever may not is told why; no row more, and none less."""
    prepare, refusal = CLI[name]
    arguments = prepare(desk)
    before = tally(desk.home)

    check_refused(refusal, *arguments, "--home", desk.home)

    assert tally(desk.home) == before


def test_22_revoked_and_unknown_keys_are_told_the_same(made: Path, tmp_path: Path) -> None:
    """Nobody learns from the answer whether a key was ever good here."""
    details = []
    for name, prepare in (("revoked", _revoked_key), ("ended", _ended_key), ("unknown", None)):
        desk = Desk(shutil.copytree(made, tmp_path / name), tmp_path / f"{name}.json")
        arguments = desk.submit(desk.new_key()) if prepare is None else prepare(desk)
        key_id = SigningKey.load(Path(str(arguments[-1]))).key_id
        problem = check_refused(NOT_TRUSTED, *arguments, "--home", desk.home)
        details.append({k: str(v).replace(key_id, "KEY") for k, v in problem.items()})

    assert details[0] == details[1] == details[2]


def test_25_replayed_document_gives_the_same_answer(desk: Desk) -> None:
    """Also with its members in another order: nothing is stored, nothing is told twice."""
    arguments = desk.submit()
    first = desk.run(*arguments)
    before = tally(desk.home)

    again = desk.run(*arguments)
    desk.path.write_text(json.dumps(dict(reversed(FIRST.items())), indent=4))
    reordered = desk.run(*arguments)

    assert first == again == reordered
    assert tally(desk.home) == before


def forged(office: Any, header: Mapping[str, Any], *, by: str = "alice") -> str:
    """Sign the sound document under another header."""
    encoded = encode_base64url(canonical(header))
    signed = encoded.encode() + b"." + canonical(FIRST)
    return f"{encoded}..{encode_base64url(office.keys[by].sign(signed))}"


def _header(office: Any, **changes: Any) -> dict[str, Any]:
    header = {
        "alg": "Ed25519",
        "b64": False,
        "crit": ["b64"],
        "kid": office.keys["alice"].key_id,
        "typ": intake.SUBMISSION,
    } | changes
    return {name: value for name, value in header.items() if value is not None}


def _hmac(office: Any) -> str:
    encoded = encode_base64url(canonical(_header(office, alg="HS256")))
    signed = encoded.encode() + b"." + canonical(FIRST)
    mac = hmac.digest(office.keys["alice"].public_key, signed, "sha256")
    return f"{encoded}..{encode_base64url(mac)}"


def _unsigned(office: Any) -> str:
    return encode_base64url(canonical(_header(office, alg="none"))) + ".."


def _signed(office: Any, content: str = intake.SUBMISSION, **changes: Any) -> str:
    return sign_detached(canonical(FIRST | changes), office.keys["alice"], content=content)


def _attached(office: Any) -> str:
    header, _, signature = _signed(office).split(".")
    return f"{header}.{encode_base64url(canonical(FIRST))}.{signature}"


SIGNATURES: Mapping[str, tuple[Callable[[Any], str], str]] = {
    "21-no-signature": (lambda office: "", "compact form"),
    "21-not-a-signature": (lambda office: "Bearer abc", "compact form"),
    "21-not-ascii": (lambda office: _signed(office) + "\u200b", "compact form"),
    "21-16-kib": (lambda office: "a" * 16_384 + "..", "compact form"),
    "23-over-another-document": (lambda office: _signed(office, regions=["KR-11"]), "not belong"),
    "23-for-another-purpose": (lambda office: _signed(office, approval.DECISION), "header"),
    "23-cut": (lambda office: _signed(office)[:-2], "does not belong"),
    "23-with-padding": (lambda office: _signed(office) + "==", "base64url"),
    "23-document-inside": (_attached, "carries no payload"),
    "26-alg-none": (_unsigned, "header"),
    "26-alg-hs256-with-the-public-key": (_hmac, "header"),
    "26-alg-eddsa": (lambda office: forged(office, _header(office, alg="EdDSA")), "header"),
    "26-alg-missing": (lambda office: forged(office, _header(office, alg=None)), "header"),
    "26-kid-of-another": (lambda office: forged(office, _header(office), by="bob"), "not belong"),
    "26-kid-missing": (lambda office: forged(office, _header(office, kid=None)), "header"),
    "26-kid-is-a-path": (lambda office: forged(office, _header(office, kid="../x")), "not known"),
    "26-key-in-the-header": (lambda office: forged(office, _header(office, jwk={})), "header"),
    "26-payload-encoded": (lambda office: forged(office, _header(office, b64=True)), "header"),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature_is_refused_and_nothing_is_stored(name: str, opened: Open) -> None:
    """Whatever a message says of how it is to be checked, it is checked in one way."""
    make, words = SIGNATURES[name]
    gateway, now = opened.gateway, opened.gateway.clock.now()
    request = parse_bulletin(json.dumps(FIRST).encode())
    signature = make(opened)
    before = tally(gateway.home)

    with (
        pytest.raises(GatewayError, match=words) as refused,
        gateway.store.transaction() as tx,
    ):
        intake.submit(tx, gateway.deployment, request, signature=signature, now=now)

    assert (refused.value.code, exit_code(refused.value)) == ("signature-invalid", 5)
    assert tally(gateway.home) == before


def test_23_sound_signature_is_taken(office: Any) -> None:
    """Else the refusals above would say nothing."""
    gateway, now = office.gateway, office.clock.now()
    request = parse_bulletin(json.dumps(FIRST).encode())

    with gateway.store.transaction() as tx:
        by_hand = forged(office, _header(office))
        record = intake.submit(tx, gateway.deployment, request, signature=by_hand, now=now)

    assert record.bulletin.bulletin_id == "inc-1/1"


def test_28_approval_after_an_edit_is_void(office: Any) -> None:
    """What was looked at is not what would go out; nothing is sent, and one may look again."""
    gateway, clock = office.gateway, office.clock
    gateway.submit(json.dumps(FIRST).encode(), key=office.keys["alice"])
    prepared = gateway.prepare("inc-1/1")
    gateway.give_back("inc-1/1", reason="name the city", key=office.keys["bob"])
    better = FIRST | {"identifier": "b-2", "texts": {"ko": "[과기정통부] 부산 통신 장애"}}
    gateway.revise("inc-1/1", json.dumps(better).encode(), key=office.keys["alice"])
    clock.advance(1)
    before = tally(gateway.home)

    with pytest.raises(StaleError, match="look again") as refused:
        gateway.approve(prepared, key=office.keys["bob"])

    assert (refused.value.code, exit_code(refused.value)) == ("stale", 3)
    assert tally(gateway.home) == before
    assert office.approve("inc-1/1").bulletin.texts == better["texts"]


def test_28_approval_of_another_plan_is_void(office: Any) -> None:
    """An approver's signature is over the plan: with another plan it belongs to nothing."""
    gateway = office.gateway
    gateway.submit(json.dumps(FIRST).encode(), key=office.keys["alice"])
    prepared = gateway.prepare("inc-1/1")
    fewer = replace(prepared, plan=replace(prepared.plan, orders=prepared.plan.orders[:1]))
    before = tally(gateway.home)
    at = office.clock.now()
    document = approval.approval_document("inc-1/1", prepared.plan.hash(), at=at, confirmation="")
    signature = sign_detached(canonical(document), office.keys["bob"], content=approval.DECISION)

    with pytest.raises(GatewayError) as refused, gateway.store.transaction() as tx:
        approval.approve(
            tx,
            gateway.deployment,
            gateway.marks,
            fewer,
            approval.Approval(at, "", signature),
            seal_keys={},
            now=at,
        )

    assert refused.value.code == "signature-invalid"
    assert tally(gateway.home) == before
