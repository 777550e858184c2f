"""What broadcasters, signs and other carriers' pages get of one bulletin, as files. Pure.

Everything follows from the bulletin and what was said before it, never from the time at which it
is asked for: the same bulletin, the same octets.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cbgateway.domain.bulletin import BulletinKind
from cbgateway.profiles.words import LanguageWords
from cbgateway.public.common import Site, text_of
from cbgateway.public.feed import entry_id, stamp
from cbgateway.public.markup import Markup, empty, join, tag
from cbgateway.public.spoken import VOICES, Voice
from cbgateway.service.publication import LAST_KINDS, Notice, Outage

LINE_CHARACTERS_MAX = 45
"""Of the line for signs and crawlers: what a bus stop shows at once in Korean."""
MANIFEST = "manifest.json"
SIGNATURE = "manifest.jws"
ABOUT = """alert.xml            CAP 1.2, signed where the gateway has a key
bulletin.json        the same facts for programs
text/LANG/official   the message exactly as phones show it
text/LANG/line       at most {line} characters, for signs
text/LANG/page       all facts, for pages
audio/LANG.txt       to be read aloud: numbers, times and codes are written out
audio/LANG.ssml      the same for machines that speak (SSML 1.1)
seals.json           each region's signature over the message
manifest.json        SHA-256 of every file; manifest.jws is the region's signature over it
"""


@dataclass(frozen=True, slots=True)
class Said:
    """One bulletin as it was said.

    Attributes:
        site: at the moment when it was said.
        outage: with what was said until then.
        seals: by region.
    """

    site: Site
    outage: Outage
    seals: Mapping[str, str]

    @property
    def notice(self) -> Notice:
        """Give what was said."""
        return self.outage.newest


def said(site: Site, outage: Outage, number: int, *, seals: Mapping[str, str]) -> Said | None:
    """Go back to when a bulletin was said; None when it was not.

    Args:
        site: as it is now.
        outage: with everything that was said.
        number: of the bulletin.
        seals: by region.
    """
    notices = tuple(one for one in outage.notices if one.bulletin.number <= number)
    if not notices or notices[0].bulletin.number != number:
        return None
    then = replace(site.publication, at=notices[0].said_at)
    return Said(replace(site, publication=then), replace(outage, notices=notices), seals)


def bundle_files(one: Said, alert: bytes) -> dict[str, bytes]:
    """Give every file of a bundle by its name, but for the manifest.

    Args:
        one: what was said.
        alert: the same in CAP.
    """
    files = {
        "README.txt": ABOUT.format(line=LINE_CHARACTERS_MAX).encode(),
        "alert.xml": alert,
        "bulletin.json": _json(_document(one)),
        "seals.json": _json(dict(sorted(one.seals.items()))),
    }
    for words in one.site.languages:
        folder = f"text/{words.code}"
        text = one.notice.bulletin.texts.get(words.code)
        if text is not None:
            files[f"{folder}/official.txt"] = _text([text])
        files[f"{folder}/line.txt"] = _text([line(one, words)])
        files[f"{folder}/page.txt"] = _text(page_lines(one, words))
        voice = VOICES.get(words.code)
        if voice is not None and words.audio is not None and text is not None:
            sentences = script(one, words, voice)
            files[f"audio/{words.code}.txt"] = _text(sentences)
            files[f"audio/{words.code}.ssml"] = ssml(voice, sentences)
    return files


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True).encode() + b"\n"


def _text(lines: Iterable[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _document(one: Said) -> dict[str, Any]:
    bulletin, incident, facts = one.notice.bulletin, one.outage.incident, one.outage.facts
    next_at = bulletin.next_update_at
    return {
        "format": 1,
        "id": entry_id(one.site, one.notice),
        "bulletin": bulletin.bulletin_id,
        "number": bulletin.number,
        "kind": bulletin.kind.value,
        "message_type": bulletin.kind.message_type.value,
        "class": bulletin.alert_class,
        "mode": bulletin.mode.value,
        "carrier": incident.carrier,
        "services": [service.value for service in incident.services],
        "started_at": stamp(incident.started_at),
        "said_at": stamp(one.notice.said_at),
        "expires": stamp(bulletin.expires),
        "next_update_at": None if next_at is None else stamp(next_at),
        "eta": None if bulletin.facts.eta is None else stamp(bulletin.facts.eta),
        "cause": facts.cause or None,
        "cause_confidence": facts.confidence.value if facts.cause else None,
        "emergency_calls": facts.emergency_calls.value,
        "workarounds": list(facts.workarounds),
        "code": bulletin.code or None,
        "texts": dict(bulletin.texts),
        "regions": {
            code: dict(one.site.deployment.regions[code].name) for code in bulletin.regions
        },
    }


def line(one: Said, words: LanguageWords) -> str:
    """Say in one short line whose network fails, how it stands, and when there is more.

    What does not fit is left out as a whole, the least important first.
    """
    carrier = one.site.carrier(one.outage.incident.carrier, words.code)
    state = words.kinds[one.notice.bulletin.kind]
    next_at = one.notice.bulletin.next_update_at
    follows = [] if next_at is None else [f"{words.page.next_update} {_clock(one, next_at)}"]
    for parts in (
        [one.site.title(one.outage, words), state, *follows],
        [f"{carrier}: {state}", *follows],
        [carrier, *follows],
    ):
        shown = " · ".join(parts)
        if len(shown) <= LINE_CHARACTERS_MAX:
            return shown
    return carrier[:LINE_CHARACTERS_MAX]


def page_lines(one: Said, words: LanguageWords) -> list[str]:
    """Say all that is known, a line each, for pages of others."""
    labels, bulletin, facts = words.page, one.notice.bulletin, one.outage.facts
    is_over = bulletin.kind in LAST_KINDS
    rows = [
        (labels.state, words.kinds[bulletin.kind]),
        (labels.where, one.site.places(bulletin.regions, words.code)),
        (labels.since, _moment(one, one.outage.incident.started_at)),
    ]
    if facts.cause:
        rows.append((labels.cause, words.cause(facts.cause, facts.confidence)))
    if not is_over:
        eta, next_at = bulletin.facts.eta, bulletin.next_update_at
        rows += [
            (labels.emergency_calls, words.emergency_calls[facts.emergency_calls]),
            (labels.eta, labels.eta_unknown if eta is None else _moment(one, eta)),
            (labels.next_update, labels.no_next if next_at is None else _moment(one, next_at)),
        ]
        rows += [
            (labels.workaround, words.workarounds[advice])
            for advice in facts.workarounds
            if advice in words.workarounds
        ]
    if bulletin.code:
        rows.append((labels.code, bulletin.code))
    _, text = text_of(one.notice, words.code)
    shown = text or (labels.withdrawn if bulletin.kind is BulletinKind.WITHDRAWAL else "")
    head = one.site.title(one.outage, words)
    return [head, *(f"{name}: {value}" for name, value in rows), shown]


def _moment(one: Said, at: datetime) -> str:
    return f"{one.site.local(at):%Y-%m-%d %H:%M}"


def _clock(one: Said, at: datetime) -> str:
    return f"{one.site.local(at):%H:%M}"


def script(one: Said, words: LanguageWords, voice: Voice) -> list[str]:
    """Write what is read aloud, sentence by sentence: who speaks, the message twice, the code."""
    assert words.audio is not None  # noqa: S101 - asked for where there is one
    audio, bulletin = words.audio, one.notice.bulletin
    text = bulletin.texts[words.code]
    found = one.site.deployment.directory.find(text)
    numbers = [contact.shown for contact in found if not contact.is_link]
    said_text = voice.say(text, code=bulletin.code, numbers=numbers)
    sentences = [audio.opening, said_text, audio.again, said_text]
    if one.notice.bulletin.mode.value != "live":
        sentences = [audio.exercise, *sentences, audio.exercise]
    if bulletin.code:
        sentences.append(audio.code.replace("{code}", voice.spell(bulletin.code)))
    return [*sentences, audio.closing]


def ssml(voice: Voice, sentences: Iterable[str]) -> bytes:
    """Write a script as SSML 1.1, with a pause after each sentence."""
    paragraphs = [
        tag("p", tag("s", sentence), empty("break", time="700ms")) for sentence in sentences
    ]
    body = join(paragraphs)
    head = '<?xml version="1.0" encoding="utf-8"?>\n'
    opening = (
        f'<speak version="1.1" xml:lang="{voice.tag}" xmlns="http://www.w3.org/2001/10/synthesis">'
    )
    return Markup(f"{head}{opening}{body}</speak>\n").encode()
