"""Who calls, by API key. The key and its operator are looked up at every call, so that a revocation acts at once."""

from __future__ import annotations

from typing import Final

from lookup_core.domain.ids import KeyId
from lookup_core.domain.scope import permits
from lookup_core.kernel import apikey
from lookup_core.kernel.errors import CredentialsInvalid, NotPermitted
from lookup_core.registrar.rpc.call import Principal
from lookup_core.registrar.store.port import Store

_SCHEME: Final = "bearer "
_LONGEST_HEADER: Final = 256


class Authentication:
    """Turns `authorization: Bearer nser_…` into a principal, or refuses without telling why."""

    def __init__(self, store: Store, pepper: bytes) -> None:
        self._store = store
        self._pepper = pepper

    async def principal(self, authorization: str | None) -> Principal:
        """Raises CredentialsInvalid, StoreUnreachable. A wrong key and an unknown one take the same way."""
        key_id, text = _read(authorization)
        held = await self._store.key(key_id)
        is_same = apikey.matches(None if held is None else held.mac, self._pepper, text)
        if held is None or not is_same or not held.is_accepted:
            raise CredentialsInvalid
        operator = held.operator
        return Principal(held.key_id, operator.operator_id, frozenset(held.scopes), operator.token_kind)


def check_scope(principal: Principal, scope: str) -> None:
    """Raise NotPermitted unless the key has `scope`, by itself or within another."""
    if not permits(principal.scopes, scope):
        raise NotPermitted(
            f"This key may not do this: it lacks the scope {scope}. Nothing was changed.",
            details={"scope": scope},
        )


def _read(authorization: str | None) -> tuple[KeyId, str]:
    if authorization is None or len(authorization) > _LONGEST_HEADER:
        raise CredentialsInvalid
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise CredentialsInvalid
    text = authorization[len(_SCHEME) :].strip()
    return apikey.parse(text), text
