"""The entry point `nser`: joins the commands of this room with those that other rooms add.

A package adds a command, or a group of them, by naming a typer app in the entry-point group `nser.commands`. One that
cannot be loaded is named on standard error and stops nothing else.
"""

import os
import sys
from importlib.metadata import entry_points
from typing import Any

import typer
from typer.core import TyperGroup

from lookup_core.cli.api_keys import api_keys
from lookup_core.cli.audit import audit
from lookup_core.cli.check import check
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.keys.group import keys
from lookup_core.cli.migrate import migrate
from lookup_core.cli.output import JSON_WANTED, report
from lookup_core.cli.register import register
from lookup_core.cli.run import run
from lookup_core.cli.seed import seed
from lookup_core.cli.shred import shred
from lookup_core.cli.status import status
from lookup_core.cli.stop import stop
from lookup_core.cli.tokens import tokens

GROUP = "nser.commands"
HELP = """The register of self-excluded gamblers: run it, watch it, ask it.

\b
Exit codes: 0 done, may play, all is well · 1 a fault of ours · 2 written wrongly · 3 cannot be reached ·
4 refused · 5 not permitted · 10 excluded · 11 the register cannot tell now · 12 the audit log
is not what was signed.
"""


class Commands(TyperGroup):
    """Runs a command and turns whatever stops it into one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandFailed as failed:
            report(failed, as_json=bool(ctx.meta.get(JSON_WANTED)))
            raise typer.Exit(failed.code) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            if os.environ.get("NSER_DEBUG") or type(error).__module__.startswith(("typer.", "click.")):
                raise
            told = CommandFailed(
                f"Something failed on our side ({type(error).__qualname__}). Nothing more is known here.",
                code=ExitCode.FAULT,
                attempt="NSER_DEBUG=1 with the same command, and report what it shows",
            )
            report(told, as_json=bool(ctx.meta.get(JSON_WANTED)))
            raise typer.Exit(ExitCode.FAULT) from None


def build() -> typer.Typer:
    """Join all commands."""
    joined = typer.Typer(
        name="nser",
        cls=Commands,
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    for command in (run, stop, status, check, register, shred, seed, migrate):
        joined.command()(command)
    joined.add_typer(api_keys, name="api-keys")
    joined.add_typer(keys, name="keys")
    joined.add_typer(audit, name="audit")
    joined.add_typer(tokens, name="tokens")
    for point in entry_points(group=GROUP):
        try:
            joined.add_typer(point.load(), name=point.name)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the other commands work
            print(f"The command {point.name} of {point.value} cannot be loaded: {error}", file=sys.stderr)
    return joined


app = build()

if __name__ == "__main__":
    app()
