"""The sealer of one registrar, put together: the log's name and keys, the places outside, the heartbeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lookup_core.domain.ids import StoreId
from lookup_core.kernel.clock import Clock
from lookup_core.kernel.errors import SettingsRefused
from lookup_core.kernel.keyring import KeyRing
from lookup_core.kernel.notes import Signer, Verifier
from lookup_core.kernel.settings import RegistrarSettings
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.audit.places import Folder, Place, Witness
from lookup_core.registrar.audit.sealer import Name, Sealer
from lookup_core.registrar.audit.standing import Standing
from lookup_core.registrar.metrics import Metrics
from lookup_core.registrar.store.pool import QUERIES, Pool, borrowed
from lookup_core.registrar.store.port import Store
from lookup_core.registrar.store.rows import AuditLine

WITNESS_EVERY_S: Final = 1.0
HEARTBEAT: Final = Caller(actor="registrar", operator_id=None, origin="registrar", correlation_id="heartbeat")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a sealer is made from."""

    settings: RegistrarSettings
    ring: KeyRing
    store_id: StoreId
    pool: Pool
    store: Store
    standing: Standing
    metrics: Metrics
    clock: Clock


async def sealer_for(parts: Parts) -> Sealer:
    """Raises SettingsRefused for another log's name, or a folder that is not there."""
    settings = parts.settings
    name = name_for(parts.ring, await _origin(parts.pool, settings, parts.store_id))

    async def heartbeat() -> None:
        line = AuditLine(HEARTBEAT, "audit.heartbeat", "log")
        await parts.store.write(lambda tx: tx.audit([line]))

    return Sealer(
        settings.database_url,
        parts.pool,
        name,
        places_for(settings, name.verifiers),
        standing=parts.standing,
        metrics=parts.metrics,
        clock=parts.clock,
        heartbeat=heartbeat,
        heartbeat_s=settings.audit_heartbeat_s,
    )


def name_for(ring: KeyRing, origin: str) -> Name:
    """The key in use signs; older versions are read."""
    keys = ring.audit_signing
    verifiers = [Signer(origin, keys.of(version)).verifier for version in sorted(keys.keys)]
    return Name(Signer(origin, keys.current), verifiers)


def places_for(settings: RegistrarSettings, verifiers: Sequence[Verifier]) -> Sequence[Place]:
    places: list[Place] = []
    if (folder := settings.audit_witness_dir) is not None:
        if not folder.is_dir():
            raise SettingsRefused(f"NSER_AUDIT_WITNESS_DIR: there is no folder {folder}.")
        places.append(Folder(folder, verifiers, settings.audit_witness_dir_every_s))
    if settings.audit_witness_url is not None and settings.audit_witness_key is not None:
        key = Verifier.parse(settings.audit_witness_key)
        places.append(Witness(settings.audit_witness_url, key, WITNESS_EVERY_S))
    return places


async def _origin(pool: Pool, settings: RegistrarSettings, store_id: StoreId) -> str:
    """The log's name: the one it has, else the setting's, else one of the store's id."""
    async with borrowed(pool) as connection:
        named: str = await connection.fetchval(
            QUERIES["audit_name"], settings.audit_origin or f"nser/{store_id}"
        )
    if settings.audit_origin not in (None, named):
        raise SettingsRefused(
            f"NSER_AUDIT_ORIGIN: the audit log of this register is called {named}, for good. Use that name."
        )
    return named
