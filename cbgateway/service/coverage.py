"""From regions to cells: what each controller is told, and where nobody is reached."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cbgateway.codec.cells import ALL_CELLS, Cgi, Lai
from cbgateway.profiles.regions import Regions


@dataclass(frozen=True, slots=True)
class Site:
    """A cell with the place where it stands.

    Attributes:
        controller: which base station controller it belongs to.
        region: code of the smallest region it stands in.
    """

    controller: str
    region: str
    cell: Cgi


@dataclass(frozen=True, slots=True)
class Covered:
    """What one controller contributes to a region.

    Attributes:
        cells: how many of its cells are there.
        places: how they are named to it.
    """

    controller: str
    cells: int
    places: tuple[str, ...]


class CellMap:
    """All cells of one network."""

    def __init__(self, sites: Iterable[Site] = ()) -> None:
        """Make a map; a controller's cells stay in the order of their names."""
        self._by_controller: dict[str, list[Site]] = {}
        for site in sorted(sites, key=lambda site: (site.controller, site.cell)):
            self._by_controller.setdefault(site.controller, []).append(site)

    def __len__(self) -> int:
        """Count the cells."""
        return sum(map(len, self._by_controller.values()))

    @property
    def controllers(self) -> Mapping[str, int]:
        """How many cells each controller has."""
        return {name: len(sites) for name, sites in self._by_controller.items()}

    def cover(self, region: str, regions: Regions, *, scope: str) -> Iterator[Covered]:
        """Give what each controller has in a region; those that have nothing are left out.

        Args:
            region: code.
            regions: the tree.
            scope: the widest name to use: ``cell``, ``location_area`` or ``bss``. A wider one is
                used only where it reaches exactly the same cells.
        """
        for controller, sites in self._by_controller.items():
            inside = [site.cell for site in sites if regions.contains(region, site.region)]
            if inside:
                places = _places(inside, [site.cell for site in sites], scope)
                yield Covered(controller, len(inside), places)

    def bare(self, codes: Sequence[str], regions: Regions) -> tuple[str, ...]:
        """Give the smallest regions inside `codes` in which no cell stands."""
        covered = {site.region for sites in self._by_controller.values() for site in sites}
        leaves = dict.fromkeys(leaf for code in codes for leaf in regions.leaves(code))
        return tuple(
            leaf for leaf in leaves if not any(regions.contains(leaf, region) for region in covered)
        )


def _places(inside: Sequence[Cgi], every: Sequence[Cgi], scope: str) -> tuple[str, ...]:
    """Name cells as widely as is exact."""
    if scope == "bss" and len(inside) == len(every):
        return (str(ALL_CELLS),)
    if scope == "cell":
        return tuple(map(str, inside))
    wanted, there = _by_area(inside), _by_area(every)
    places: list[str] = []
    for area, cells in wanted.items():
        places += [str(area)] if len(cells) == len(there[area]) else map(str, cells)
    return tuple(places)


def _by_area(cells: Sequence[Cgi]) -> dict[Lai, list[Cgi]]:
    areas: dict[Lai, list[Cgi]] = {}
    for cell in cells:
        areas.setdefault(cell.lai, []).append(cell)
    return areas
