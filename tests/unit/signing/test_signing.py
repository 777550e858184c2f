"""Signatures: one canonical form, one algorithm, keys nobody else reads, seals that say enough."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OKPKey

from cbgateway.domain.broadcast import Broadcast, GeographicalScope, Page, SerialNumber
from cbgateway.domain.bulletin import Bulletin, BulletinKind, Mode
from cbgateway.domain.errors import (
    AuditError,
    InputError,
    KeyUnusableError,
    SignatureInvalidError,
)
from cbgateway.domain.orders import Area, Stop, Submit, WriteReplace
from cbgateway.domain.people import Key
from cbgateway.signing import tlog
from cbgateway.signing.canonical import canonical, decode_base64url, encode_base64url
from cbgateway.signing.jws import sign_compact, sign_detached, verify_compact, verify_detached
from cbgateway.signing.keys import SigningKey, key_id_of
from cbgateway.signing.seal import CONTENT, check_seal, make_seal, open_seal

KEY = SigningKey.generate()
OTHER = SigningKey.generate()


def lookup(key_id: str) -> bytes | None:
    """Know one key."""
    return KEY.public_key if key_id == KEY.key_id else None


def oracle_key() -> OKPKey:
    """Give the key as an independent library reads it."""
    return OKPKey.import_key(
        {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(KEY.public_key)}
    )


def test_canonical_form_sorts_and_escapes() -> None:
    """RFC 8785: keys by UTF-16 units, no spaces, numbers as ECMAScript writes them."""
    document = {"b": 1.0, "a": [True, None, "é\n"], "\U0001f600": 1, "\ufb33": 2}

    expected = '{"a":[true,null,"é\\n"],"b":1,"\U0001f600":1,"\ufb33":2}'
    assert expected.encode() == canonical(document)


@given(
    document=st.dictionaries(
        st.text(max_size=3),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.integers(-(2**54), 2**54),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_canonical_form_is_that_of_the_reference(document: dict[str, Any]) -> None:
    """Whatever writes it, the octets are the same, and the same is refused."""
    try:
        expected = rfc8785.dumps(document)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        with pytest.raises(InputError):
            canonical(document)
    else:
        assert canonical(document) == expected


@pytest.mark.parametrize("document", [{"n": float("nan")}, {"n": 2**60}, {"s": "\ud800"}])
def test_what_has_no_canonical_form_is_an_input_error(document: dict[str, Any]) -> None:
    """Numbers and strings that JSON cannot carry everywhere are refused."""
    with pytest.raises(InputError, match="canonical"):
        canonical(document)


@given(st.binary(max_size=100))
def test_base64url_round_trip_is_unique(octets: bytes) -> None:
    """What was written reads back, and padding is no second way to write it."""
    text = encode_base64url(octets)

    assert octets == decode_base64url(text)
    with pytest.raises(ValueError, match=r".+"):
        decode_base64url(text + "=")


def test_key_id_is_the_jwk_thumbprint() -> None:
    """An independent library names the key the same (RFC 7638)."""
    assert oracle_key().thumbprint().startswith(key_id_of(KEY.public_key))


@given(st.binary(max_size=500))
def test_compact_signature_is_read_by_another_library(payload: bytes) -> None:
    """Our JWS is anybody's JWS."""
    token = sign_compact(payload, KEY, content="test")

    found = jws.deserialize_compact(token, oracle_key(), algorithms=["Ed25519"])

    assert payload == found.payload
    assert (payload, KEY.key_id) == verify_compact(token, lookup, content="test")


def test_compact_signature_of_another_library_is_read() -> None:
    """A JWS made elsewhere with our header verifies."""
    private = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": encode_base64url(KEY.public_key),
        "d": encode_base64url(KEY._private.private_bytes_raw()),
    }
    header = {"alg": "Ed25519", "kid": KEY.key_id, "typ": "test"}
    token = jws.serialize_compact(
        header, b"payload", OKPKey.import_key(private), algorithms=["Ed25519"]
    )

    assert verify_compact(token, lookup, content="test")[0] == b"payload"


@given(st.binary(min_size=1, max_size=300), st.data())
def test_any_changed_character_is_found(payload: bytes, data: st.DataObject) -> None:
    """One changed character anywhere in a signature is refused, never another error."""
    token = sign_detached(payload, KEY, content="test")
    at = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters(codec="ascii").filter(lambda c: c != token[at]))

    with pytest.raises(SignatureInvalidError):
        verify_detached(token[:at] + character + token[at + 1 :], payload, lookup, content="test")


@given(st.text(max_size=200))
def test_any_text_is_no_signature(text: str) -> None:
    """Whatever comes is refused by name."""
    with pytest.raises(SignatureInvalidError):
        verify_compact(text, lookup, content="test")
    with pytest.raises(SignatureInvalidError):
        verify_detached(text, b"", lookup, content="test")


def header(**members: Any) -> str:
    """Sign something with a header of our choice."""
    encoded = encode_base64url(json.dumps(members).encode())
    signed = f"{encoded}.{encode_base64url(b'{}')}"
    return f"{signed}.{encode_base64url(KEY.sign(signed.encode()))}"


@pytest.mark.parametrize(
    "members",
    [
        {"alg": "none", "kid": KEY.key_id, "typ": "test"},
        {"alg": "HS256", "kid": KEY.key_id, "typ": "test"},
        {"alg": "EdDSA", "kid": KEY.key_id, "typ": "test"},
        {"alg": "Ed25519", "typ": "test"},
        {"alg": "Ed25519", "kid": 7, "typ": "test"},
        {"alg": "Ed25519", "kid": OTHER.key_id, "typ": "test"},
        {"alg": "Ed25519", "kid": KEY.key_id, "typ": "another"},
        {"alg": "Ed25519", "kid": KEY.key_id, "typ": "test", "crit": ["exp"], "exp": 1},
        {"alg": "Ed25519", "kid": KEY.key_id, "typ": "test", "jwk": {}},
    ],
)
def test_header_may_say_nothing_else(members: dict[str, Any]) -> None:
    """A message never chooses how it is checked."""
    with pytest.raises(SignatureInvalidError):
        verify_compact(header(**members), lookup, content="test")


def test_detached_signature_binds_payload_and_content() -> None:
    """A signature for one thing is none for another."""
    token = sign_detached(b"payload", KEY, content="test")

    assert verify_detached(token, b"payload", lookup, content="test") == KEY.key_id
    with pytest.raises(SignatureInvalidError):
        verify_detached(token, b"payloaD", lookup, content="test")
    with pytest.raises(SignatureInvalidError):
        verify_detached(token, b"payload", lookup, content="another")
    attached = sign_compact(b"payload", KEY, content="test")
    with pytest.raises(SignatureInvalidError, match="carries no payload"):
        verify_detached(attached, b"payload", lookup, content="test")


def test_key_file_round_trip_is_private(tmp_path: Path) -> None:
    """A saved key is the same key, readable by its owner alone, and never overwritten."""
    path = tmp_path / "keys" / "key.pem"
    KEY.save(path)

    assert SigningKey.load(path).key_id == KEY.key_id
    assert path.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(KEY)
    with pytest.raises(KeyUnusableError, match="exists"):
        KEY.save(path)
    path.chmod(0o640)
    with pytest.raises(KeyUnusableError, match="chmod 600"):
        SigningKey.load(path)


def test_unusable_key_files_are_named(tmp_path: Path) -> None:
    """No file, no key, and a key of another kind each say what they are."""
    garbage = tmp_path / "garbage.pem"
    garbage.write_bytes(b"nothing")
    garbage.chmod(0o600)
    curve = tmp_path / "curve.pem"
    curve.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    curve.chmod(0o600)

    with pytest.raises(KeyUnusableError, match="No such file"):
        SigningKey.load(tmp_path / "missing.pem")
    with pytest.raises(KeyUnusableError, match="not a private key"):
        SigningKey.load(garbage)
    with pytest.raises(KeyUnusableError, match="not an Ed25519 key"):
        SigningKey.load(curve)


@pytest.fixture
def bulletin(clock: Any) -> Bulletin:
    """Give a bulletin with a text in Korean."""
    return Bulletin(
        bulletin_id="inc-1/1",
        incident_id="inc-1",
        number=1,
        kind=BulletinKind.FIRST,
        sender="alice",
        identifier="b-1",
        alert_class="safety",
        regions=("KR-26",),
        texts={"ko": "장애"},
        sent=clock.now(),
        expires=clock.now() + timedelta(hours=1),
        next_update_at=None,
        references=(),
        mode=Mode.TEST,
    )


def broadcast(text: str = "장애", update_number: int = 0) -> Broadcast:
    """Give a broadcast of one page."""
    serial = SerialNumber(GeographicalScope.PLMN, 7, update_number)
    return Broadcast("ko", 4372, serial, 0x48, text, (Page(bytes(82), 4),))


def orders(bulletin: Bulletin, **changes: Any) -> list[Any]:
    """Give one order of each kind, changed as asked."""
    common: dict[str, Any] = {
        "bulletin_id": bulletin.bulletin_id,
        "alert_class": "safety",
        "area": Area("KR-26", {"en": "Busan"}),
        "expires_at": bulletin.expires,
    } | {
        name: value
        for name, value in changes.items()
        if name in {"area", "expires_at", "bulletin_id"}
    }
    return [
        WriteReplace(
            **common,
            broadcast=changes.get("broadcast", broadcast()),
            repetition_period_s=30,
            number_of_broadcasts=2,
        ),
        Submit(
            **common,
            language="ko",
            text=changes.get("text", "장애"),
            recipients=("821012345678",),
        ),
        Stop(**common, message_identifier=4372, message_code=7),
    ]


def test_seal_belongs_to_what_it_was_made_for(bulletin: Bulletin) -> None:
    """Orders of every kind for the sealed bulletin pass; a region's key alone makes a seal."""
    keys = [Key(KEY.key_id, "KR-26", KEY.public_key, datetime(2021, 1, 1, tzinfo=UTC))]
    seal = open_seal(make_seal(bulletin, "KR-26", [broadcast()], KEY), keys)

    assert seal.key_id == KEY.key_id
    for order in orders(bulletin):
        check_seal(order, seal)
    with pytest.raises(SignatureInvalidError, match="not known"):
        open_seal(make_seal(bulletin, "KR-26", [broadcast()], OTHER), keys)
    with pytest.raises(SignatureInvalidError, match="belongs to region KR-26, not KR-11"):
        open_seal(make_seal(bulletin, "KR-11", [broadcast()], KEY), keys)


@pytest.mark.parametrize(
    ("index", "changes", "names"),
    [
        (0, {"broadcast": broadcast("장해")}, "text"),
        (0, {"broadcast": broadcast(update_number=1)}, "serial number"),
        (1, {"text": "장해"}, "text"),
        (2, {"bulletin_id": "inc-1/2"}, "bulletin"),
        (0, {"area": Area("KR-11", {})}, "region"),
    ],
)
def test_order_that_differs_from_its_seal_is_refused(
    bulletin: Bulletin, index: int, changes: dict[str, Any], names: str
) -> None:
    """Text, serial number, bulletin and region are sealed; the error says which differs."""
    keys = [Key(KEY.key_id, "KR-26", KEY.public_key, datetime(2021, 1, 1, tzinfo=UTC))]
    seal = open_seal(make_seal(bulletin, "KR-26", [broadcast()], KEY), keys)

    with pytest.raises(SignatureInvalidError, match=names):
        check_seal(orders(bulletin, **changes)[index], seal)


def test_order_that_outlives_its_seal_is_refused(bulletin: Bulletin) -> None:
    """The expiry is sealed too."""
    keys = [Key(KEY.key_id, "KR-26", KEY.public_key, datetime(2021, 1, 1, tzinfo=UTC))]
    seal = open_seal(make_seal(bulletin, "KR-26", [broadcast()], KEY), keys)
    later = bulletin.expires + timedelta(seconds=1)

    with pytest.raises(SignatureInvalidError, match="expiry"):
        check_seal(orders(bulletin, expires_at=later)[2], seal)


@pytest.mark.parametrize(
    "numbers",
    [
        "[1e999, 1]",
        "[4372.0, 1]",
        "[true, 1]",
        '["4372", 1]',
        "[-1, 1]",
        "[65536, 1]",
        "[4372, 1, 2]",
        "4372",
        f"[{'9' * 4_000}, 1]",
    ],
)
def test_seal_whose_numbers_are_none_is_no_seal(numbers: str) -> None:
    """Message identifier and serial number are JSON integers of sixteen bits, nothing like them."""
    keys = [Key(KEY.key_id, "KR-26", KEY.public_key, datetime(2021, 1, 1, tzinfo=UTC))]
    at = "2021-10-25T03:00:00+00:00"
    claims = (
        f'{{"broadcasts":{{"ko":{numbers}}},"bulletin":"inc-1/1","expires":"{at}","kind":"first",'
        f'"mode":"test","region":"KR-26","sent":"{at}","texts":{{}}}}'
    )

    def sealed(text: str) -> str:
        return sign_compact(text.encode(), KEY, content=CONTENT)

    assert open_seal(sealed(claims.replace(numbers, "[65535, 0]")), keys).broadcasts == {
        "ko": (65535, 0)
    }
    with pytest.raises(SignatureInvalidError, match="is not a seal"):
        open_seal(sealed(claims), keys)


ROOT = tlog.root_of([b"a", b"b"])
ENCODED_ROOT = base64.b64encode(ROOT).decode()


def note(size: str, root: str = ENCODED_ROOT) -> str:
    """Sign a checkpoint that says this, whatever it is."""
    body = f"log\n{size}\n{root}\n"
    signature = tlog.key_hash("log", KEY.public_key) + KEY.sign(body.encode())
    return f"{body}\n— log {base64.b64encode(signature).decode()}\n"


def open_note(text: str) -> tlog.Checkpoint:
    """Read a checkpoint of the log that this file's key signs for."""
    return tlog.open_checkpoint(text, origin="log", public_key=KEY.public_key)


@pytest.mark.parametrize("size", ["1_0", "+2", " 2", "02", "-1", "٢", "", "9" * 20, "9" * 5_000])
def test_checkpoint_whose_size_is_no_number_is_refused(size: str) -> None:
    """Decimal digits without a zero in front (tlog-checkpoint), even when they are signed."""
    with pytest.raises(AuditError, match="not a checkpoint"):
        open_note(note(size))


def test_checkpoint_is_read_as_it_was_written() -> None:
    """And refused with half a surrogate pair anywhere, or with a root of another length."""
    written = tlog.sign_checkpoint(tlog.Checkpoint("log", 2, ROOT), KEY)

    assert open_note(written) == open_note(note("2")) == tlog.Checkpoint("log", 2, ROOT)
    assert open_note(note("0")).size == 0
    for at in (0, 4, len(written) - 2):
        with pytest.raises(AuditError, match="not a checkpoint"):
            open_note(written[:at] + "\ud800" + written[at:])
    with pytest.raises(AuditError, match="not signed"):
        open_note(written.replace("log\n", "lag\n"))
    with pytest.raises(AuditError, match="32 octets, not 3"):
        open_note(note("2", "AAAA"))
