"""What the services of one gateway work with: its mode and the profiles that apply to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from cbgateway.domain.bulletin import BulletinKind, Mode
from cbgateway.domain.errors import UnknownNameError, WorkflowError
from cbgateway.domain.kits import Kit, codes_of
from cbgateway.profiles.contacts import Directory
from cbgateway.profiles.deadlines import STANDARD, DeadlineProfile
from cbgateway.profiles.enquiries import EnquiryWords
from cbgateway.profiles.models import AlertClass, CarrierProfile, CountryProfile
from cbgateway.profiles.networks import NetworkProfile
from cbgateway.profiles.regions import Regions
from cbgateway.profiles.templates import Template
from cbgateway.profiles.words import LanguageWords
from cbgateway.service.coverage import CellMap


@dataclass(frozen=True, slots=True)
class Deployment:
    """One gateway's rules.

    Attributes:
        carriers: by code; each is a peer of this gateway.
        templates: by name.
        networks: by code; radio networks that are reached without a message centre.
        controllers: which network each controller of this gateway belongs to.
        cells: by network.
        deadlines: by when people hear.
        directory: numbers and links that texts may show.
        words: by language; texts in a language without words are not linted.
        kit: which offline kit this gateway is; None when it is none.
        asked_at: the number that people ask at, by carrier; nobody is answered at any other.
        site_url: where the public pages are found; empty where nobody has said.
    """

    mode: Mode
    country: CountryProfile
    regions: Regions
    carriers: Mapping[str, CarrierProfile]
    templates: Mapping[str, Template]
    networks: Mapping[str, NetworkProfile] = field(default_factory=dict)
    controllers: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, CellMap] = field(default_factory=dict)
    deadlines: DeadlineProfile = STANDARD
    directory: Directory = field(default_factory=Directory)
    words: Mapping[str, LanguageWords] = field(default_factory=dict)
    kit: Kit | None = None

    @property
    def codes(self) -> range:
        """Message codes that this gateway may take; no other gateway takes any of them."""
        return codes_of(self.kit)

    asked_at: Mapping[str, str] = field(default_factory=dict)
    site_url: str = ""

    @property
    def answering(self) -> Mapping[str, EnquiryWords]:
        """How enquiries are answered, by language."""
        return {
            language: words.enquiries
            for language, words in self.words.items()
            if words.enquiries is not None
        }

    @property
    def utc_offset(self) -> timedelta:
        """How far the country's clocks are ahead of UTC."""
        return timedelta(minutes=self.country.utc_offset_min)

    def local(self, at: datetime) -> datetime:
        """Give a time as the country's clocks show it, to the second."""
        return at.astimezone(timezone(self.utc_offset)).replace(microsecond=0)

    def alert_class(self, name: str) -> AlertClass:
        """Find an alert class.

        Raises:
            UnknownNameError: the country has none of this name.
        """
        try:
            return self.country.classes[name]
        except KeyError:
            raise UnknownNameError("alert class", name, known=tuple(self.country.classes)) from None

    def check_is_open(self, now: datetime) -> None:
        """Refuse new bulletins in an offline kit whose time is over.

        Raises:
            WorkflowError: the main gateway has taken over, or the kit is too old.
        """
        if self.kit is None:
            return
        if self.kit.is_closed:
            msg = f"{self.kit.name} was merged into its main gateway, which goes on from there"
            raise WorkflowError(msg)
        if self.kit.until <= now:
            until = self.kit.until.isoformat(timespec="seconds")
            msg = f"{self.kit.name} was good until {until}; its message codes may be another's now"
            raise WorkflowError(msg)

    def check_region(self, code: str) -> None:
        """Refuse a region that no profile knows.

        Raises:
            UnknownNameError: with the codes there are.
        """
        if code not in self.regions:
            raise UnknownNameError("region", code, known=tuple(self.regions))

    def covers(self, outer: tuple[str, ...], code: str) -> bool:
        """Tell whether a region lies inside one of `outer`."""
        return any(self.regions.contains(region, code) for region in outer)

    def leaves(self, regions: Sequence[str]) -> tuple[str, ...]:
        """Give the smallest regions inside `regions`, each once."""
        return tuple(dict.fromkeys(leaf for code in regions for leaf in self.regions.leaves(code)))

    def is_wide(self, regions: Sequence[str]) -> bool:
        """Tell whether a bulletin for `regions` needs its approver to type what it does."""
        return len(self.leaves(regions)) >= self.country.wide_area_regions_min

    def is_urgent(self, kind: BulletinKind) -> bool:
        """Tell whether bulletins of a kind wait for nothing: withdrawals and corrections."""
        return kind in self.country.exempt_kinds
