"""CAP alerts that somebody tampered with: none is accepted, and the sound one is."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from lxml import etree

from cbgateway.app import Gateway
from cbgateway.domain.errors import GatewayError, InputError, SignatureInvalidError
from cbgateway.signing.xmldsig import DOCUMENT_OCTETS_MAX, sign_enveloped
from tests.conformance.cap_alerts import (
    C14N,
    CAP,
    DS,
    ECDSA,
    ENVELOPED,
    SENDER,
    Identity,
    alert,
    canonical,
    identity,
    information,
    pin,
    rsa_key,
    signature,
    signed,
)
from tests.conftest import Office

EVACUATE = "지금 대피하지 마세요"


@dataclass
class Partner:
    """A gateway that knows one sender."""

    gateway: Gateway
    office: Office
    own: Identity
    other: Identity

    def refuses(self, octets: bytes, error: type[GatewayError], words: str) -> None:
        """Expect a refusal that has stored nothing."""
        with pytest.raises(error, match=words):
            self.gateway.submit_cap(octets)
        with self.gateway.store.read() as tx:
            assert tx.bulletins() == ()
            assert tx.incidents() == ()


@pytest.fixture
def partner(office: Office) -> Iterator[Partner]:
    """Give a gateway that takes in what one sender has signed."""
    office.add("kt_noc", may_submit=True, owner="alice")
    own = identity()
    pin(office.gateway.home, own)
    with Gateway.open(office.gateway.home, clock=office.clock) as gateway:
        yield Partner(gateway, office, own, identity())


def test_sound_alert_is_accepted(partner: Partner) -> None:
    """By the machine that its sender counts as; who answers for that machine may not approve."""
    record = partner.gateway.submit_cap(signed(alert(), partner.own))

    assert record.bulletin.sender == "kt_noc"
    assert record.bulletin.identifier == "KT-1"
    assert record.bulletin.texts["ko"] == "KT 통신장애. 부산 음성·데이터 중단. 유선전화를 쓰세요."


def test_signature_of_the_library_is_accepted(partner: Partner) -> None:
    """What we sign ourselves is in the profile that we check."""
    octets = sign_enveloped(alert(), partner.own.key, partner.own.certificate)

    assert partner.gateway.submit_cap(octets).bulletin.number == 1


def test_comment_inside_signed_text_cannot_cut_it(partner: Partner) -> None:
    """A comment is no part of what was signed; the whole sentence is read."""
    whole = alert(information(instruction=EVACUATE))
    cut = signed(whole, partner.own).replace("대피하지".encode(), "대피<!-- x -->하지".encode())

    assert EVACUATE in partner.gateway.submit_cap(cut).bulletin.texts["ko"]


def nested(partner: Partner) -> bytes:
    """The signed alert inside an unsigned one that says something else."""
    inner = signed(alert(), partner.own).decode()
    forged = alert(information(description="모두 대피하세요"), identifier="KT-9").decode()
    return forged.replace("</alert>", inner + "</alert>").encode()


def hidden(partner: Partner) -> bytes:
    """The signed alert in an Object of the forged one's signature."""
    inner = signed(alert(), partner.own).decode()
    mark = inner[inner.index("<ds:Signature") : inner.index("</alert>")]
    mark = mark.replace("</ds:Signature>", f"<ds:Object>{inner}</ds:Object></ds:Signature>")
    return alert(identifier="KT-9").replace(b"</alert>", mark.encode() + b"</alert>")


def partial(partner: Partner) -> bytes:
    """Only the info block is signed; the header was made a Cancel."""
    octets = alert(information().replace("<info>", '<info Id="signed">'), msgType="Cancel")
    info = etree.fromstring(octets).find(f"{{{CAP}}}info")
    mark = signature(canonical(info), partner.own, uri="#signed")
    return octets.replace(b"</alert>", mark.encode() + b"</alert>")


def partial_without_id(partner: Partner) -> bytes:
    """As before, with the whole of a schema's consent."""
    octets = alert()
    info = etree.fromstring(octets).find(f"{{{CAP}}}info")
    mark = signature(canonical(info), partner.own, uri="#xpointer(//info)")
    return octets.replace(b"</alert>", mark.encode() + b"</alert>")


def twice(partner: Partner) -> bytes:
    """Two signatures, each of them good."""
    octets = signed(alert(), partner.own)
    mark = octets[octets.index(b"<ds:Signature") : octets.index(b"</alert>")]
    return octets.replace(b"</alert>", mark + b"</alert>")


def inside_info(partner: Partner) -> bytes:
    """The signature stands in the info block."""
    octets = signed(alert(), partner.own)
    mark = octets[octets.index(b"<ds:Signature") : octets.index(b"</alert>")]
    return octets.replace(mark, b"").replace(b"</info>", mark + b"</info>")


def changed(partner: Partner) -> bytes:
    """The end was put off after signing."""
    return signed(alert(), partner.own).replace(b"T14:00:00", b"T23:00:00")


def by_another(partner: Partner) -> bytes:
    """Signed by a key that comes with its own certificate."""
    return sign_enveloped(alert(), partner.other.key, partner.other.certificate)


def by_another_as(partner: Partner) -> bytes:
    """Signed by another key, beside the pinned certificate."""
    return sign_enveloped(alert(), partner.other.key, partner.own.certificate)


def unsigned(partner: Partner) -> bytes:
    """Not signed at all."""
    return alert()


def unknown_sender(partner: Partner) -> bytes:
    """Signed by a known key, under a name that is not known."""
    return signed(alert(sender="somebody@else.example"), partner.own)


def with_transform(partner: Partner) -> bytes:
    """A style sheet would choose what is hashed."""
    xslt = "http://www.w3.org/TR/1999/REC-xslt-19991116"
    return signed(alert(), partner.own, transforms=(ENVELOPED, xslt, C14N))


def with_xpath(partner: Partner) -> bytes:
    """An expression would choose what is hashed."""
    xpath = "http://www.w3.org/TR/1999/REC-xpath-19991116"
    return signed(alert(), partner.own, transforms=(ENVELOPED, xpath, C14N))


def with_comments(partner: Partner) -> bytes:
    """The canonical form that keeps comments."""
    octets = alert()
    forms = (ENVELOPED, f"{C14N}WithComments")
    return signed(octets, partner.own, transforms=forms)


def with_prefixes(partner: Partner) -> bytes:
    """A list of prefixes in the canonical form's parameters."""
    inside = f'<ec:InclusiveNamespaces xmlns:ec="{C14N}" PrefixList="#default"/>'
    return signed(alert(), partner.own, inside=inside)


def without_transforms(partner: Partner) -> bytes:
    """No transforms: the signature would cover itself."""
    return signed(alert(), partner.own, transforms=())


def by_hmac(partner: Partner) -> bytes:
    """A method for shared secrets, with the public key taken for one."""
    method = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"
    return signed(alert(), partner.own, method=method)


def by_rsa_name(partner: Partner) -> bytes:
    """A method that is good, for another kind of key."""
    return signed(alert(), partner.own, method=ECDSA.replace("ecdsa", "rsa"))


def by_sha1(partner: Partner) -> bytes:
    """A digest that can be forged."""
    return signed(alert(), partner.own, digest_method=f"{DS}sha1")


def two_references(partner: Partner) -> bytes:
    """Two references, each of them good."""
    return signed(alert(), partner.own, references=2)


SIGNATURES: tuple[Callable[[Partner], bytes], ...] = (
    partial_without_id,
    twice,
    changed,
    by_another,
    by_another_as,
    unsigned,
    unknown_sender,
    with_transform,
    with_xpath,
    with_comments,
    with_prefixes,
    without_transforms,
    by_hmac,
    by_rsa_name,
    by_sha1,
    two_references,
    hidden,
)


@pytest.mark.parametrize("misuse", SIGNATURES, ids=lambda one: one.__name__)
def test_misused_signature_is_refused(partner: Partner, misuse: Callable[[Partner], bytes]) -> None:
    """By the signature's own error, which the door answers with 401."""
    partner.refuses(misuse(partner), SignatureInvalidError, "sign")


STRUCTURES: tuple[Callable[[Partner], bytes], ...] = (nested, partial, inside_info)


@pytest.mark.parametrize("misuse", STRUCTURES, ids=lambda one: one.__name__)
def test_misused_structure_is_refused(partner: Partner, misuse: Callable[[Partner], bytes]) -> None:
    """No alert has that shape, whoever signed what of it."""
    partner.refuses(misuse(partner), InputError, "not (expected|allowed)")


def test_expired_certificate_is_refused(partner: Partner) -> None:
    """Every signature with it, whenever it was made."""
    octets = signed(alert(sent="2021-11-30T12:00:00+09:00"), partner.own)
    partner.office.clock.advance(36 * 86_400)

    partner.refuses(octets, SignatureInvalidError, "expired")


DOCTYPE = b'<!DOCTYPE alert [<!ENTITY x SYSTEM "http://127.0.0.1:%d/x">]>'
BOMB = b'<!DOCTYPE alert [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
XINCLUDE = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="http://127.0.0.1:%d/x"/>'


@pytest.fixture
def canary() -> Iterator[socket.socket]:
    """Give a socket that nothing may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


def hostile(port: int) -> dict[str, Any]:
    """Give documents that want something fetched, expanded or swallowed."""
    plain = alert()
    include = (XINCLUDE % port).encode()
    return {
        "entity": (DOCTYPE % port) + plain.replace(b"<identifier>", b"<identifier>&x;"),
        "external subset": b'<!DOCTYPE alert SYSTEM "http://127.0.0.1:%d/x">' % port + plain,
        "bomb": BOMB + plain.replace(b"<identifier>", b"<identifier>&b;"),
        "undefined entity": plain.replace(b"<identifier>", b"<identifier>&x;"),
        "include": plain.replace(b"</info>", b"</info>" + include),
        "include in text": plain.replace(b"</description>", include + b"</description>"),
        "style sheet": b'<?xml-stylesheet href="http://127.0.0.1:%d/x"?>' % port + plain,
        "instruction inside": plain.replace(b"</info>", b"<?php x?></info>"),
        "instruction after": plain + b"<?php x?>",
        "other encoding": plain.decode().encode("utf-16"),
        "said encoding": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + plain,
        "schema location": plain.replace(
            b"<alert ",
            b'<alert xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            b'xsi:schemaLocation="urn:x http://127.0.0.1:%d/x" x="1" ' % port,
        ),
        "deep": b"<a>" * 100_000,
        "too long": alert(note="x" * DOCUMENT_OCTETS_MAX),
        "cut": plain[:-20],
        "empty": b"",
        "nothing": b"\x00",
        "json": b"{}",
        "other root": b"<alert/>",
    }


@pytest.mark.parametrize("name", hostile(0))
def test_hostile_document_is_refused(partner: Partner, canary: socket.socket, name: str) -> None:
    """Before its content is looked at; nothing is fetched, and no entity's text is dropped."""
    port = canary.getsockname()[1]

    partner.refuses(hostile(port)[name], InputError, ".")


def test_schema_hints_fetch_nothing(partner: Partner, canary: socket.socket) -> None:
    """A resource's address is text, and stays text."""
    port = canary.getsockname()[1]
    resource = (
        "<resource><resourceDesc>map</resourceDesc><mimeType>image/png</mimeType>"
        f"<uri>http://127.0.0.1:{port}/x</uri></resource>"
    )

    record = partner.gateway.submit_cap(signed(alert(information(more=resource)), partner.own))

    assert record.bulletin.number == 1


def test_rsa_signature_is_accepted(office: Office) -> None:
    """The other algorithm, with its own kind of key."""
    office.add("kt_noc", may_submit=True, owner="alice")
    own = identity(rsa_key())
    pin(office.gateway.home, own)
    octets = sign_enveloped(alert(), own.key, own.certificate)

    with Gateway.open(office.gateway.home, clock=office.clock) as gateway:
        assert gateway.submit_cap(octets).bulletin.sender == "kt_noc"


def test_key_of_the_machine_counts(partner: Partner) -> None:
    """Once the machine is revoked, its sender's signatures open nothing any more."""
    partner.gateway.keyring.revoke("kt_noc")

    with pytest.raises(GatewayError, match="revoked"):
        partner.gateway.submit_cap(signed(alert(), partner.own))


def test_sender_is_the_one_of_the_signed_octets(partner: Partner) -> None:
    """A comment in the name does not make it another one."""
    octets = signed(alert(), partner.own)
    split = octets.replace(SENDER.encode(), b"noc<!-- -->@carrier.example")

    assert partner.gateway.submit_cap(split).bulletin.sender == "kt_noc"
