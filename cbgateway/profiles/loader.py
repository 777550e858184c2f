"""Reading profiles: TOML in, models out, every problem named by file and key."""

import difflib
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cbgateway.domain.errors import GatewayError
from cbgateway.profiles.checks import (
    Problem,
    check_carrier,
    check_contacts,
    check_country,
    check_deadlines,
    check_language,
    check_network,
    check_regions,
    check_template,
)
from cbgateway.profiles.contacts import ContactsFile, Directory
from cbgateway.profiles.deadlines import STANDARD, DeadlineProfile
from cbgateway.profiles.models import CarrierProfile, CountryProfile
from cbgateway.profiles.networks import NetworkProfile
from cbgateway.profiles.regions import Regions, RegionsFile, Ring
from cbgateway.profiles.templates import Template
from cbgateway.profiles.words import LanguageWords

CanEncode = Callable[[str, int | str, str], str | None]
"""Text, data coding scheme and language to what is wrong; None when it can go on air."""

M = TypeVar("M", bound=BaseModel)


class ProfileError(GatewayError):
    """Profiles cannot be used as they are.

    Attributes:
        problems: every one that was found.
    """

    code = "profile-invalid"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(slots=True)
class Profiles:
    """All profiles.

    Attributes:
        countries: by code.
        carriers: by code.
        networks: by code.
        regions: by country.
        templates: by country, then by code.
        deadlines: by code; the standard one is there in any case.
        directories: verified numbers and links, by country.
        words: by language.
    """

    countries: dict[str, CountryProfile] = field(default_factory=dict)
    carriers: dict[str, CarrierProfile] = field(default_factory=dict)
    networks: dict[str, NetworkProfile] = field(default_factory=dict)
    regions: dict[str, Regions] = field(default_factory=dict)
    templates: dict[str, dict[str, Template]] = field(default_factory=dict)
    deadlines: dict[str, DeadlineProfile] = field(default_factory=lambda: {STANDARD.code: STANDARD})
    directories: dict[str, Directory] = field(default_factory=dict)
    words: dict[str, LanguageWords] = field(default_factory=dict)


def profiles_folder() -> Path:
    """Give the folder of the profiles that ship with this distribution."""
    installed = Path(str(resources.files("cbgateway.profiles"))) / "data"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "profiles"


def load_profiles(root: Path | None, can_encode: CanEncode) -> Profiles:
    """Read and check all profiles.

    Args:
        root: their folder; None for those that ship with this distribution.
        can_encode: tells whether a text can go on air.

    Raises:
        ProfileError: with every problem found.
    """
    profiles, problems = check_profiles(root, can_encode)
    if problems:
        raise ProfileError(problems)
    return profiles


def check_profiles(root: Path | None, can_encode: CanEncode) -> tuple[Profiles, list[Problem]]:
    """Read all profiles; gives those that can be read, and every problem found.

    See `load_profiles`.
    """
    folder = profiles_folder() if root is None else root
    problems: list[Problem] = []
    profiles = Profiles()
    if not (folder / "countries").is_dir():
        return profiles, [Problem(str(folder), "", "no folder countries/; not a profiles folder")]
    for name, country in _read(folder, "countries/*.toml", CountryProfile, problems).items():
        problems += check_country(name, country)
        profiles.countries[country.code] = country
    _read_regions(folder, profiles, problems)
    for name, carrier in _read(folder, "carriers/*.toml", CarrierProfile, problems).items():
        problems += check_carrier(name, carrier, profiles.countries)
        profiles.carriers[carrier.code] = carrier
    for name, network in _read(folder, "networks/*.toml", NetworkProfile, problems).items():
        problems += check_network(name, network, profiles.countries)
        profiles.networks[network.code] = network
    _read_words(folder, profiles, problems)
    for name, template in _read(folder, "templates/*/*.toml", Template, problems).items():
        problems += check_template(
            name, template, profiles.countries, can_encode, profiles.directories
        )
        profiles.templates.setdefault(template.country, {})[template.code] = template
    for country in profiles.countries.values():
        if country.code not in profiles.regions:
            file = f"countries/{country.code}.toml"
            problem = f"there is no regions/{country.code}.toml"
            problems.append(Problem(file, "root_region", problem))
    return profiles, problems


def _read_words(folder: Path, profiles: Profiles, problems: list[Problem]) -> None:
    """Read deadlines, directories and words; countries and carriers were read before."""
    for name, one in _read(folder, "deadlines/*.toml", DeadlineProfile, problems).items():
        problems += check_deadlines(name, one)
        profiles.deadlines[one.code] = one
    for country in profiles.countries.values():
        if country.deadlines not in profiles.deadlines:
            file = f"countries/{country.code}.toml"
            problem = f"there is no deadlines/{country.deadlines}.toml"
            problems.append(Problem(file, "deadlines", problem))
    for name, listed in _read(folder, "contacts/*.toml", ContactsFile, problems).items():
        problems += check_contacts(name, listed, profiles.countries)
        profiles.directories[listed.country] = Directory(
            listed.contacts, listed.calling_code, listed.checked_days_max
        )
    for name, words in _read(folder, "languages/*.toml", LanguageWords, problems).items():
        problems += check_language(name, words)
        profiles.words[words.code] = words
    for country in profiles.countries.values():
        if country.default_language not in profiles.words:
            file = f"countries/{country.code}.toml"
            problem = f"there is no languages/{country.default_language}.toml"
            problems.append(Problem(file, "default_language", problem))


def _read_regions(folder: Path, profiles: Profiles, problems: list[Problem]) -> None:
    for name, file in _read(folder, "regions/*.toml", RegionsFile, problems).items():
        polygons: Mapping[str, tuple[Ring, ...]] = {}
        if file.outlines is not None:
            try:
                polygons = _read_outlines(folder / "regions" / file.outlines)
            except (OSError, ValueError, KeyError, TypeError) as error:
                problem = f"{file.outlines} is no GeoJSON of regions: {error!r}"
                problems.append(Problem(name, "outlines", problem))
        problems += check_regions(name, file, polygons, profiles.countries)
        profiles.regions[file.country] = Regions(file.regions, polygons, file.censuses)


def _read_outlines(path: Path) -> dict[str, tuple[Ring, ...]]:
    """Read the rings of each region from GeoJSON (RFC 7946); holes count as rings of their own."""
    outlines = {}
    for feature in json.loads(path.read_text("utf-8"))["features"]:
        geometry = feature["geometry"]
        shapes = geometry["coordinates"]
        if geometry["type"] == "Polygon":
            shapes = [shapes]
        outlines[feature["properties"]["iso_3166_2"]] = tuple(
            tuple((float(longitude), float(latitude)) for longitude, latitude in ring)
            for shape in shapes
            for ring in shape
        )
    return outlines


def _read(folder: Path, pattern: str, model: type[M], problems: list[Problem]) -> dict[str, M]:
    """Read every file of a pattern; what cannot be read becomes a problem."""
    found: dict[str, M] = {}
    for path in sorted(folder.glob(pattern)):
        name = path.relative_to(folder).as_posix()
        try:
            found[name] = model.model_validate(tomllib.loads(path.read_text("utf-8")))
        except ValidationError as error:
            problems += [_problem(name, model, fault) for fault in error.errors()]
        except RecursionError:
            problems.append(Problem(name, "", "nested too deeply"))
        except (OSError, ValueError) as error:  # not TOML, not UTF-8, or a number without end
            problems.append(Problem(name, "", str(error)))
    return found


def _problem(file: str, model: type[BaseModel], fault: Any) -> Problem:  # noqa: ANN401 - pydantic's
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return Problem(file, key, fault["msg"].removeprefix("Value error, "))
    near = difflib.get_close_matches(str(fault["loc"][-1]), _keys(model), n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return Problem(file, key, f"unknown key{hint}")


def _keys(model: type[BaseModel]) -> set[str]:
    """Give every key that a file of this model may hold, at any depth."""
    keys: set[str] = set()
    waiting: list[Any] = [model.model_json_schema()]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            keys |= set(node.get("properties", ()))
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return keys
