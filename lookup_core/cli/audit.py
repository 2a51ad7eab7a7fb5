"""`nser audit`: verify the audit log, prove an entry, keep old months in files. Reads the database; changes nothing.

Whoever verifies needs the public key and the right to read: `NSER_DATABASE_URL` of the role nser_auditor will do.
"""

import asyncio
import base64
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lookup_core.cli.database import connected, owner_url
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome
from lookup_core.cli.keys.opening import opened_ring
from lookup_core.cli.output import Json, tell
from lookup_core.cli.receipts import receipts

if TYPE_CHECKING:
    from lookup_core.audit.verifying import Outside, Verified
    from lookup_core.kernel.notes import Verifier

Result = TypeVar("Result")

audit = typer.Typer(
    help="Verify the audit log, prove its entries, and keep it.", no_args_is_help=True, rich_markup_mode=None
)
audit.command()(receipts)
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="A public key, as `nser audit key` prints it. By default the key ring's."),
]


@audit.command()
def verify(
    key: Keys = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", help="The folder of checkpoints outside. By default NSER_AUDIT_WITNESS_DIR."
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None, typer.Option("--checkpoint", help="A checkpoint that somebody kept, in a file.")
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", help="Verify exported months instead of the database.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", min=0, help="By default one for each processor.")
    ] = None,
    json: Json = False,
) -> None:
    """Make every hash again and compare it with what was signed. Exit code 12 names the first entry that is wrong."""
    from lookup_core.audit.verifying import Verified, verify

    if file:
        _tell(_files(file, key), json, what="in the files")
        return
    outside = _outside(folder, checkpoint or [])

    async def run(url: str) -> Verified:
        verifiers = await _verifiers(url, key)
        return await verify(url, verifiers, outside, processes=processes, progress=_progress)

    _tell(_run(run(owner_url())), json, what="in the database")


@audit.command(name="key")
def show_key(
    origin: Annotated[
        str | None, typer.Option("--origin", help="The log's name. By default the database says it.")
    ] = None,
    json: Json = False,
) -> None:
    """Print the public keys of the key ring: give them to whoever is to verify, by another way than the log."""
    found = _run(_keys_of_ring(owner_url() if origin is None else "", origin))
    tell("\n".join(each.text for each in found), {"keys": [each.text for each in found]}, as_json=json)


@audit.command()
def prove(
    entry: Annotated[int, typer.Argument(help="The entry's number.", min=0)], json: Json = False
) -> None:
    """Print the proof that an entry is in the log (C2SP tlog-proof); with --json, the entry's bytes too."""
    from lookup_core.audit.log import Log

    async def run(url: str) -> tuple[bytes, list[bytes], str]:
        async with connected(url) as connection:
            log = Log(connection)
            found, sealed = await log.entry(entry), await log.checkpoint(entry + 1)
            if found is None or sealed is None:
                raise CommandFailed(
                    f"Entry {entry} is not in the log, or not under a checkpoint yet.", code=ExitCode.REFUSED
                )
            return found.canonical(), await log.inclusion(entry, sealed[0]), sealed[1]

    canonical, path, note = _run(run(owner_url()))
    hashes = [base64.b64encode(each).decode("ascii") for each in path]
    lines = ["c2sp.org/tlog-proof@v1", f"index {entry}", *hashes, "", note]
    told = {"entry": entry, "bytes": base64.b64encode(canonical).decode(), "path": hashes, "checkpoint": note}
    tell("\n".join(lines).removesuffix("\n"), told, as_json=json)


@audit.command()
def export(
    month: Annotated[str, typer.Argument(help="Like 2026-11.", metavar="MONTH")],
    into: Annotated[Path, typer.Option("--into", help="The folder for the two files.", file_okay=False)],
    json: Json = False,
) -> None:
    """Write a month's entries and the proof of them into two files, which `nser audit verify --file` checks."""
    from lookup_core.audit.archive import NothingToExport, export_month

    async def run(url: str) -> tuple[Path, int]:
        async with connected(url) as connection:
            return await export_month(connection, month, into)

    into.mkdir(parents=True, exist_ok=True)
    try:
        path, entries = _run(run(owner_url()))
    except NothingToExport as nothing:
        raise CommandFailed(str(nothing), code=ExitCode.REFUSED) from None
    except ValueError:
        raise CommandFailed(f"{month} is not a month. Write it like 2026-11.", code=ExitCode.USAGE) from None
    tell(
        f"Wrote {entries:,} entries and their proof: {path}",
        {"file": path, "entries": entries},
        as_json=json,
    )


def _tell(verified: "Verified", as_json: bool, *, what: str) -> None:
    """Print what came of it; exit code 12 when something is wrong."""
    first, seconds = verified.first, max(verified.seconds, 1e-9)
    told = {
        "entries": verified.entries,
        "sealed": verified.sealed,
        "checkpoints": verified.checkpoints,
        "outside": verified.outside,
        "seconds": round(verified.seconds, 3),
        "entries_per_second": round(verified.entries / seconds),
        "findings": [{"entry": each.entry, "what": each.what} for each in verified.findings],
    }
    if first is not None:
        tell(f"WRONG: entry {first.entry} {first.what}.", told, as_json=as_json)
        raise typer.Exit(ExitCode.NOT_PROVED)
    unsealed = verified.entries - verified.sealed
    passed = (
        f"All {verified.entries:,} entries {what} are as they were signed "
        f"({verified.checkpoints:,} checkpoints, {verified.seconds:.1f} s, {verified.entries / seconds:,.0f} a second)."
    )
    lines = [passed]
    if unsealed:
        lines.append(
            f"{unsealed:,} of them are newer than the newest checkpoint: nothing is proved of those yet."
        )
    if not verified.outside:
        lines.append(
            "Compared with nothing outside: a whole older log would pass. Name --folder or --checkpoint."
        )
    tell("\n".join(lines), told, as_json=as_json)


def _files(files: list[Path], keys: list[str] | None) -> "Verified":
    from lookup_core.audit.archive import verify_file
    from lookup_core.audit.verifying import Verified

    if not keys:
        raise CommandFailed("Files are verified with a public key: name it with --key.", code=ExitCode.USAGE)
    verifiers = [_parsed(each) for each in keys]
    whole = Verified()
    for file in files:
        try:
            one = verify_file(file, verifiers)
        except OSError as error:
            raise CommandFailed(f"{file} cannot be read: {error.strerror}.", code=ExitCode.USAGE) from None
        whole.entries += one.entries
        whole.sealed += one.entries
        whole.checkpoints += one.checkpoints
        whole.outside += one.checkpoints
        whole.seconds += one.seconds
        whole.findings += one.findings
    return whole


def _outside(folder: Path | None, files: list[Path]) -> "list[Outside]":
    """The newest checkpoint of the folder, and those in files."""
    from lookup_core.audit.folder import newest_in
    from lookup_core.audit.verifying import Outside

    named = os.environ.get("NSER_AUDIT_WITNESS_DIR")
    home = RunHome.here().checkpoints
    folder = folder or (Path(named) if named else home if home.is_dir() else None)
    try:
        found = [Outside(str(file), file.read_text()) for file in files]
        kept = None if folder is None else newest_in(folder)
    except OSError as error:
        raise CommandFailed(
            f"{error.filename} cannot be read: {error.strerror}.", code=ExitCode.USAGE
        ) from None
    return found if kept is None else [*found, Outside(kept.where, kept.note)]


async def _verifiers(url: str, keys: list[str] | None) -> "list[Verifier]":
    return [_parsed(each) for each in keys] if keys else await _keys_of_ring(url, None)


async def _keys_of_ring(url: str, origin: str | None) -> "list[Verifier]":
    """The key in use first. Raises CommandFailed."""
    from lookup_core.audit.log import Log
    from lookup_core.kernel.notes import Signer

    versions = opened_ring().audit_signing
    if origin is None:
        async with connected(url) as connection:
            origin = (await Log(connection).head()).origin
    if not origin:
        raise CommandFailed("The log has no name yet: start its registrar once.", code=ExitCode.REFUSED)
    order = sorted(versions.keys, key=lambda version: (version != versions.active, -version))
    return [Signer(origin, versions.of(version)).verifier for version in order]


def _parsed(key: str) -> "Verifier":
    from lookup_core.kernel.notes import Verifier

    try:
        return Verifier.parse(key)
    except ValueError as error:
        raise CommandFailed(f"{key} is not a public key: {error}.", code=ExitCode.USAGE) from None


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run it; whatever PostgreSQL says becomes one sentence."""
    import asyncpg

    try:
        return asyncio.run(work)
    except FileExistsError as error:
        raise CommandFailed(
            f"{error.filename} is there already, and stays as it is.", code=ExitCode.REFUSED
        ) from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CommandFailed(
            f"The audit log cannot be read ({type(error).__name__}).",
            code=ExitCode.UNAVAILABLE,
            attempt="nser status",
        ) from None


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {of:,}", end="" if done < of else "\n", file=sys.stderr, flush=True)
