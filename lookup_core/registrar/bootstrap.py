"""Putting a first key into a register before anybody can ask for one by RPC: the same use case, without the door.

For set-up on the machine that has the key ring and the registrar's database URL. It waits for no replica; one that runs
already takes the key on with its next poll.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

import asyncpg

from lookup_core.domain.ids import RequestId
from lookup_core.kernel import apikey
from lookup_core.kernel.clock import SystemClock
from lookup_core.kernel.keyring import KeyRing
from lookup_core.registrar.acknowledgement import NoReplicas
from lookup_core.registrar.answers import KeyRecorded
from lookup_core.registrar.asked import Asked, Caller, digest_of
from lookup_core.registrar.blind_in_use import BlindInUse
from lookup_core.registrar.create_key import ACTION, Created, CreateKey, NewKey, check
from lookup_core.registrar.recording import Ledger, Recording
from lookup_core.registrar.secrets_in_use import Secrets
from lookup_core.registrar.store.founding import found
from lookup_core.registrar.store.pool import open_pool
from lookup_core.registrar.store.postgres import PostgresStore

SETUP = Caller(actor="setup", operator_id=None, origin="set-up", correlation_id="set-up")


@dataclass(frozen=True, slots=True, repr=False)
class Setup:
    """A register that is being set up."""

    url: str
    ring: KeyRing
    environment: str

    async def create_key(self, new: NewKey, request_id: RequestId) -> Created:
        """Make a key; the same request id gives the same key and secret again. Raises SettingsRefused, Refused."""
        check(new)
        async with self._pool() as pool:
            return await self._case(pool)(new, self._asked(request_id, new))

    async def enter_key(self, text: str, new: NewKey) -> KeyRecorded:
        """Enter a key whose text is given (NSER_ADMIN_KEY), once. Raises CredentialsInvalid for another form."""
        check(new)
        key_id, mac = apikey.parse(text), apikey.mac(self.ring.pepper, text)
        asked = self._asked(RequestId(uuid5(NAMESPACE_OID, f"nser set-up key {key_id}")), new, key_id)
        async with self._pool() as pool:
            case = self._case(pool)
            return await self._recording(pool).once(
                asked, ACTION, KeyRecorded, lambda tx: case.enter(tx, new, key_id, mac, asked)
            )

    def _pool(self) -> _Opened:
        return _Opened(self.url, self.ring)

    def _case(self, pool: asyncpg.Pool[asyncpg.Record]) -> CreateKey:
        secrets = Secrets.of(self.ring, self.environment)
        return CreateKey(self._recording(pool), Ledger(self.ring.feed), secrets, SystemClock())

    def _recording(self, pool: asyncpg.Pool[asyncpg.Record]) -> Recording:
        store = PostgresStore(pool, blind=BlindInUse(self.ring), notify=True)
        return Recording(store, NoReplicas())

    def _asked(self, request_id: RequestId, new: NewKey, key_id: str = "") -> Asked:
        key = Secrets.of(self.ring, self.environment).request_digest
        return Asked(request_id, digest_of(key, "setup", ACTION, [key_id, *new.fields()]), SETUP)


class _Opened:
    """A pool on a store that is founded."""

    def __init__(self, url: str, ring: KeyRing) -> None:
        self._url = url
        self._ring = ring
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __aenter__(self) -> asyncpg.Pool[asyncpg.Record]:
        self._pool = await open_pool(self._url, smallest=1, largest=2)
        async with self._pool.acquire() as connection:
            await found(connection, self._ring)
        return self._pool

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.terminate()
