"""Reading one exclusion by its id, as it is committed now; who read it is in the audit log before the answer."""

from __future__ import annotations

from lookup_core.domain.ids import ExclusionId
from lookup_core.kernel.errors import ExclusionNotFound
from lookup_core.registrar.answers import Registered
from lookup_core.registrar.asked import Caller
from lookup_core.registrar.audited_reads import AuditedReads
from lookup_core.registrar.store.port import Store

ACTION = "exclusion.read"


class GetExclusion:
    def __init__(self, store: Store, reads: AuditedReads) -> None:
        self._store = store
        self._reads = reads

    async def __call__(self, exclusion_id: ExclusionId, caller: Caller) -> Registered:
        """Raises ExclusionNotFound, AuditUnavailable, StoreUnreachable."""
        held = await self._store.exclusion(exclusion_id)
        await self._reads.note(caller, ACTION, str(exclusion_id), "" if held else "not found")
        if held is None:
            raise ExclusionNotFound
        return Registered.of(held)
