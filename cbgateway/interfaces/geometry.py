"""Places in regions, by their outlines."""

from collections.abc import Sequence

from cbgateway.profiles.regions import Regions


class RegionFinder:
    """Finds the smallest region around a place."""

    def __init__(self, regions: Regions) -> None:
        """Index the outlines."""
        import shapely  # noqa: PLC0415 - takes a while to load, and 25 MiB with numpy

        self._points = shapely.points
        shapes = [
            (code, shapely.Polygon(ring))
            for code, rings in regions.polygons.items()
            for ring in rings
        ]
        self._codes = [code for code, _ in shapes]
        self._areas = [shape.area for _, shape in shapes]
        self._tree = shapely.STRtree([shape for _, shape in shapes])

    def find(self, points: Sequence[tuple[float, float]]) -> list[str | None]:
        """Give the smallest region around each longitude and latitude; None for nowhere."""
        found: list[str | None] = [None] * len(points)
        best: dict[int, float] = {}
        pairs = self._tree.query(self._points(points), predicate="intersects")
        for point, shape in zip(*pairs.tolist(), strict=True):
            area = self._areas[shape]
            if area < best.get(point, float("inf")):
                best[point], found[point] = area, self._codes[shape]
        return found
