"""Reading one exclusion by its id, as it is committed now."""

from __future__ import annotations

from lookup_core.domain.ids import ExclusionId
from lookup_core.kernel.errors import ExclusionNotFound
from lookup_core.registrar.answers import Registered
from lookup_core.registrar.store.port import Store


class GetExclusion:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, exclusion_id: ExclusionId) -> Registered:
        """Raises ExclusionNotFound, StoreUnreachable."""
        held = await self._store.exclusion(exclusion_id)
        if held is None:
            raise ExclusionNotFound
        return Registered.of(held)
