"""Rules that reach across keys and files of profiles."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from cbgateway.domain.bulletin import BulletinKind, Confidence, EmergencyCalls
from cbgateway.domain.enquiry import compact
from cbgateway.domain.incident import IncidentState, Service
from cbgateway.profiles.contacts import ContactsFile, Directory, unverified
from cbgateway.profiles.deadlines import DeadlineProfile
from cbgateway.profiles.models import CarrierProfile, CountryProfile, LanguageRules
from cbgateway.profiles.networks import NetworkProfile
from cbgateway.profiles.regions import Census, RegionProfile, RegionsFile, Ring
from cbgateway.profiles.templates import PLACEHOLDER, ChoiceSlot, Template, TemplateText
from cbgateway.profiles.words import PLACEHOLDER as SLOT
from cbgateway.profiles.words import SCRIPT_NAMES, LanguageWords

ETWS_IDENTIFIERS = range(4352, 4360)
"""TS 23.041 9.4.1.2.2."""
RING_POINTS_MIN = 4
ALIAS_OCTETS_MAX = 100
"""A name that message centres may know an area by (SMPP 5.0 4.8.4.4)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: relative to the profiles folder.
        key: dotted; empty when the file as a whole is meant.
    """

    file: str
    key: str
    problem: str

    def __str__(self) -> str:
        """Name file, key and problem in one line."""
        return (
            f"{self.file}: {self.key}: {self.problem}"
            if self.key
            else f"{self.file}: {self.problem}"
        )


def check_country(file: str, country: CountryProfile) -> Iterator[Problem]:
    """Find what a country says twice, or of something that is not there."""
    yield from _check_name(file, country.code)
    if country.default_class not in country.classes:
        problem = f"{country.default_class!r} is no class; {_known(country.classes)}"
        yield Problem(file, "default_class", problem)
    if country.default_language not in country.languages:
        problem = f"{country.default_language!r} is no language; {_known(country.languages)}"
        yield Problem(file, "default_language", problem)
    needs_twin = any(rules.channel == "twin" for rules in country.languages.values())
    taken: dict[int, str] = {}
    for name, alert_class in country.classes.items():
        twin = alert_class.twin_message_identifier
        if needs_twin and twin is None:
            key = f"classes.{name}.twin_message_identifier"
            yield Problem(file, key, "is missing, and a language uses the twin channel")
        for key, identifier in (
            ("message_identifier", alert_class.message_identifier),
            ("twin_message_identifier", twin),
        ):
            where = f"classes.{name}.{key}"
            if identifier in taken:
                yield Problem(file, where, f"{identifier} is that of {taken[identifier]} already")
            elif identifier is not None:
                taken[identifier] = where


def check_regions(
    file: str,
    regions: RegionsFile,
    polygons: Mapping[str, tuple[Ring, ...]],
    countries: Mapping[str, CountryProfile],
) -> Iterator[Problem]:
    """Find regions without a place in the tree, without a name, or with a broken outline."""
    yield from _check_name(file, regions.country)
    country = countries.get(regions.country)
    if country is None:
        yield Problem(file, "country", f"{regions.country!r} is no country; {_known(countries)}")
        return
    codes = [region.code for region in regions.regions]
    if country.root_region not in codes:
        yield Problem(file, "regions", f"the root region {country.root_region!r} is missing")
    parents = {region.code: region.parent for region in regions.regions}
    for index, region in enumerate(regions.regions):
        key = f"regions.{index}"
        if codes.index(region.code) != index:
            yield Problem(file, f"{key}.code", f"{region.code!r} stands there twice")
        if not _reaches(region.code, country.root_region, parents):
            problem = f"{region.code!r} does not lie inside {country.root_region!r}"
            yield Problem(file, f"{key}.parent", problem)
        for language in country.languages:
            if language not in region.name:
                yield Problem(file, f"{key}.name", f"{region.code!r} has no name in {language!r}")
        alias = region.name.get("en", "")
        if not alias.isascii() or len(alias) > ALIAS_OCTETS_MAX:
            problem = f"{alias!r} is not ASCII of {ALIAS_OCTETS_MAX} characters at most"
            yield Problem(file, f"{key}.name.en", problem)
        yield from _check_population(file, f"{key}.census", region, regions.censuses)
    yield from _check_aliases(file, regions)
    yield from _check_outlines(file, codes, polygons)


def _check_population(
    file: str, key: str, region: RegionProfile, censuses: Mapping[str, Census]
) -> Iterator[Problem]:
    """Find figures that nobody says the source of."""
    if (region.population is None) is not (region.census is None):
        yield Problem(file, key, "a population and its census belong together")
    elif region.census is not None and region.census not in censuses:
        yield Problem(file, key, f"{region.census!r} is no census; {_known(censuses)}")


def _check_aliases(file: str, regions: RegionsFile) -> Iterator[Problem]:
    """Find what two regions are called in one language: nobody would know which is meant."""
    taken: dict[tuple[str, str], str] = {}
    for index, region in enumerate(regions.regions):
        names = [(language, name) for language, name in region.name.items()]
        names += [(one, alias) for one, aliases in region.aliases.items() for alias in aliases]
        for language, name in names:
            other = taken.setdefault((language, compact(name)), region.code)
            if other != region.code:
                key = f"regions.{index}.aliases.{language}"
                yield Problem(file, key, f"{name!r} is what {other!r} is called already")


def check_carrier(
    file: str, carrier: CarrierProfile, countries: Mapping[str, CountryProfile]
) -> Iterator[Problem]:
    """Find what a carrier says of classes and numbers that its country does not have."""
    yield from _check_name(file, carrier.code)
    country = countries.get(carrier.country)
    if country is None:
        yield Problem(file, "country", f"{carrier.country!r} is no country; {_known(countries)}")
        return
    for plmn in carrier.plmns:
        if not plmn.startswith(country.mcc):
            yield Problem(file, "plmns", f"{plmn} does not begin with the MCC {country.mcc}")
    if carrier.smpp.broadcast.area_alias == "name_en" and "en" not in country.languages:
        problem = "the country's regions need no names in English"
        yield Problem(file, "smpp.broadcast.area_alias", problem)
    yield from _check_routes(file, carrier, country)
    yield from _check_smpp(file, carrier)


def check_network(
    file: str, network: NetworkProfile, countries: Mapping[str, CountryProfile]
) -> Iterator[Problem]:
    """Find what a network says of classes and numbers that its country does not have."""
    yield from _check_name(file, network.code)
    country = countries.get(network.country)
    if country is None:
        yield Problem(file, "country", f"{network.country!r} is no country; {_known(countries)}")
        return
    for plmn in network.plmns:
        if not plmn.startswith(country.mcc):
            yield Problem(file, "plmns", f"{plmn} does not begin with the MCC {country.mcc}")
    rules = network.cbsp
    for name, of_class in rules.classes.items():
        key = f"cbsp.classes.{name}"
        if name not in country.classes:
            yield Problem(file, key, f"{name!r} is no class; {_known(country.classes)}")
        elif of_class.primary and country.classes[name].message_identifier not in ETWS_IDENTIFIERS:
            problem = "needs a message identifier of ETWS, 4352 to 4359"
            yield Problem(file, f"{key}.primary", problem)
    if rules.reconnect_delay_min_s > rules.reconnect_delay_max_s:
        yield Problem(file, "cbsp.reconnect_delay_min_s", "is longer than reconnect_delay_max_s")


def check_template(
    file: str,
    template: Template,
    countries: Mapping[str, CountryProfile],
    can_encode: Callable[[str, int | str, str], str | None],
    directories: Mapping[str, Directory],
) -> Iterator[Problem]:
    """Find slots that do not exist and numbers that nobody has verified.

    Proves that the longest rendering fits and can be encoded.
    """
    yield from _check_name(file, template.code)
    country = countries.get(template.country)
    if country is None:
        yield Problem(file, "country", f"{template.country!r} is no country; {_known(countries)}")
        return
    yield from _check_languages(file, template, country)
    directory = directories.get(country.code, Directory())
    for index, text in enumerate(template.texts):
        key = f"texts.{index}"
        for one in unverified(directory.find(PLACEHOLDER.sub(" | ", text.text))):
            problem = f"{one.shown!r} is not in contacts/{country.code}.toml"
            yield Problem(file, f"{key}.text", problem)
        rules = country.languages.get(text.language)
        if rules is None:
            problem = f"{text.language!r} is no language; {_known(country.languages)}"
            yield Problem(file, f"{key}.language", problem)
        elif unknown := sorted(text.placeholders - set(template.slots)):
            yield Problem(file, f"{key}.text", f"unknown slot {unknown[0]!r}")
        else:
            for problem in _text_problems(template, text, rules, can_encode):
                yield Problem(file, f"{key}.text", problem)


def _check_outlines(
    file: str, codes: Sequence[str], polygons: Mapping[str, tuple[Ring, ...]]
) -> Iterator[Problem]:
    for code, rings in polygons.items():
        if code not in codes:
            yield Problem(file, "outlines", f"an outline of {code!r}, which is no region")
        for ring in rings:
            if len(ring) < RING_POINTS_MIN or ring[0] != ring[-1]:
                yield Problem(file, "outlines", f"a ring of {code!r} is not closed")


def _check_routes(file: str, carrier: CarrierProfile, country: CountryProfile) -> Iterator[Problem]:
    """Check that every class of the country has a way out, and no other class has."""
    broadcast_classes = carrier.smpp.broadcast.classes
    for name in country.classes:
        if not carrier.routes.get(name):
            yield Problem(file, f"routes.{name}", "is missing: this class would reach nobody")
        elif "broadcast" in carrier.routes[name] and name not in broadcast_classes:
            yield Problem(file, f"smpp.broadcast.classes.{name}", "is missing, and routed")
    for key, names in (("routes", carrier.routes), ("smpp.broadcast.classes", broadcast_classes)):
        for name in names:
            if name not in country.classes:
                problem = f"{name!r} is no class; {_known(country.classes)}"
                yield Problem(file, f"{key}.{name}", problem)


def _check_smpp(file: str, carrier: CarrierProfile) -> Iterator[Problem]:
    smpp = carrier.smpp
    if any("broadcast" in route for route in carrier.routes.values()) and smpp.version != "5.0":
        yield Problem(file, "smpp.version", "broadcasts need version 5.0")
    if smpp.reconnect_delay_min_s > smpp.reconnect_delay_max_s:
        yield Problem(file, "smpp.reconnect_delay_min_s", "is longer than reconnect_delay_max_s")
    if smpp.broadcast.payload == "pages" and smpp.vendor_tlvs.data_coding_scheme is None:
        problem = "is needed with payload pages, or nobody could read them"
        yield Problem(file, "smpp.vendor_tlvs.data_coding_scheme", problem)
    if smpp.enquiries is not None:
        if not smpp.enquiries.address.isdecimal():
            yield Problem(file, "smpp.enquiries.address", "is no number that people can write to")
        if {smpp.bind, *smpp.more_binds, smpp.outbind} <= {"transmitter", None}:
            yield Problem(file, "smpp.enquiries", "needs a bind that receives")
    tags = [tag for _, tag in smpp.vendor_tlvs if tag is not None]
    if len(set(tags)) != len(tags):
        yield Problem(file, "smpp.vendor_tlvs", "the same tag stands there twice")


def _check_languages(file: str, template: Template, country: CountryProfile) -> Iterator[Problem]:
    """Check that every language has a wording for the shortest class, and every choice a word."""
    shortest = min(alert_class.characters_max for alert_class in country.classes.values())
    for language in country.languages:
        of_language = [text for text in template.texts if text.language == language]
        if not any(text.characters_max <= shortest for text in of_language):
            problem = f"no text in {language!r} for {shortest} characters, the shortest class"
            yield Problem(file, "texts", problem)
        for name, slot in template.slots.items():
            options = slot.options if isinstance(slot, ChoiceSlot) else {}
            for option, words in options.items():
                if language not in words:
                    key = f"slots.{name}.options.{option}"
                    yield Problem(file, key, f"has no text in {language!r}")


def _text_problems(
    template: Template,
    text: TemplateText,
    rules: LanguageRules,
    can_encode: Callable[[str, int | str, str], str | None],
) -> Iterator[str]:
    try:
        longest = template.longest(text)
    except KeyError:
        return  # a choice without this language, which has a problem of its own
    if len(longest) > text.characters_max:
        yield f"can become {len(longest)} characters, its budget is {text.characters_max}"
    problem = can_encode(longest, rules.dcs, text.language)
    if problem:
        yield problem


def _check_name(file: str, code: str) -> Iterator[Problem]:
    if PurePosixPath(file).stem != code:
        yield Problem(file, "code", f"{code!r} belongs into {code}.toml")


def _reaches(code: str, root: str, parents: Mapping[str, str | None]) -> bool:
    """Tell whether going up from a region ends at the root, without going round in circles."""
    at: str | None = code
    for _ in range(len(parents) + 1):
        if at == root:
            return parents[root] is None
        at = parents.get(at) if at is not None else None
    return False


def _known(names: Mapping[str, object]) -> str:
    return f"known: {', '.join(names)}"


def check_deadlines(file: str, deadlines: DeadlineProfile) -> Iterator[Problem]:
    """Find a deadline profile under another name than its own."""
    yield from _check_name(file, deadlines.code)


def check_contacts(
    file: str, contacts: ContactsFile, countries: Mapping[str, CountryProfile]
) -> Iterator[Problem]:
    """Find entries that are neither a number nor a link, or that stand there twice."""
    yield from _check_name(file, contacts.country)
    if contacts.country not in countries:
        yield Problem(file, "country", f"{contacts.country!r} is no country; {_known(countries)}")
    seen: set[str] = set()
    for index, one in enumerate(contacts.contacts):
        key = f"contacts.{index}"
        values = [value for value in (one.number, one.link) if value is not None]
        if len(values) != 1:
            yield Problem(file, key, "has to be either a number or a link")
        elif values[0] in seen:
            yield Problem(file, key, f"{values[0]!r} stands there twice")
        seen.update(values)


def check_language(file: str, words: LanguageWords) -> Iterator[Problem]:
    """Find names that a language has no word for."""
    yield from _check_name(file, words.code)
    for key, names, said in (
        ("services", Service, words.services),
        ("states", IncidentState, words.states),
        ("kinds", BulletinKind, words.kinds),
        ("confidences", Confidence, words.confidences),
        ("emergency_calls", EmergencyCalls, words.emergency_calls),
    ):
        for name in names:
            if name not in said:
                yield Problem(file, f"{key}.{name}", "is missing")
    for line, text in words.briefing.script:
        for unknown in sorted(set(SLOT.findall(text)) - SCRIPT_NAMES.keys()):
            problem = f"{unknown!r} is nothing that is filled in; {_known(SCRIPT_NAMES)}"
            yield Problem(file, f"briefing.script.{line}", problem)
    for index, claim in enumerate(words.lint.claims):
        if claim.cause not in words.causes:
            problem = f"{claim.cause!r} is no cause; {_known(words.causes)}"
            yield Problem(file, f"lint.claims.{index}.cause", problem)
