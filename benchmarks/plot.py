"""Drawings of results as plain SVG: no plotting library, readable in light and in dark, and as an image in a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 50, 50
PLOT_HEIGHT = 300
BAR_HEIGHT, BAR_GAP, BAR_LEFT, BAR_RIGHT = 22, 10, 110, 110
LABEL_GAP = 15
NINES = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
# Okabe and Ito's colours, told apart by colour-blind readers too; yellow is left out, too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D46", "#7F7F7F")
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:15px}"
    ".quiet{fill:#57606a;font-size:12px}.grid{stroke:#d0d7de;stroke-width:1}.back{fill:#ffffff}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}.grid{stroke:#3d444d}.back{fill:#0d1117}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Percentile and microseconds, rising."""

    name: str
    points: Sequence[tuple[float, float]]


def bars(title: str, values: Sequence[Bar]) -> str:
    """Lying bars, in the order given, on one linear scale from zero; each with its value."""
    most = max((one.value for one in values), default=0.0) or 1.0
    room = WIDTH - BAR_LEFT - BAR_RIGHT
    parts = []
    for place, one in enumerate(values):
        top = TOP + place * (BAR_HEIGHT + BAR_GAP)
        length = max(1.0, one.value / most * room)
        middle = top + BAR_HEIGHT * 0.7
        parts += [
            _text(BAR_LEFT - 8, middle, one.name, anchor="end"),
            _rectangle(top, length, _colour(place)),
            _text(BAR_LEFT + length + 6, middle, f"{one.value:,.0f}", kind="quiet"),
        ]
    return _drawing(title, TOP + len(values) * (BAR_HEIGHT + BAR_GAP) + 10, parts)


def _rectangle(top: float, length: float, colour: str) -> str:
    place = f'x="{BAR_LEFT}" y="{top}" width="{length:.1f}" height="{BAR_HEIGHT}"'
    return f'<rect {place} rx="2" fill="{colour}"/>'


def percentiles(title: str, curves: Sequence[Curve]) -> str:
    """Latency by percentile: each step to the right is one nine more, each step up ten times as long."""
    shown = [Curve(one.name, _within(one.points)) for one in curves]
    shown = [one for one in shown if one.points]
    values = [value for one in shown for _, value in one.points] or [1.0, 10.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    scale = _Scale(low, max(high, low + 1))
    parts = [*_grid(scale)]
    labels = _spread([scale.y(one.points[-1][1]) for one in shown])
    for place, (one, label) in enumerate(zip(shown, labels, strict=True)):
        path = " ".join(f"{scale.x(at):.1f},{scale.y(value):.1f}" for at, value in one.points)
        parts += [
            f'<polyline points="{path}" fill="none" stroke="{_colour(place)}" stroke-width="2"/>',
            f'<circle cx="{WIDTH - RIGHT + 12}" cy="{label:.1f}" r="4" fill="{_colour(place)}"/>',
            _text(WIDTH - RIGHT + 22, label + 4, one.name),
        ]
    return _drawing(title, TOP + PLOT_HEIGHT + BOTTOM, parts)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Powers of ten of microseconds upwards, nines to the right."""

    low: int
    high: int

    def y(self, microseconds: float) -> float:
        share = (math.log10(microseconds) - self.low) / (self.high - self.low)
        return TOP + PLOT_HEIGHT * (1 - share)

    def x(self, percentile: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * _nines(percentile) / _nines(NINES[-1])


def _nines(percentile: float) -> float:
    return -math.log10(1 - percentile / 100)


def _within(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """What can be drawn: 100 % is infinitely many nines, and nothing takes no time."""
    return [(at, value) for at, value in points if at <= NINES[-1] and value > 0]


def _grid(scale: _Scale) -> Iterable[str]:
    bottom, right = TOP + PLOT_HEIGHT, WIDTH - RIGHT
    for power in range(scale.low, scale.high + 1):
        y = scale.y(10.0**power)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield _text(LEFT - 8, y + 4, f"{10.0 ** (power - 3):g} ms", kind="quiet", anchor="end")
    for percentile in NINES:
        x = scale.x(percentile)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield _text(x, bottom + 18, f"{percentile:g} %", kind="quiet", anchor="middle")
    yield _text((LEFT + right) / 2, bottom + 38, "percentile of calls", kind="quiet", anchor="middle")


def _spread(wanted: Sequence[float]) -> list[float]:
    """Heights of labels, each as near to its curve as the others leave room for."""
    placed = [0.0] * len(wanted)
    lowest = -math.inf
    for place in sorted(range(len(wanted)), key=wanted.__getitem__):
        lowest = placed[place] = max(wanted[place], lowest + LABEL_GAP)
    over = max(0.0, lowest - (TOP + PLOT_HEIGHT))
    return [height - over for height in placed]


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _text(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    kinds = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kinds}>{escape(text)}</text>'


def _drawing(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(title)}">'
    )
    ground = f'<rect class="back" width="{WIDTH}" height="{height:g}"/>'
    named = f"<title>{escape(title)}</title><style>{STYLE}</style>"
    heading = _text(16, 26, title, kind="title")
    return "\n".join([head, named, ground, heading, *parts, "</svg>"]) + "\n"
