"""What a command prints: one sentence or one aligned table for people, one JSON object for machines.

Results go to standard output; errors and progress to standard error. Colour only on a terminal (rich sees to it, and
to NO_COLOR).
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from lookup_core.cli.exits import CommandFailed

JSON_WANTED = "nser.json"  # in the context's `meta`, so that the error's form is known outside the command


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[JSON_WANTED] = value
    return value


Json = Annotated[bool, typer.Option("--json", callback=_remember, help="Print one JSON object for machines.")]


def tell(sentence: str, values: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a result: the sentence, or the same as JSON."""
    print(json.dumps(values, indent=2, default=str) if as_json else sentence)


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[str] = (),
    texts: Sequence[str] = (),
) -> None:
    """Print one aligned table; columns named in `numbers` are right-aligned, those in `texts` may take more lines."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for head in heads:
        if head in texts:
            drawn.add_column(head, overflow="fold")
        else:
            drawn.add_column(head, justify="right" if head in numbers else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*row)
    # A pipe has no width: a table there is as wide as it needs to be.
    width = None if sys.stdout.isatty() else 240
    console = Console(width=width, markup=False, emoji=False)  # what is in a cell is text, whoever named it
    console.print(drawn)


def report(failed: CommandFailed, *, as_json: bool) -> None:
    """Print an error on standard error: what is wrong, and a command to try."""
    if as_json:
        values = {
            "reason": failed.reason,
            "message": failed.message,
            "try": failed.attempt,
            "exit_code": int(failed.code),
        }
        print(json.dumps({"error": values}, indent=2), file=sys.stderr)
        return
    print(failed.message, file=sys.stderr)
    if failed.attempt:
        print(f"Try: {failed.attempt}", file=sys.stderr)
