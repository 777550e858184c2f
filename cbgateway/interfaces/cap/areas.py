"""Shapes of an alert to the regions of a profile, and back."""

import math
from collections.abc import Iterable, Mapping

import shapely
from shapely.geometry import Polygon

from cbgateway.domain.errors import InputError
from cbgateway.interfaces.cap.document import CapArea, Point
from cbgateway.profiles.regions import Regions, Ring

REGION_LISTS = {"ISO3166-2", "ISO 3166-2", "cbgateway:region"}
"""Names of lists whose codes are ours."""
NATIONAL_LIST = "cbgateway:national"
SHARE_OF_SHAPE_MIN = 0.05  # less of a shape in a region is the coarseness of its outline
SHARE_OF_REGION_MIN = 0.5  # of a small region in a wide shape: it lies there
SHARE_KNOWN_MIN = 0.5  # of a shape that has to lie in regions, if it covers none of them
WIDTH_MAX_DEGREES = 180.0  # wider ones mean the other way round the earth
POINT_RADIUS_KM = 0.01  # a circle without radius is a place
CIRCLE_POINTS = 64
KM_PER_DEGREE = 111.32  # of latitude, and of longitude at the equator
POINTS_MAX = 100  # of a polygon that we publish; receivers take a hundred (IPAWS)
POLYGONS_MAX = 8  # of one region: its land and the largest islands
TOLERANCE_DEGREES = 0.005  # half a kilometre, doubled until a line has few enough points


def regions_of(areas: Iterable[CapArea], regions: Regions, place: str) -> tuple[str, ...]:
    """Give the codes of the regions that areas mean; there is no default.

    An area that names regions by a list known here means those, and its shapes describe them. One
    that has shapes only means every region that a share of them lies in.

    Raises:
        InputError: no area, or one that means no region here.
    """
    outlines = {code: shape_of(rings) for code, rings in regions.polygons.items()}
    found: dict[str, None] = {}
    problems = []
    for at, area in enumerate(areas, start=1):
        try:
            codes = _named_regions(area, regions)
            shape = _shape(area)
            if codes:
                _check_meets(shape, codes, outlines, regions)
            else:
                codes = _covered_regions(shape, outlines, regions)
        except InputError as error:
            problems += [f"{place}.area[{at}]: {problem}" for problem in error.problems]
            continue
        found |= dict.fromkeys(codes)
    if problems:
        raise InputError(*problems)
    if not found:
        msg = f"{place}.area: at least one is needed; there is no default area"
        raise InputError(msg)
    return tuple(found)


def shape_of(rings: Iterable[Ring]) -> shapely.Geometry:
    """Give the area between rings: a ring inside another one is a hole."""
    shape: shapely.Geometry = Polygon()
    for ring in rings:
        shape = shapely.symmetric_difference(shape, shapely.make_valid(Polygon(ring)))
    return shape


def outline_of(rings: Iterable[Ring]) -> tuple[tuple[Point, ...], ...]:
    """Give a region's outline for others: few polygons of few points, the largest first."""
    parts = _polygons(shape_of(rings))
    parts.sort(key=lambda part: part.area, reverse=True)
    return tuple(_simplified(part) for part in parts[:POLYGONS_MAX])


def _simplified(part: Polygon) -> tuple[Point, ...]:
    line, tolerance = part.exterior, TOLERANCE_DEGREES
    while len(line.coords) > POINTS_MAX:
        line = Polygon(part.exterior).simplify(tolerance).exterior
        tolerance *= 2
    return tuple((round(latitude, 4), round(longitude, 4)) for longitude, latitude in line.coords)


def _polygons(shape: shapely.Geometry) -> list[Polygon]:
    if isinstance(shape, Polygon):
        return [] if shape.is_empty else [shape]
    return [part for one in getattr(shape, "geoms", ()) for part in _polygons(one)]


def _named_regions(area: CapArea, regions: Regions) -> tuple[str, ...]:
    national = {one.national_code: code for code, one in regions.items() if one.national_code}
    codes = []
    for name, value in area.geocodes:
        code = national.get(value, "") if name == NATIONAL_LIST else value
        if name not in {*REGION_LISTS, NATIONAL_LIST}:
            continue  # a list of somebody else's; the shapes, or the next one, have to do
        if code not in regions:
            msg = f"geocode {name} {value[:80]!r} is no region here"
            raise InputError(msg)
        codes.append(code)
    return tuple(codes)


def _shape(area: CapArea) -> shapely.Geometry:
    shapes: list[shapely.Geometry] = []
    for points in area.polygons:
        polygon = Polygon([(longitude, latitude) for latitude, longitude in points])
        west, _, east, _ = polygon.bounds or (0.0, 0.0, 0.0, 0.0)
        if not polygon.is_valid or polygon.area <= 0 or east - west > WIDTH_MAX_DEGREES:
            msg = "the polygon crosses itself, has no area, or goes round the earth"
            raise InputError(msg)
        shapes.append(polygon)
    shapes += [_circle(centre, radius_km) for centre, radius_km in area.circles]
    return shapely.union_all(shapes) if shapes else Polygon()


def _circle(centre: Point, radius_km: float) -> Polygon:
    """Draw a circle on the ground, which is wide in degrees far from the equator."""
    latitude, longitude = centre
    degrees = max(radius_km, POINT_RADIUS_KM) / KM_PER_DEGREE
    across = degrees / max(math.cos(math.radians(latitude)), 0.01)
    turns = [2 * math.pi * at / CIRCLE_POINTS for at in range(CIRCLE_POINTS)]
    return Polygon(
        [(longitude + across * math.cos(t), latitude + degrees * math.sin(t)) for t in turns]
    )


def _check_meets(
    shape: shapely.Geometry,
    codes: Iterable[str],
    outlines: Mapping[str, shapely.Geometry],
    regions: Regions,
) -> None:
    """Refuse shapes that lie elsewhere than the regions that are named beside them."""
    drawn = [outlines[leaf] for code in codes for leaf in regions.leaves(code) if leaf in outlines]
    if shape.is_empty or not drawn:
        return
    if not any(shape.intersects(one) for one in drawn):
        msg = f"the shapes lie elsewhere than {', '.join(codes)}"
        raise InputError(msg)


def _covered_regions(
    shape: shapely.Geometry, outlines: Mapping[str, shapely.Geometry], regions: Regions
) -> tuple[str, ...]:
    if shape.is_empty:
        msg = "it names no region and has no shape; there is no default area"
        raise InputError(msg)
    shares = {
        code: shape.intersection(outline).area
        for code, outline in outlines.items()
        if shape.intersects(outline)
    }
    whole = {
        code
        for code, shared in shares.items()
        if shared >= SHARE_OF_REGION_MIN * outlines[code].area
    }
    if not whole and sum(shares.values()) < SHARE_KNOWN_MIN * shape.area:
        msg = "most of it lies outside every region here; latitude comes first"
        raise InputError(msg)
    codes = whole | {
        code for code, shared in shares.items() if shared >= SHARE_OF_SHAPE_MIN * shape.area
    }
    for code in regions:
        children = set(regions.children(code))
        if children and children <= codes:
            codes = (codes - children) | {code}
    return tuple(code for code in regions if code in codes)
