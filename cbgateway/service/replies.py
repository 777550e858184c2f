"""What people who ask by short message are answered: from what was approved, in one or two parts.

A reply is put together of sentences. Those that matter least are left out until it fits: one part
while nothing is wrong, two during an outage. A repair time that has passed is never said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from cbgateway.codec import smpp_text
from cbgateway.domain.bulletin import BulletinKind, Confidence, Mode
from cbgateway.domain.errors import EncodeError
from cbgateway.profiles.enquiries import EnquiryWords
from cbgateway.service.deployment import Deployment
from cbgateway.service.publication import (
    HOLDS,
    Notice,
    Outage,
    Publication,
    region_outages,
)

QUIET_PARTS_MAX = 1
OUTAGE_PARTS_MAX = 2
PROOF_PARTS_MAX = 4
"""The exact text of a bulletin has the characters that its class allows, and a sentence before."""
SERVICES_MAX = 2
PLACES_MAX = 2


@dataclass(frozen=True, slots=True)
class Sentence:
    """A piece of a reply.

    Attributes:
        keep: sentences with a lower number are left out first; None for those that never are.
    """

    text: str
    keep: int | None = None


def parts_of(text: str) -> int:
    """Count the short messages that a text takes, in the form that leaves least room for it."""
    try:
        segmented = smpp_text.segment(
            text, data_coding=None, segmentation=smpp_text.Segmentation.UDH16, reference=1
        )
    except EncodeError:
        return smpp_text.PARTS_MAX + 1
    return len(segmented.parts)


def fitted(sentences: Sequence[Sentence], parts_max: int) -> str:
    """Join sentences, without those that matter least, until they fit; cut as the last resort."""
    left = [one for one in sentences if one.text]
    while parts_of(text := " ".join(one.text for one in left)) > parts_max:
        least = min((one.keep for one in left if one.keep is not None), default=None)
        if least is None:
            return _cut(text, parts_max)
        left = [one for one in left if one.keep != least]
    return text


def _cut(text: str, parts_max: int) -> str:
    """Give as much of a text as fits, with a mark where it was cut."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if parts_of(text[:middle].rstrip() + "…") <= parts_max:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class Replies:
    """The replies of one gateway at one moment.

    Attributes:
        seen: what went out, and the time.
    """

    deployment: Deployment
    seen: Publication

    def status(self, language: str, region: str, *, carrier: str) -> str:
        """Say how things stand in a region.

        Args:
            language: of the reply.
            region: code.
            carrier: that the question came by; its own outages come first.
        """
        going_on = self._of_carrier_first(self.seen.current, region, carrier)
        if going_on:
            return self._outage(language, region, going_on)
        over = self._of_carrier_first(self.seen.recent, region, carrier)
        over = [one for one in over if one.newest.bulletin.kind is BulletinKind.RESTORED]
        words, place = self._words(language), self.place(language, region)
        hint = Sentence(self._hint(language, region), keep=0)
        if over:
            newest = over[0].newest
            restored = words.replies.restored.format(
                place=place,
                carrier=self._carrier(language, over[0]),
                said=self._time(newest.said_at),
            )
            code = Sentence(words.replies.code.format(code=newest.bulletin.code), keep=1)
            return self._say(language, [Sentence(restored), code, hint], QUIET_PARTS_MAX)
        none = words.replies.none.format(place=place, at=self._time(self.seen.at))
        return self._say(language, [Sentence(none), hint], QUIET_PARTS_MAX)

    def _hint(self, language: str, region: str) -> str:
        replies = self._words(language).replies
        if region == self.deployment.country.root_region:
            return replies.place_hint.format(example=self.place(language, self._example()))
        return replies.none_hint.format(place=self.place(language, region))

    def has_outage(self, region: str) -> bool:
        """Tell whether something that was told of goes on in a region."""
        return bool(region_outages(self.deployment, self.seen.current, region))

    def reported(self, language: str, region: str, *, carrier: str) -> str:
        """Thank for a report; say what is known already."""
        if self.has_outage(region):
            return self.status(language, region, carrier=carrier)
        replies, place = self._words(language).replies, self.place(language, region)
        return self._say(
            language,
            [
                Sentence(replies.reported.format(place=place)),
                Sentence(replies.reported_hint.format(place=place), keep=0),
            ],
            QUIET_PARTS_MAX,
        )

    def subscribed(self, language: str, region: str) -> str:
        """Say what somebody will be told of, and how that ends."""
        replies = self._words(language).replies
        days = self.deployment.country.enquiries.subscription_days
        place = self.place(language, region)
        return self._say(
            language,
            [
                Sentence(replies.subscribed.format(place=place, days=days)),
                Sentence(replies.subscribed_hint, keep=0),
            ],
            QUIET_PARTS_MAX,
        )

    def short(self, language: str, name: str) -> str:
        """Give a reply that depends on nothing, by the name that it has in the profile."""
        sentence: str = getattr(self._words(language).replies, name)
        text = sentence.format(
            example=self.place(language, self._example()),
            count=self.deployment.country.enquiries.subscription_regions_max,
        )
        return self._say(language, [Sentence(text)], QUIET_PARTS_MAX)

    def proof(self, language: str, outage: Outage, notice: Notice) -> str:
        """Give the exact text of a bulletin, and whether it still holds."""
        replies, bulletin = self._words(language).replies, notice.bulletin
        holds = notice.state in HOLDS and notice == outage.newest
        verdict = (replies.verified if holds else replies.verified_old).format(
            said=self._time(notice.said_at)
        )
        sentences = [Sentence(verdict)]
        if not outage.is_over and notice.eta_has_passed(self.seen.at):
            sentences.append(Sentence(replies.verified_past_eta))
        texts = bulletin.texts
        text = texts.get(language) or next(iter(texts.values()), "")
        whole = " ".join(one.text for one in sentences) + f" {text}"
        if parts_of(whole) <= PROOF_PARTS_MAX:
            return whole
        url = f"{self.deployment.site_url}/v/{bulletin.code}/" if self.deployment.site_url else ""
        if url:
            sentences.append(Sentence(replies.verified_where.format(url=url)))
        return fitted(sentences, OUTAGE_PARTS_MAX)

    def place(self, language: str, region: str) -> str:
        """Name a region as shortly as people do."""
        return self.deployment.regions[region].short_name(language)

    def _outage(self, language: str, region: str, outages: Sequence[Outage]) -> str:
        """Say what is known of the first of some outages, and how many others there are."""
        outage, words = outages[0], self._words(language)
        replies, notice = words.replies, outage.newest
        carrier = self._carrier(language, outage)
        since = self._time(outage.incident.started_at)
        whole = replies.outage.format(
            carrier=carrier,
            services=self._services(language, outage),
            places=self._places(language, region, outage),
            since=since,
        )
        others = replies.more.format(count=len(outages) - 1) if len(outages) > 1 else ""
        rest = [
            Sentence(self._cause(language, outage), keep=0),
            Sentence(words.emergency_calls[outage.facts.emergency_calls]),
            Sentence(self._eta(replies.eta_at, language, notice), keep=2),
            Sentence(self._next(language, notice)),
            Sentence(others, keep=1),
            Sentence(
                replies.code.format(code=notice.bulletin.code) if notice.bulletin.code else ""
            ),
        ]
        text = self._say(language, [Sentence(whole), *rest], OUTAGE_PARTS_MAX)
        if not text.endswith("…"):
            return text
        head = replies.outage_short.format(carrier=carrier, since=since)
        return self._say(language, [Sentence(head), *rest], OUTAGE_PARTS_MAX)

    def _eta(self, said: str, language: str, notice: Notice) -> str:
        replies, eta = self._words(language).replies, notice.bulletin.facts.eta
        if eta is None:
            return replies.eta_unknown
        if notice.eta_has_passed(self.seen.at):
            return replies.eta_overdue
        return said.format(eta=self._time(eta))

    def _next(self, language: str, notice: Notice) -> str:
        replies, next_at = self._words(language).replies, notice.bulletin.next_update_at
        if next_at is None:
            return ""
        if next_at <= self.seen.at:
            return replies.next_overdue
        return replies.next_at.format(next=self._time(next_at))

    def _cause(self, language: str, outage: Outage) -> str:
        """Name a cause that was confirmed; nothing is said of what is only suspected."""
        facts = outage.facts
        name = self.deployment.words[language].causes.get(facts.cause)
        if name is None or facts.confidence is not Confidence.CONFIRMED:
            return ""
        return self._words(language).replies.cause.format(cause=name)

    def _say(self, language: str, sentences: Sequence[Sentence], parts_max: int) -> str:
        """Join sentences; in an exercise every text begins as the country says."""
        if self.seen.mode is Mode.EXERCISE:
            prefix = self.deployment.country.languages[language].exercise_prefix.strip()
            sentences = [Sentence(prefix), *sentences]
        return fitted(sentences, parts_max)

    def _words(self, language: str) -> EnquiryWords:
        return self.deployment.answering[language]

    def _of_carrier_first(
        self, outages: Sequence[Outage], region: str, carrier: str
    ) -> list[Outage]:
        found = region_outages(self.deployment, outages, region)
        return sorted(found, key=lambda one: one.incident.carrier != carrier)

    def _carrier(self, language: str, outage: Outage) -> str:
        profile = self.deployment.carriers.get(outage.incident.carrier)
        return outage.incident.carrier if profile is None else profile.name[language]

    def _services(self, language: str, outage: Outage) -> str:
        names = self.deployment.words[language].services
        services = outage.incident.services
        more = " …" if len(services) > SERVICES_MAX else ""
        return ", ".join(names[one] for one in services[:SERVICES_MAX]) + more

    def _places(self, language: str, region: str, outage: Outage) -> str:
        """Name some of an outage's regions, beginning with what concerns the one asked about."""
        contains = self.deployment.regions.contains
        codes = sorted(
            outage.regions,
            key=lambda code: not (contains(code, region) or contains(region, code)),
        )
        more = f" +{len(codes) - PLACES_MAX}" if len(codes) > PLACES_MAX else ""
        return ", ".join(self.place(language, code) for code in codes[:PLACES_MAX]) + more

    def _example(self) -> str:
        return self.deployment.regions.leaves(self.deployment.country.root_region)[0]

    def _time(self, at: datetime) -> str:
        """Give a time as the country's clocks show it; the day as well when it is another."""
        zone = timezone(self.deployment.utc_offset)
        local, today = at.astimezone(zone), self.seen.at.astimezone(zone)
        return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%m-%d %H:%M}"
