"""`cbgateway encode` and `cbgateway decode`: octets for testers, without a gateway."""

import unicodedata
from typing import Annotated, Any

import typer

from cbgateway.cli.common import AsJson, console, examples, print_json, printable, reports_errors
from cbgateway.codec import cbs, smpp, smpp_text
from cbgateway.codec.dcs import choose_dcs
from cbgateway.domain.errors import DecodeError, EncodeError, InputError

encode_app = typer.Typer(help="Turn a text into octets.", no_args_is_help=True)
decode_app = typer.Typer(help="Turn octets into what they mean.", no_args_is_help=True)

Text = Annotated[str, typer.Option("--text", help="What to say; normalised to NFC.")]
Octets = Annotated[str, typer.Argument(metavar="HEX", help="Octets in hexadecimal.")]

DEFAULT_MESSAGE_IDENTIFIER = 4372
DEFAULT_SERIAL_NUMBER = "0010"
_SEGMENTATIONS = {8: smpp_text.Segmentation.UDH8, 16: smpp_text.Segmentation.UDH16}


@encode_app.command(
    "cbs",
    epilog=examples(
        'cbgateway encode cbs --text "KT 통신 장애" --message-id 4372 --serial 5235 --json',
        'cbgateway encode cbs --text "KT outage" --language en',
    ),
)
@reports_errors
def encode_cbs(
    *,
    text: Text,
    dcs: Annotated[
        str | None,
        typer.Option(help="Data coding scheme, such as 0x48 or 72.", show_default="by the text"),
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="ISO 639-1 code; schemes 0x10 and 0x11 put it on each page.")
    ] = None,
    message_id: Annotated[
        int, typer.Option(help="Message identifier.", min=0, max=0xFFFF)
    ] = DEFAULT_MESSAGE_IDENTIFIER,
    serial: Annotated[
        str, typer.Option(help="Serial number, four hexadecimal digits as in TS 23.041.")
    ] = DEFAULT_SERIAL_NUMBER,
    as_json: AsJson = False,
) -> None:
    """Make cell broadcast pages (TS 23.041 9.4)."""
    said = unicodedata.normalize("NFC", text)
    serial_number = _hexadecimal("--serial", serial, digits_max=4)
    try:
        scheme = choose_dcs(said, language) if dcs is None else _number("--dcs", dcs)
        pages = cbs.paginate(said, dcs=scheme, language=language)
        rows = [
            {
                "octets": page.octets.hex(),
                "used_octets": page.used_octets,
                "gsm": cbs.encode_gsm_page(
                    cbs.GsmPage(serial_number, message_id, scheme, number, len(pages), page)
                ).hex(),
            }
            for number, page in enumerate(pages, start=1)
        ]
    except EncodeError as error:
        raise InputError(str(error)) from error
    cb_data = cbs.encode_cb_data(pages).hex()
    if as_json:
        print_json({"dcs": scheme, "pages": rows, "cb_data": cb_data})
        return
    reading = cbs.read_pages(pages, dcs=scheme)
    console.print(f"data coding scheme {scheme:#04x}, {len(pages)} pages, {len(said)} characters")
    for number, row in enumerate(rows, start=1):
        console.print(
            f"page {number}/{len(rows)}: {row['used_octets']} octets used\n  {row['gsm']}"
        )
    console.print(f"CB data ({len(cb_data) // 2} octets):\n  {cb_data}")
    console.print(f"a phone shows: {printable(reading.text)}")


@encode_app.command(
    "sms",
    epilog=examples(
        'cbgateway encode sms --text "KT outage: use another carrier" --json',
        'cbgateway encode sms --text "KT 통신 장애" --data-coding 8 --reference-bits 16',
    ),
)
@reports_errors
def encode_sms(
    *,
    text: Text,
    data_coding: Annotated[
        int | None,
        typer.Option(help="0 GSM 7-bit, 8 UCS-2.", show_default="by the text"),
    ] = None,
    reference_bits: Annotated[
        int, typer.Option(help="Bits of the concatenation reference: 8 or 16.")
    ] = 8,
    reference: Annotated[int, typer.Option(help="Concatenation reference.", min=0, max=0xFFFF)] = 1,
    as_json: AsJson = False,
) -> None:
    """Make the short_message octets of submit_sm, one string for each part (TS 23.040 9.2.3.24)."""
    if reference_bits not in _SEGMENTATIONS:
        msg = f"--reference-bits is 8 or 16, not {reference_bits}"
        raise InputError(msg)
    if reference >= 1 << reference_bits:
        msg = f"--reference {reference} does not fit {reference_bits} bits"
        raise InputError(msg)
    said = unicodedata.normalize("NFC", text)
    try:
        segmented = smpp_text.segment(
            said,
            data_coding=data_coding,
            segmentation=_SEGMENTATIONS[reference_bits],
            reference=reference,
        )
    except EncodeError as error:
        raise InputError(str(error)) from error
    parts = [part.short_message.hex() for part in segmented.parts]
    if as_json:
        print_json(
            {
                "data_coding": segmented.data_coding,
                "esm_class": segmented.esm_class,
                "parts": parts,
            }
        )
        return
    console.print(
        f"data_coding {segmented.data_coding}, esm_class {segmented.esm_class:#04x}, "
        f"{len(parts)} parts, {len(said)} characters"
    )
    for number, part in enumerate(parts, start=1):
        console.print(f"part {number}/{len(parts)}: {len(part) // 2} octets\n  {part}")


@decode_app.command(
    "cbs",
    epilog=examples(
        "cbgateway decode cbs 01c8329bfd060d... --dcs 0x01 --json",
        "cbgateway decode cbs 523511134811005bae34ae09... --dcs 0x48",
    ),
)
@reports_errors
def decode_cbs(
    octets: Octets,
    *,
    dcs: Annotated[str, typer.Option(help="Data coding scheme, such as 0x48 or 72.")],
    as_json: AsJson = False,
) -> None:
    """Read pages as a phone does: CB data (1 + 83 octets a page), or pages of 82 or 88 octets."""
    raw = _octets(octets)
    reading = cbs.read_pages(_pages(raw), dcs=_number("--dcs", dcs))
    if as_json:
        print_json({"text": reading.text, "language": reading.language})
        return
    console.print(printable(reading.text))
    console.print(f"[dim]language: {reading.language or 'not named'}[/dim]")


@decode_app.command(
    "smpp",
    epilog=examples("cbgateway decode smpp 00000010000000150000000000000028 --json"),
)
@reports_errors
def decode_smpp(octets: Octets, *, as_json: AsJson = False) -> None:
    """Read one SMPP PDU: header, fields and TLVs by their specification names."""
    raw = _octets(octets)
    document = _describe(smpp.decode(raw), len(raw))
    if as_json:
        print_json(document)
        return
    console.print(f"[bold]{document['name']}[/bold]")
    for name, value in (document["header"] | document["fields"]).items():
        console.print(f"  {name} = {printable(str(value))}")
    for tlv in document["tlvs"]:
        console.print(f"  TLV {tlv['name']} ({tlv['tag']}) = {printable(str(tlv['value']))}")
    if document["text"] is not None:
        console.print(f"  text: {printable(document['text'])}")


def _describe(pdu: smpp.Pdu, length: int) -> dict[str, Any]:
    fields = smpp.fields_of(pdu.body)
    return {
        "name": smpp.name_of(pdu.body),
        "header": {
            "command_length": length,
            "command_id": f"{pdu.body.COMMAND_ID:#010x}",
            "command_status": smpp.status_name(pdu.command_status),
            "sequence_number": pdu.sequence_number,
        },
        "fields": {name: _plain(value) for name, value in fields.items()},
        "tlvs": [
            {
                "name": tlv.name,
                "tag": f"{tlv.tag:#06x}",
                "length": len(tlv.value),
                "value": _plain(smpp.tlv_value(tlv)),
            }
            for tlv in pdu.tlvs
        ],
        "text": _text_of(pdu, fields),
    }


def _text_of(pdu: smpp.Pdu, fields: dict[str, Any]) -> str | None:
    """Give the text that a PDU carries; None when it carries none that can be read."""
    octets = pdu.tlv(smpp.TlvTag.MESSAGE_PAYLOAD) or fields.get("short_message")
    if not octets or "data_coding" not in fields:
        return None
    try:
        if fields.get("esm_class", 0) & smpp_text.UDH_INDICATOR:
            _, octets = smpp_text.split_udh(octets)
        return smpp_text.decode_text(octets, fields["data_coding"])
    except DecodeError:
        return None


def _plain(value: int | str | bytes) -> int | str:
    return value.hex() if isinstance(value, bytes) else value


def _pages(raw: bytes) -> tuple[cbs.Page, ...]:
    """Tell what the octets are by their length: no two forms share one."""
    if raw and len(raw) % cbs.GSM_PAGE_OCTETS == 0:
        return tuple(
            cbs.decode_gsm_page(raw[start : start + cbs.GSM_PAGE_OCTETS]).page
            for start in range(0, len(raw), cbs.GSM_PAGE_OCTETS)
        )
    if raw and len(raw) % cbs.PAGE_OCTETS == 0:
        return tuple(
            cbs.Page(raw[start : start + cbs.PAGE_OCTETS], cbs.PAGE_OCTETS)
            for start in range(0, len(raw), cbs.PAGE_OCTETS)
        )
    return cbs.decode_cb_data(raw)


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        msg = f"HEX: {error}"
        raise InputError(msg) from error


def _number(option: str, text: str) -> int:
    """Read a number in decimal, or hexadecimal behind 0x."""
    try:
        return int(text, 0)
    except ValueError as error:
        msg = f"{option}: {text!r} is no number; 0x48 and 72 are"
        raise InputError(msg) from error


def _hexadecimal(option: str, text: str, *, digits_max: int) -> int:
    digits = text.removeprefix("0x")
    if not 1 <= len(digits) <= digits_max or not all(c in "0123456789abcdefABCDEF" for c in digits):
        msg = f"{option}: {text!r} is not 1 to {digits_max} hexadecimal digits, such as 5235"
        raise InputError(msg)
    return int(digits, 16)
