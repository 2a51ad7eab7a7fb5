"""The group `nser keys`: joins its commands. Shows fingerprints, never a key."""

import typer

from lookup_core.cli.keys.files import create, replica_keys, reseal
from lookup_core.cli.keys.rotating import retire, rotate
from lookup_core.cli.keys.status import status

keys = typer.Typer(
    help="The register's own keys: make and rotate them, see what is on which version.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
keys.command()(create)
keys.command("replica-keys")(replica_keys)
keys.command()(reseal)
keys.command()(rotate)
keys.command()(retire)
keys.command()(status)
