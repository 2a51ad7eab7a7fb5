"""`nser keys rotate` and `nser keys retire`: a new version in use, the older ones kept until nothing needs them.

The ring is changed first, in one step; then the register is told, which audits it and has personal data moved by the
registrars that run. PURPOSES is the one table of what can be rotated.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.keys.blind import rotate_blind
from lookup_core.cli.keys.files import Ring
from lookup_core.cli.keys.opening import refused_by, ring_file
from lookup_core.cli.output import Json, tell
from lookup_core.kernel.errors import Refused, SettingsRefused

if TYPE_CHECKING:
    from lookup_core.kernel.keyring import KeyRing
    from lookup_core.kernel.ring_file import RingFile
    from lookup_core.registrar.key_rotations import KeyRotations


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for, beside the purpose."""

    file: "RingFile"
    reencrypt: bool
    changes_ring: bool
    tells_register: bool


Told = dict[str, Any]


def _versioned(*purposes: str) -> Callable[[Wanted], Told]:
    """Rotate purposes that need no more than a new version."""

    def act(wanted: Wanted) -> Told:
        def renew(ring: "KeyRing") -> "KeyRing":
            for purpose in purposes:
                ring = ring.with_new(purpose)
            return ring

        ring = _changed(wanted.file, renew) if wanted.changes_ring else _loaded(wanted.file)
        versions = {purpose: getattr(ring, purpose).active for purpose in purposes}
        if wanted.tells_register:
            noted = ", ".join(f"{purpose} {version}" for purpose, version in versions.items())
            asyncio.run(with_register(lambda keys: keys.note(noted)))
        return {"versions": versions}

    return act


def _personal_data(wanted: Wanted) -> Told:
    ring = (
        _changed(wanted.file, lambda ring: ring.with_new_kek())
        if wanted.changes_ring
        else _loaded(wanted.file)
    )
    told: Told = {"master_key": ring.active_kek}
    if wanted.tells_register:
        begun = asyncio.run(
            with_register(lambda keys: keys.begin(ring.active_kek, reencrypt=wanted.reencrypt))
        )
        told |= {"rotation_id": str(begun.rotation_id), "kind": begun.kind, "people": begun.people}
    return told


def _blind(wanted: Wanted) -> Told:
    return rotate_blind(
        _loaded(wanted.file),
        lambda act: _changed(wanted.file, act),
        changes_ring=wanted.changes_ring,
        tells_register=wanted.tells_register,
    )


SIMPLE: Final = ("bst_salt", "pairing", "audit_signing", "receipt_signing", "webhook")


def _everything(wanted: Wanted) -> Told:
    """All but the blind index, whose rotation is a matter of days and has its own runbook."""
    return {**_versioned(*SIMPLE)(wanted), **_personal_data(wanted)}


PURPOSES: Final[Mapping[str, Callable[[Wanted], Told]]] = {
    "pii": _personal_data,
    **{purpose.replace("_", "-"): _versioned(purpose) for purpose in SIMPLE},
    "blind": _blind,
    "all": _everything,
}


def rotate(
    purpose: Annotated[str, typer.Argument(metavar="PURPOSE", help=f"One of {', '.join(PURPOSES)}.")],
    reencrypt: Annotated[
        bool, typer.Option("--reencrypt", help="Of pii: new data keys too, and every field anew.")
    ] = False,
    ring_only: Annotated[
        bool, typer.Option("--ring-only", help="Change the ring, and leave the register for later.")
    ] = False,
    start_only: Annotated[
        bool, typer.Option("--start-only", help="Tell the register of the version that is in use already.")
    ] = False,
    file: Ring = None,
    json: Json = False,
) -> None:
    """Put a new version of a key in use. The older ones stay in the ring."""
    act = PURPOSES.get(purpose)
    if act is None or (ring_only and start_only):
        wrong = (
            f"No such purpose: {purpose}."
            if act is None
            else "--ring-only and --start-only leave nothing to do."
        )
        raise CommandFailed(
            f"{wrong} There are: {', '.join(PURPOSES)}.", code=ExitCode.USAGE, attempt="nser keys rotate pii"
        )
    kept = ring_file(file)
    told = act(Wanted(kept, reencrypt, changes_ring=not start_only, tells_register=not ring_only))
    lines = [
        f"{name.replace('_', '-')} is at version {version}."
        for name, version in told.get("versions", {}).items()
    ]
    if "master_key" in told:
        lines.append(f"Personal data goes to the master key {told['master_key']}.")
    if "people" in told:
        lines.append(
            f"Registrars that run move {told['people']:,} people to it; `nser keys status` shows how far."
        )
    lines += told.pop("said", [])
    lines.append("Back the ring up, bring it to every registrar, and send them SIGHUP.")
    tell("\n".join(lines), {"file": kept.path, **told}, as_json=json)


def retire(
    kek_id: Annotated[str, typer.Argument(metavar="KEK_ID", help="A master key that is not in use.")],
    file: Ring = None,
    json: Json = False,
) -> None:
    """Take an old master key out of the ring, once it wraps nothing. What old backups hold is unreadable then."""
    kept = ring_file(file)
    ring = _loaded(kept)
    if kek_id not in ring.keks or kek_id == ring.active_kek:
        why = "is in use" if kek_id == ring.active_kek else "is not in this ring"
        raise CommandFailed(f"{kek_id} {why}.", code=ExitCode.REFUSED, attempt="nser keys status")
    from lookup_core.registrar.key_rotations import KekInUse

    try:
        asyncio.run(with_register(lambda keys: keys.retire(kek_id)))
    except KekInUse as in_use:
        raise CommandFailed(
            f"{in_use.message} It stays.",
            code=ExitCode.REFUSED,
            attempt="nser keys status   (is a rotation done?)",
        ) from None
    _changed(kept, lambda held: held.without_kek(kek_id))
    tell(
        f"{kek_id} is out of the ring. Bring the ring to every registrar, send them SIGHUP, and destroy older copies.",
        {"file": kept.path, "retired": kek_id},
        as_json=json,
    )


async def with_register(act: Callable[["KeyRotations"], Any]) -> Any:
    """Do something by the owner's door. Raises CommandFailed."""
    import asyncpg

    from lookup_core.cli.database import owner_url
    from lookup_core.kernel.ids import new_id
    from lookup_core.registrar.asked import Caller
    from lookup_core.registrar.key_rotations import key_rotations

    caller = Caller("nser keys", None, origin=socket.gethostname(), correlation_id=str(new_id()))
    try:
        async with key_rotations(owner_url(), caller) as keys:
            return await act(keys)
    except Refused as refused:
        raise _register_failed(refused.message) from None
    except (OSError, TimeoutError, asyncpg.PostgresError) as fault:
        raise _register_failed(f"The database cannot be asked ({type(fault).__name__}).") from None


def _register_failed(message: str) -> CommandFailed:
    return CommandFailed(
        f"{message} The register knows nothing of it yet; the ring is as `nser keys status` shows it.",
        code=ExitCode.UNAVAILABLE,
        attempt="nser keys rotate PURPOSE --start-only   (when the database is there)",
    )


def _loaded(file: "RingFile") -> "KeyRing":
    try:
        return file.load()
    except SettingsRefused as refused:
        raise refused_by(refused) from None


def _changed(file: "RingFile", act: Callable[["KeyRing"], "KeyRing"]) -> "KeyRing":
    try:
        return file.change(act)
    except SettingsRefused as refused:
        raise refused_by(refused) from None
    except OSError as error:
        raise CommandFailed(
            f"{file.path} cannot be written: {error.strerror}. It is as it was.", code=ExitCode.REFUSED
        ) from None
