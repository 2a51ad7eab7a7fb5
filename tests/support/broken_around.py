"""What stands around a check with one safety rule taken out: budgets, revision tokens, logs."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence
from uuid import UUID

from lookup_core.domain.ids import Revision, StoreId
from lookup_core.kernel.errors import AuditUnavailable
from lookup_core.registrar.store.rows import AuditLine
from lookup_core.registrar.store.transaction import PostgresTransaction
from lookup_core.replica.budgets import RedisBudgets
from lookup_core.replica.consistency import Consistency
from lookup_core.replica.lookups import Call, Lookups
from lookup_core.replica.quota import Quota, Slice
from nser.lookup.v1 import lookup_pb2
from tests.support.waiting import until

# -- budgets


class SliceOutlivesItsSecond(Slice):
    """Rule 20: what was taken ahead of need is kept until it is used."""

    def held(self, now_ns: int) -> int:
        return self.left


class HoldsTheLimitAhead(RedisBudgets):
    """Rule 20: the replicas may hold the whole limit unused."""

    def ceiling(self, limit: int) -> int:
        return limit


class FailsOpen(Quota):
    """Rule 20: while Redis is away nobody counts."""

    def _by_share(self, slice_: Slice, count: int) -> int:
        return 0


# -- revision tokens


class TrustsAnyToken(Consistency):
    """Rule 21: the MAC of a revision token is not looked at."""

    def opened(self, token: str) -> tuple[StoreId, Revision]:
        raw = base64.urlsafe_b64decode(f"{token}==")
        return StoreId(UUID(bytes=raw[:16])), Revision(int.from_bytes(raw[16:24], "big"))


class AnyStoreWillDo(Consistency):
    """Rule 21: a revision is compared with ours, of whichever store it is."""

    def opened(self, token: str) -> tuple[StoreId, Revision]:
        return self._follower.position.store_id, super().opened(token)[1]


class TokenAfterLookUps(Lookups):
    """Rule 21: the revision of a batch is taken when its last item was looked up."""

    async def check_many(
        self, call: Call, request: lookup_pb2.BatchCheckRequest
    ) -> lookup_pb2.BatchCheckResponse:
        response = await super().check_many(call, request)
        response.revision = self.consistency.token()
        return response


# -- logs


class WaitsForItsLog(Lookups):
    """Rule 25: a check is answered when its log entry is stored."""

    async def check(self, call: Call, request: lookup_pb2.CheckRequest) -> lookup_pb2.CheckResponse:
        response = await super().check(call, request)
        log = self.lookup_log
        assert log is not None
        await until(lambda: len(log) == 0, "the log entry is stored", within_s=60)
        return response


class AuditsIfItCan(PostgresTransaction):
    """Rule 25: a write whose audit line cannot be written is done without it."""

    async def audit(self, lines: Sequence[AuditLine]) -> None:
        with contextlib.suppress(AuditUnavailable):
            async with self._connection.transaction():  # a savepoint
                await super().audit(lines)
