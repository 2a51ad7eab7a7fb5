"""`nser run`: the whole system in the foreground, on embedded defaults (the job behind `make run`)."""

from typing import Annotated

import typer

from lookup_core.cli.home import RunHome


def run(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the processes' whole logs here.")
    ] = False,
) -> None:
    """Start PostgreSQL, Redis and every process; stay until Ctrl-C or `nser stop`."""
    from lookup_core.cli.running.session import Session

    Session(RunHome.here(), everything=verbose).run()
