"""Lay a directed acyclic graph out in rows: who goes in which row, in which order, and where.

Every edge runs downwards. An edge that skips rows gets a waypoint in each row it passes, and the edges that
leave one node share their waypoints, so that a weight used at a thousand steps is one trunk with a thousand
twigs and the number of waypoints stays below nodes x rows.

Source: the stages are those of Sugiyama, Tagawa and Toda (1981): rows by longest path to the end, order by
barycentres; the coordinates solve a least-squares problem per row (see `spread`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

ORDER_SWEEPS = 12  # pictures of up to some hundred nodes stop improving well before
PLACE_SWEEPS, SETTLE_SWEEPS = 12, 4
THREAD_FIRMNESS, LEAF_FIRMNESS = 0.5, 0.05  # against at least 1 of an operation
TWIG_PULL = 0.2  # on a trunk, against 1 of its own waypoints: it keeps straight, yet near what it feeds


@dataclass
class Layout:
    """Where each box stands, and the way each edge takes.

    Items 0 .. n-1 are the boxes; items from n on are waypoints.
    """

    rows: list[list[int]]
    row_of: list[int]
    x: list[float]  # centre
    routes: list[list[int]]  # per edge: its source, the waypoints it passes, its target
    links: dict[int, list[int]] = field(
        default_factory=dict
    )  # item -> its neighbours in the rows above and below


def lay_out(
    widths: Sequence[float], edges: Sequence[tuple[int, int]], *, gap: float, thread: float
) -> Layout:
    """Place boxes of the given widths so that no two overlap and edges are short, straight and rarely cross.

    `gap` is the least distance between neighbours in a row, `thread` the width of a waypoint.
    """
    boxes = len(widths)
    to_end = _heights(boxes, edges)
    layout = _thread_edges([max(to_end) - height for height in to_end], edges)
    _order(layout)
    # A box is as firm as the computation above it is long, so the main line runs straight and leaves stand
    # aside.
    firmness = [
        LEAF_FIRMNESS + h * h for h in _heights(boxes, [(target, source) for source, target in edges])
    ]
    waypoints = len(layout.row_of) - boxes
    _place(layout, [*widths] + [thread] * waypoints, firmness + [THREAD_FIRMNESS] * waypoints, boxes, gap)
    return layout


def _heights(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Count, for each box, the edges of the longest path from it to a box where no edge starts."""
    sources: dict[int, list[int]] = defaultdict(list)
    waiting = [0] * count
    for source, target in edges:
        sources[target].append(source)
        waiting[source] += 1
    heights = [0] * count
    ready = [box for box in range(count) if not waiting[box]]
    for box in ready:  # grows while it is walked
        for source in sources[box]:
            heights[source] = max(heights[source], heights[box] + 1)
            waiting[source] -= 1
            if not waiting[source]:
                ready.append(source)
    return heights


def _thread_edges(row_of: list[int], edges: Iterable[tuple[int, int]]) -> Layout:
    """Add the waypoints, and fill the rows in order of first appearance."""
    rows: list[list[int]] = [[] for _ in range(max(row_of, default=-1) + 1)]
    for box, row in enumerate(row_of):
        rows[row].append(box)
    row_of = list(row_of)
    waypoints: dict[tuple[int, int], int] = {}
    routes, links = [], defaultdict(list)
    for source, target in edges:
        route = [source]
        for row in range(row_of[source] + 1, row_of[target]):
            point = waypoints.get((source, row))
            if point is None:
                point = waypoints[source, row] = len(row_of)
                row_of.append(row)
                rows[row].append(point)
                links[route[-1]].append(point)
                links[point].append(route[-1])
            route.append(point)
        links[route[-1]].append(target)
        links[target].append(route[-1])
        routes.append([*route, target])
    return Layout(rows, row_of, [0.0] * len(row_of), routes, links)


def _order(layout: Layout) -> None:
    """Sort rows by the mean position of their neighbours, down and up in turn; keep what crosses least."""
    rows, row_of, links = layout.rows, layout.row_of, layout.links
    position = {item: float(i) for row in rows for i, item in enumerate(row)}
    best, fewest = [row[:] for row in rows], crossings(layout)
    for sweep in range(ORDER_SWEEPS):
        if not fewest:
            break
        step = 1 if sweep % 2 == 0 else -1
        for row in rows[::step]:
            means = {}
            for item in row:
                seen = [
                    position[other] for other in links.get(item, ()) if row_of[other] == row_of[item] - step
                ]
                means[item] = sum(seen) / len(seen) if seen else position[item]
            row.sort(key=means.__getitem__)
            position.update((item, float(i)) for i, item in enumerate(row))
        count = crossings(layout)
        if count < fewest:
            best, fewest = [row[:] for row in rows], count
    layout.rows[:] = best


def crossings(layout: Layout) -> int:
    """Count the pairs of links between neighbouring rows that cross."""
    position = {item: i for row in layout.rows for i, item in enumerate(row)}
    total = 0
    for row in layout.rows:
        below: list[int] = []  # ends of the links further left, sorted
        for item in row:
            ends = [
                position[other]
                for other in layout.links.get(item, ())
                if layout.row_of[other] == layout.row_of[item] + 1
            ]
            total += sum(len(below) - bisect_left(below, end + 1) for end in ends)
            for end in ends:
                insort(below, end)
    return total


def _place(
    layout: Layout, widths: Sequence[float], firmness: Sequence[float], boxes: int, gap: float
) -> None:
    """Pull every item towards its neighbours, a row at a time, until the picture settles.

    A sweep down looks at the row above only, a sweep up at the row below only: chains come out straight at
    once, where looking both ways would relax them like heat along a rod. The last sweeps look both ways.
    """
    x, row_of = layout.x, layout.row_of

    def pull(item: int, other: int) -> float:
        if item < boxes:
            return firmness[other]
        return 1.0 if other >= boxes else TWIG_PULL

    def wanted(item: int, away: int | None) -> float:
        near = layout.links.get(item, [])
        if away is not None:
            near = [other for other in near if row_of[other] == row_of[item] + away] or near
        pulls = [(x[other], pull(item, other)) for other in near]
        return sum(at * much for at, much in pulls) / sum(much for _, much in pulls) if pulls else x[item]

    for sweep in range(PLACE_SWEEPS + SETTLE_SWEEPS):
        step = 1 if sweep % 2 == 0 else -1
        for row in layout.rows[::step]:
            wishes = [wanted(item, -step if sweep < PLACE_SWEEPS else None) for item in row]
            centres = spread(wishes, [widths[i] for i in row], [firmness[i] for i in row], gap)
            for item, centre in zip(row, centres, strict=True):
                x[item] = centre


def spread(
    wanted: Sequence[float], widths: Sequence[float], firmness: Sequence[float], gap: float
) -> list[float]:
    """Return the centres nearest to the wanted ones, in weighted least squares, that keep order and gaps.

    Measured from the leftmost packing the constraint is `non-decreasing`, so this is isotonic regression:
    merge neighbours into blocks while a block stands right of its successor.

    Example:
        >>> spread([0.0, 0.0], [10.0, 10.0], [1.0, 1.0], gap=2.0)
        [-6.0, 6.0]
        >>> spread([0.0, 0.0], [10.0, 10.0], [3.0, 1.0], gap=2.0)
        [-3.0, 9.0]
    """
    packed, edge = [], 0.0
    for width in widths:
        packed.append(edge + width / 2)
        edge += width + gap
    blocks: list[tuple[float, float, int]] = []  # mean, firmness, number of items
    for want, base, firm in zip(wanted, packed, firmness, strict=True):
        mean, weight, size = want - base, firm, 1
        while blocks and blocks[-1][0] > mean:
            left, heavy, count = blocks.pop()
            mean = (left * heavy + mean * weight) / (heavy + weight)
            weight, size = heavy + weight, size + count
        blocks.append((mean, weight, size))
    shifts = [mean for mean, _, size in blocks for _ in range(size)]
    return [base + shift for base, shift in zip(packed, shifts, strict=True)]
