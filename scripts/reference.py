"""Draw the parts of docs/reference that are data in the code, or say that what is committed is not fresh (`--check`).

A page keeps its prose; between `<!-- drawn: NAME -->` and `<!-- end -->` stands what this script writes. The moves of
an exclusion come from lookup_core.domain.exclusion.MOVES, the periods from lookup_core.domain.period.RULES. Refuses a
move that the picture has no place for: `ARROWS` is the one thing here that a person draws.
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Final

from lookup_core.domain.exclusion import CONFIRMED_WITHIN, MOVES, REFLECTION, State
from lookup_core.domain.period import RULES, Months, Period, ReleaseKind, term

ROOT: Final = Path(__file__).resolve().parent.parent
REFERENCE: Final = ROOT / "docs" / "reference"
PICTURE: Final = "lifecycle.svg"
_REGION: Final = re.compile(r"(<!-- drawn: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

# Where each state stands, and how an arrow runs and where its words stand: path, x, y, and which end of them is there.
BOXES: Final[Mapping[State, tuple[int, int]]] = {
    State.ACTIVE: (20, 90),
    State.EXPIRED: (340, 90),
    State.RELEASE_REQUESTED: (660, 90),
    State.RELEASED: (340, 290),
}
ARROWS: Final[Mapping[tuple[State, State], tuple[str, int, int, str]]] = {
    (State.ACTIVE, State.EXPIRED): ("M180 115 H340", 260, 106, "middle"),
    (State.ACTIVE, State.RELEASE_REQUESTED): ("M100 90 C170 10 630 10 700 90", 400, 22, "middle"),
    (State.ACTIVE, State.RELEASED): ("M100 140 C100 250 200 315 340 315", 122, 180, "start"),
    (State.EXPIRED, State.RELEASED): ("M420 140 V290", 430, 200, "start"),
    (State.EXPIRED, State.RELEASE_REQUESTED): ("M500 115 H660", 580, 106, "middle"),
    (State.RELEASE_REQUESTED, State.RELEASE_REQUESTED): ("M770 90 C770 40 860 60 820 105", 760, 36, "middle"),
    (State.RELEASE_REQUESTED, State.RELEASED): ("M740 140 C740 250 640 315 500 315", 716, 180, "end"),
}
_ENDED_BY: Final = {
    ReleaseKind.BY_WORKER: "the worker, at once",
    ReleaseKind.BY_PERSON: "the person, in two steps",
}
# Written out once, below the table.
_REGULATIONS: Final = "L.N. 112/2026 Gambling Control (Conduct of Gambling Operations) Regulations"
_SHORT: Final = "L.N. 112/2026"
_SVG: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 360" role="img" '
    'font-family="system-ui, sans-serif" font-size="14">'
)
_MARKER: Final = (
    '<defs><marker id="m" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 10 5 0 10z" fill="#57606a"/></marker></defs>'
)
_STYLE: Final = (
    ".b{fill:#fdecea;stroke:#a40e26;stroke-width:1.3}.o{fill:#e6f4ea;stroke:#1a7f37}"
    ".l{stroke:#57606a;stroke-width:1.4;fill:none;marker-end:url(#m)}.w{font-size:12px;fill:#424a53}text{fill:#1f2328}"
)


def moves() -> str:
    """The table of moves."""
    rows = ["| From | Act | To | By | For | Rule |", "|---|---|---|---|---|---|"]
    for (state, act), move in MOVES.items():
        only = "every period" if move.only == frozenset(Period) else ", ".join(sorted_periods(move.only))
        grounds = f" ({', '.join(sorted(move.grounds))})" if move.grounds else ""
        rows.append(
            f"| `{state}` | `{act}` | `{move.to}` | {words(move.by)} | {only} | {move.rule}{grounds} |"
        )
    return "\n".join(rows) + "\n"


def diagram() -> str:
    """The moves as Mermaid source."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.ACTIVE}"]
    lines += [f"    {state} --> {move.to}: {act} by {words(move.by)}" for (state, act), move in MOVES.items()]
    lines += [f"    {state} --> [*]" for state in State if not state.excludes]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def windows() -> str:
    """The two spans that a confirmation must lie between."""
    return f"A release is confirmed from day {REFLECTION.days} to day {CONFIRMED_WITHIN.days} after it was asked for.\n"


def periods() -> str:
    """The table of periods, with an example of each."""
    begins = datetime(2026, 8, 31, 11, 0, tzinfo=UTC)
    rows = [
        "| `period` | Runs | Begun 31 Aug 2026, 14:00 EAT, it is over | Ended by | Legal source |",
        "|---|---|---|---|---|",
    ]
    for rule in RULES.values():
        over = term(rule.period, begins)
        shown = (
            "never"
            if over.expires_at is None
            else f"{over.expires_at + timedelta(hours=3):%d %b %Y, %H:%M} EAT"
        )
        by = _ENDED_BY[rule.release]
        source = rule.legal_source.replace(_REGULATIONS, _SHORT)
        rows.append(f"| `{rule.period}` | {runs(rule.duration)} | {shown} | {by} | {source} |")
    return "\n".join(rows) + "\n"


def runs(duration: timedelta | Months | None) -> str:
    """A duration in words."""
    if duration is None:
        return "without end"
    if isinstance(duration, Months):
        return f"{duration.count} calendar months"
    hours = duration // timedelta(hours=1)
    return f"{hours} hours" if hours <= 24 else f"{hours // 24} days of 24 hours"


def sorted_periods(chosen: frozenset[Period]) -> list[str]:
    return [f"`{period}`" for period in Period if period in chosen]


def words(actor: str) -> str:
    return actor.replace("_", " ")


def picture() -> str:
    """The moves as SVG. Raises KeyError for a move or a state that has no place."""
    told: dict[tuple[State, State], list[str]] = defaultdict(list)
    for (state, act), move in MOVES.items():
        told[state, move.to].append(f"{act} · {words(move.by)}")
    described = "; ".join(f"{a} to {b}: {', '.join(acts)}" for (a, b), acts in told.items())
    return "\n".join(
        [
            _SVG,
            "<title>States of an exclusion and the moves between them</title>",
            f"<desc>{escape(described)}</desc>",
            f"<style>{_STYLE}</style>",
            _MARKER,
            '<rect width="880" height="360" fill="#ffffff"/>',
            *(_box(state, *place) for state, place in BOXES.items()),
            *(line for ends, acts in told.items() for line in _arrow(acts, *ARROWS[ends])),
            "</svg>\n",
        ]
    )


def _box(state: State, x: int, y: int) -> str:
    kind = "b" if state.excludes else "b o"
    says = "excluded" if state.excludes else "may play"
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="160" height="50" rx="6"/>'
        f'<text x="{x + 80}" y="{y + 22}" text-anchor="middle" font-weight="600">{state}</text>'
        f'<text class="w" x="{x + 80}" y="{y + 40}" text-anchor="middle">{says}</text>'
    )


def _arrow(acts: list[str], path: str, x: int, y: int, anchor: str) -> Iterator[str]:
    yield f'<path class="l" d="{path}"/>'
    for line, act in enumerate(acts):
        yield f'<text class="w" x="{x}" y="{y + 16 * line}" text-anchor="{anchor}">{act}</text>'


DRAWN: Final[Mapping[str, Callable[[], str]]] = {
    "moves": moves,
    "diagram": diagram,
    "windows": windows,
    "periods": periods,
}


def fresh() -> dict[Path, str]:
    """Every drawn file of docs/reference and what it should hold."""
    written = {REFERENCE / PICTURE: picture()}
    for page in sorted(REFERENCE.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        drawn = _REGION.sub(lambda found: found[1] + DRAWN[found[2]]() + found[4], text)
        if _REGION.search(text):
            written[page] = drawn
    return written


def stale() -> list[Path]:
    """Those of them that hold something else."""
    return [
        path
        for path, text in fresh().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when something is not fresh"
    )
    if parser.parse_args().check:
        if old := stale():
            raise SystemExit(
                f"Not fresh: {', '.join(path.name for path in old)}. Run: python scripts/reference.py"
            )
        return
    for path, text in fresh().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
