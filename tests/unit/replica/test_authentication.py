"""Who is authenticated, and when nobody is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from lookup_core.domain.ids import Revision
from lookup_core.domain.lease import LEASE_NS, Lease
from lookup_core.domain.outcome import Purpose
from lookup_core.kernel import apikey
from lookup_core.kernel.errors import (
    CredentialsInvalid,
    Draining,
    NotPermitted,
    RegisterStale,
    ReplicaLoading,
)
from lookup_core.replica.authentication import Authentication, check_permitted
from lookup_core.replica.follower import Phase
from lookup_core.replica.index import Credential, Index

PEPPER = b"p" * 32
KEY = apikey.issue("test")


def a_credential(*, active: bool = True, scopes: frozenset[str] = frozenset({"nser:read"})) -> Credential:
    return Credential(KEY.key_id, apikey.mac(PEPPER, KEY.secret), b"o" * 16, scopes, 100, 20_000, active)


class Door:
    """An authentication over one credential, with everything that it looks at in reach."""

    def __init__(self, authentication: type[Authentication] = Authentication) -> None:
        self.index = Index()
        self.index.load_credentials([a_credential()])
        self.lease = Lease()
        self.lease.arm(Revision(1), sent_ns=0)
        self.now_ns = 1
        self.follower = cast(Any, SimpleNamespace(phase=Phase.FOLLOWING, has_index=True, index=self.index))
        self.authentication = authentication(self.follower, self.lease, lambda: self.now_ns, PEPPER)

    def enter(self, header: str | None = f"Bearer {KEY.secret}") -> Credential:
        return self.authentication.admit(self.authentication.read(header))


def test_a_known_key_is_let_in_again_and_again() -> None:
    door = Door()
    assert door.enter() == door.enter(f"bearer  {KEY.secret}") == a_credential()


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        KEY.secret,
        f"Basic {KEY.secret}",
        f"Bearer {KEY.secret[:-1]}",
        f"Bearer {apikey.issue('test').secret}",
    ],
    # Keys are new for every process, and xdist compares names.
    ids=["none", "empty", "no scheme", "another scheme", "cut short", "unknown"],
)
def test_anything_else_is_refused_alike(header: str | None) -> None:
    with pytest.raises(CredentialsInvalid):
        Door().enter(header)


def test_a_revocation_acts_though_the_key_was_seen_before() -> None:
    door = Door()
    presented = door.authentication.read(f"Bearer {KEY.secret}")
    door.authentication.admit(presented)
    door.index.load_credentials([a_credential(active=False)])
    with pytest.raises(CredentialsInvalid):
        door.authentication.admit(presented)


def test_a_key_whose_mac_was_replaced_is_refused_though_it_was_seen_before() -> None:
    door = Door()
    door.enter()
    replaced = a_credential()
    door.index.load_credentials(
        [Credential(replaced.key_id, b"x" * 32, replaced.operator_id, replaced.scopes, 1, 1, active=True)]
    )
    with pytest.raises(CredentialsInvalid):
        door.enter()


def test_without_a_live_lease_nobody_is_authenticated() -> None:
    """SAFETY.md 19: a revocation may have passed this replica by."""
    door = Door()
    door.now_ns = LEASE_NS
    with pytest.raises(RegisterStale):
        door.enter()


class WithoutLease(Authentication):
    """Rule 19: who cannot hear of a revocation authenticates all the same."""

    def check_lease(self) -> None:
        pass


def test_a_revocation_that_did_not_arrive_is_found_when_the_lease_is_not_looked_at() -> None:
    cut_off = Door(WithoutLease)  # the key was revoked in the store; this replica has not heard of it
    cut_off.now_ns = LEASE_NS
    assert cut_off.enter().active


def test_a_replica_without_an_index_or_on_its_way_out_says_so() -> None:
    door = Door()
    door.follower.has_index = False
    with pytest.raises(ReplicaLoading):
        door.enter()
    door.follower.phase = Phase.DRAINING
    with pytest.raises(Draining):
        door.enter()


def test_guesses_are_not_remembered() -> None:
    door = Door()
    for _ in range(5):
        with pytest.raises(CredentialsInvalid):
            door.enter(f"Bearer {apikey.issue('test').secret}")
    assert not door.authentication._remembered


def test_a_key_may_check_only_for_its_purposes() -> None:
    check_permitted(a_credential(), Purpose.EXCLUSION)
    with pytest.raises(NotPermitted):
        check_permitted(a_credential(), Purpose.MARKETING)
    check_permitted(a_credential(scopes=frozenset({"check:marketing"})), Purpose.MARKETING)
