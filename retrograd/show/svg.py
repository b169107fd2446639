"""Draw boxes and arrows as SVG: no two boxes overlap, text fits, one file without dependencies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from retrograd.show.layout import Layout, lay_out

TITLE, DETAIL = 13, 11  # font sizes, px
PAD, LINE = 11, 16  # px: between text and border at the sides; height of a line of text
GAP, ROW_GAP, THREAD, MARGIN = 22, 38, 6, 18  # px
PORT_STEP = 14  # px between two arrows that end at one box
SANS = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
DARK, GRAY = "#0f172a", "#475569"  # of titles; of details and arrows
HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" '
    'markerUnits="userSpaceOnUse" orient="auto">'
    f'<path d="M0 0.5 8 4 0 7.5 2 4z" fill="{GRAY}"/></marker></defs>'
)


@dataclass(frozen=True)
class Kind:
    """A sort of box: its colours, and what they mean."""

    meaning: str
    fill: str
    border: str


@dataclass(frozen=True)
class Box:
    """One box: two lines of text, the second may be empty, and a hint for the mouse."""

    title: str
    detail: str
    kind: Kind
    hint: str

    @property
    def width(self) -> float:
        return 2 * PAD + max(text_width(self.title, TITLE), text_width(self.detail, DETAIL))

    @property
    def height(self) -> float:
        return 10.0 + LINE * (2 if self.detail else 1)


def text_width(text: str, size: int) -> float:
    """Estimate the width of a line of text, on the generous side: which font draws it is not known here."""
    return size * sum(
        0.38 if c in "ijltfrI.,:;'|()[] " else 0.95 if c in "mwMW" else 0.76 if c.isupper() else 0.63
        for c in text
    )


def draw(boxes: Sequence[Box], edges: Sequence[tuple[int, int]], hints: Sequence[str], label: str) -> str:
    """Draw the boxes with an arrow for each edge (source, target), and a legend of the kinds of boxes.

    `hints` has a text for the mouse per edge, empty for none; `label` says in words what the picture is.
    """
    layout = lay_out([box.width for box in boxes], edges, gap=GAP, thread=THREAD)
    return _Picture(boxes, layout).draw(hints, label)


class _Picture:
    """A layout with heights: where rows stand, and the SVG of what is in them."""

    def __init__(self, boxes: Sequence[Box], layout: Layout) -> None:
        self.boxes, self.layout, self.x = boxes, layout, layout.x
        self.tall = [max((self.height(i) for i in row), default=0.0) for row in layout.rows]
        tops = itertools.accumulate((height + ROW_GAP for height in self.tall), initial=float(MARGIN))
        self.middle = [top + height / 2 for top, height in zip(tops, self.tall, strict=False)]

    def height(self, item: int) -> float:
        """Return the height of a box, or 0 of a waypoint: the boxes decide how tall a row is."""
        return self.boxes[item].height if item < len(self.boxes) else 0.0

    def upper(self, item: int) -> float:
        """Return where arrows enter: the top of a box, the top of the row of a waypoint."""
        row = self.layout.row_of[item]
        return self.middle[row] - (self.height(item) or self.tall[row]) / 2

    def lower(self, item: int) -> float:
        row = self.layout.row_of[item]
        return self.middle[row] + (self.height(item) or self.tall[row]) / 2

    def draw(self, hints: Sequence[str], label: str) -> str:
        widths = [box.width for box in self.boxes] + [0.0] * (len(self.x) - len(self.boxes))
        left = min(x - width / 2 for x, width in zip(self.x, widths, strict=True)) - MARGIN
        right = max(x + width / 2 for x, width in zip(self.x, widths, strict=True)) + MARGIN
        end = self.middle[-1] + self.tall[-1] / 2 + MARGIN
        legend, legend_right = self.legend(left + MARGIN, end)
        wide, high = max(right, legend_right) - left, end + LINE + 8
        start = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} 0 {wide:.0f} {high:.0f}" '
            f'width="{wide:.0f}" height="{high:.0f}" font-family="{SANS}" role="img" '
            f'aria-label="{escape(label)}">'
        )
        parts = [
            start,
            HEAD,
            f'<rect x="{left:.0f}" width="{wide:.0f}" height="{high:.0f}" fill="#ffffff"/>',
            f'<g fill="none" stroke="{GRAY}" stroke-width="1.2" stroke-linecap="round">',
            *self.arrows(hints),
            "</g>",
            *map(self.box, range(len(self.boxes))),
            legend,
            "</svg>\n",
        ]
        return "\n".join(parts)

    def arrows(self, hints: Sequence[str]) -> list[str]:
        """Draw each edge; the stretches that edges from one source share are drawn once."""
        ends, drawn, lines = self.ends(), set(), []
        for route, end, hint in zip(self.layout.routes, ends, hints, strict=True):
            path = ""
            for here, there in itertools.pairwise(route):
                last = there == route[-1]
                if not last and (here, there) in drawn:
                    continue
                drawn.add((here, there))
                x0, y0 = self.x[here], self.lower(here)
                x1, y1 = end if last else self.x[there], self.upper(there)
                bend = (y1 - y0) / 2
                path = path or f"M{x0:.1f} {y0:.1f}"
                path += f"C{x0:.1f} {y0 + bend:.1f} {x1:.1f} {y1 - bend:.1f} {x1:.1f} {y1:.1f}"
                path += "" if last else f"V{self.lower(there):.1f}"
            title = f"<title>{escape(hint)}</title>" if hint else ""
            lines.append(f'<path d="{path}" marker-end="url(#head)">{title}</path>')
        return lines

    def ends(self) -> list[float]:
        """Say where on its target each edge ends: side by side, in the order in which they come."""
        routes = self.layout.routes
        arriving: dict[int, list[int]] = {}
        for edge, route in enumerate(routes):
            arriving.setdefault(route[-1], []).append(edge)
        ends = [0.0] * len(routes)
        for target, edges in arriving.items():
            edges.sort(key=lambda edge: self.x[routes[edge][-2]])
            step = min(PORT_STEP, (self.boxes[target].width - 2 * PAD) / len(edges))
            for place, edge in enumerate(edges):
                ends[edge] = self.x[target] + (place - (len(edges) - 1) / 2) * step
        return ends

    def box(self, number: int) -> str:
        box, x, y = self.boxes[number], self.x[number], self.middle[self.layout.row_of[number]]
        baseline = (
            y + TITLE * 0.36 - (LINE / 2 if box.detail else 0)
        )  # capitals are some 0.72 of the size high
        text = _text(x, baseline, TITLE, DARK, box.title)
        if box.detail:
            text += _text(x, baseline + LINE, DETAIL, GRAY, box.detail)
        return (
            f'<g text-anchor="middle"><title>{escape(box.hint)}</title>'
            f'<rect x="{x - box.width / 2:.1f}" y="{y - box.height / 2:.1f}" width="{box.width:.1f}" '
            f'height="{box.height:.1f}" rx="6" fill="{box.kind.fill}" stroke="{box.kind.border}"/>{text}</g>'
        )

    def legend(self, x: float, y: float) -> tuple[str, float]:
        """Draw what the colours mean; return it with the x where it ends."""
        parts = []
        for kind in dict.fromkeys(box.kind for box in self.boxes):
            square = f'<rect x="{x:.1f}" y="{y:.1f}" width="12" height="12" rx="3" '
            parts.append(f'{square}fill="{kind.fill}" stroke="{kind.border}"/>')
            parts.append(_text(x + 18, y + 10, DETAIL, GRAY, kind.meaning))
            x += 18 + text_width(kind.meaning, DETAIL) + 14
        return "".join(parts), x


def _text(x: float, y: float, size: int, colour: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}">{escape(text)}</text>'
