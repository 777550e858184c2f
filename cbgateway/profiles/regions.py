"""Regions: a tree of areas with names and outlines."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated

from pydantic import Field

from cbgateway.profiles.models import Code, Language, Model, Names, Text

CENSUSES_MAX = 8
"""Reports name them all, and a leaf of the history has room for so many."""

Ring = tuple[tuple[float, float], ...]
"""A closed line of longitude and latitude in degrees, WGS 84."""


class Census(Model):
    """Who counted people, and when.

    Attributes:
        counted_on: the day that the figures are of.
        checked_on: when somebody compared the figures here with the source; None while nobody has.
    """

    source: Annotated[str, Field(min_length=1, max_length=100)]
    counted_on: date
    checked_on: date | None = None


class RegionProfile(Model):
    """One area.

    Attributes:
        code: ISO 3166-2, or the country's own.
        national_code: what the country's administration calls it, where that differs.
        parent: the area around it; None for the whole country.
        population: who lives there; None where nobody has looked it up.
        census: which of the file's censuses the population is from.
        aliases: what people call it besides, by language; the usual short form first.
    """

    code: Code
    name: Names
    national_code: str | None = None
    parent: Code | None = None
    population: Annotated[int, Field(ge=0, le=10_000_000_000)] | None = None
    census: Code | None = None
    aliases: dict[Language, tuple[Text, ...]] = Field(default_factory=dict)

    def short_name(self, language: str) -> str:
        """Give the shortest of its name and its usual short form."""
        usual = self.aliases.get(language, ())[:1]
        return min((self.name.get(language, self.code), *usual), key=len)


class RegionsFile(Model):
    """What a regions file holds.

    Attributes:
        censuses: by name.
    """

    schema_version: int = Field(alias="schema", ge=1, le=1)
    country: Code
    outlines: str | None = None
    censuses: dict[Code, Census] = Field(default_factory=dict, max_length=CENSUSES_MAX)
    regions: tuple[RegionProfile, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a population comes from.

    Attributes:
        words: who counted, and of which day; empty where nobody did.
        is_verified: True once somebody has compared the figures with the source.
    """

    words: str = ""
    is_verified: bool = False


class Regions(Mapping[str, RegionProfile]):
    """The regions of one country, by code."""

    def __init__(
        self,
        regions: tuple[RegionProfile, ...],
        polygons: Mapping[str, tuple[Ring, ...]],
        censuses: Mapping[str, Census] | None = None,
    ) -> None:
        """Make the tree.

        Args:
            regions: parents may stand anywhere.
            polygons: rings by code; a region without an entry has no outline.
            censuses: who counted the people, and when, by the names that regions use.
        """
        self.censuses = dict(censuses or {})
        self._regions = {region.code: region for region in regions}
        self.polygons = polygons

    def __getitem__(self, code: str) -> RegionProfile:
        """Find a region."""
        return self._regions[code]

    def __iter__(self) -> Iterator[str]:
        """Give the codes."""
        return iter(self._regions)

    def __len__(self) -> int:
        """Count the regions."""
        return len(self._regions)

    def children(self, code: str) -> tuple[str, ...]:
        """Give the codes of the regions right inside one."""
        return tuple(one.code for one in self._regions.values() if one.parent == code)

    def leaves(self, code: str) -> tuple[str, ...]:
        """Give the codes of the smallest regions inside one; itself when nothing is inside."""
        children = self.children(code)
        if not children:
            return (code,)
        return tuple(leaf for child in children for leaf in self.leaves(child))

    def population(self, code: str) -> int | None:
        """Count the people in a region, or in all inside it; None when that is not known."""
        own = self._regions[code].population
        if own is not None:
            return own
        inside = [self.population(child) for child in self.children(code)]
        known = [count for count in inside if count is not None]
        return sum(known) if known and len(known) == len(inside) else None

    def population_source(self, code: str) -> Source:
        """Say where the population of a region comes from."""
        names = dict.fromkeys(self._censuses_of(code))
        found = [self.censuses[name] for name in names if name in self.censuses]
        if not found:
            return Source()
        words = f"{found[0].source}, {found[0].counted_on}"
        if len(found) > 1:
            oldest = min(one.counted_on for one in found)
            words = f"{len(found)} censuses, the oldest of {oldest}"
        return Source(words, all(one.checked_on is not None for one in found))

    def _censuses_of(self, code: str) -> Iterator[str]:
        own = self._regions[code]
        if own.population is not None:
            yield own.census or ""
            return
        for child in self.children(code):
            yield from self._censuses_of(child)

    def contains(self, outer: str, inner: str) -> bool:
        """Tell whether `inner` is `outer`, or lies inside it."""
        at: str | None = inner
        while at is not None and at != outer:
            region = self._regions.get(at)
            at = None if region is None else region.parent
        return at is not None
