"""`nser keys rotate blind`: a new key of the blind index, brought to the replicas before the register is told.

Each run does what is next: makes the key where the ring has none to come, and announces it once every replica that
answers has it. Registrars then move everybody; `nser keys status` shows how far.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.home import RunHome
from lookup_core.kernel.errors import Refused

if TYPE_CHECKING:
    from lookup_core.kernel.keyring import KeyRing
    from lookup_core.registrar.announce_blind_key import Announcing

Renew = Callable[[Callable[["KeyRing"], "KeyRing"]], "KeyRing"]


def rotate_blind(
    ring: "KeyRing", renew: Renew, *, changes_ring: bool, tells_register: bool
) -> dict[str, Any]:
    """Do what is next. `renew` puts what it is given in the place of the ring. Raises CommandFailed."""
    if not tells_register:
        ring = renew(lambda held: held.with_new("blind_roots"))
        return {"said": [f"Version {ring.blind_version} of the blind key is made.", *_distributed(ring)]}
    return asyncio.run(_told(ring, renew, changes_ring=changes_ring))


async def _told(ring: "KeyRing", renew: Renew, *, changes_ring: bool) -> dict[str, Any]:
    import asyncpg

    from lookup_core.cli.database import owner_url
    from lookup_core.kernel.ids import new_id
    from lookup_core.registrar.announce_blind_key import announcing
    from lookup_core.registrar.asked import Caller
    from lookup_core.registrar.rotate_blind import NotInTurn

    caller = Caller("nser keys", None, origin=socket.gethostname(), correlation_id=str(new_id()))
    url = owner_url()
    try:
        async with announcing(url, ring, caller) as register:
            live = await register.live()
        if live.is_rotation:
            return {"version": live.newest, "said": [_under_way(live.newest)]}
        version, said = live.newest + 1, []
        if ring.blind_version < version:
            if not changes_ring:
                raise CommandFailed(
                    f"The ring has no blind key of version {version}.",
                    code=ExitCode.REFUSED,
                    attempt="nser keys rotate blind",
                )
            ring = renew(lambda held: held.with_new("blind_roots"))
            said = [f"Version {version} of the blind key is made.", *_distributed(ring)]
        async with announcing(url, ring, caller) as register:
            await _announced(register, version)
    except (Refused, NotInTurn) as refused:
        raise CommandFailed(
            f"{refused} Nothing was announced.", code=ExitCode.UNAVAILABLE, attempt="nser status"
        ) from None
    except (OSError, TimeoutError, asyncpg.PostgresError) as fault:
        raise CommandFailed(
            f"The database cannot be asked ({type(fault).__name__}).",
            code=ExitCode.UNAVAILABLE,
            attempt="nser keys rotate blind   (it goes on where it was)",
        ) from None
    return {"version": version, "said": [*said, _under_way(version)]}


async def _announced(register: "Announcing", version: int) -> None:
    if lacking := await register.still_lacking(version):
        raise CommandFailed(
            f"These replicas lack blind key version {version} and would close: {', '.join(lacking)}. Bring them their "
            "keys' file; nothing was announced.",
            code=ExitCode.REFUSED,
            attempt="nser keys rotate blind   (when they have it)",
        )
    await register.announce(version)


def _distributed(ring: "KeyRing") -> list[str]:
    """Write what replicas get, which those on this machine take up by themselves."""
    named = os.environ.get("NSER_REPLICA_KEYS_FILE")
    path = Path(named) if named else RunHome.here().replica_keys
    try:
        ring.replica_keys().save(path)
    except OSError as error:
        raise CommandFailed(
            f"{path} cannot be written: {error.strerror}. The ring has the new key; nothing was announced.",
            code=ExitCode.REFUSED,
            attempt=f"nser keys replica-keys --into {path}",
        ) from None
    return [f"Bring {path} to every replica, and the ring to every registrar, before it is announced."]


def _under_way(version: int) -> str:
    return (
        f"Version {version} of the blind index is announced. Registrars that run move everybody to it; "
        "`nser keys status` shows how far."
    )
