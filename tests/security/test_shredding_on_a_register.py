"""A person whose data was shredded, on a running register: what checks, reads and retries say, and who may do it."""

from __future__ import annotations

from uuid import uuid4

import grpc
import pytest

from lookup_core.domain.bst import Token, format_token
from nser.lookup.v1 import lookup_pb2
from nser.register.v1 import register_pb2
from nser.type.v1 import exclusion_pb2
from tests.support.cluster import Cluster
from tests.support.people import someone
from tests.support.refusals import refused

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("security")]

GROUND = register_pb2.SHRED_GROUND_ERASURE_REQUEST


def asking(**who: str) -> register_pb2.ShredRequest:
    return register_pb2.ShredRequest(request_id=str(uuid4()), ground=GROUND, reason="file 17/2026", **who)  # type: ignore[arg-type]


async def test_a_shredded_person_is_excluded_found_and_extended_as_before(cluster: Cluster) -> None:
    wanjiku = someone()
    registered = await cluster.register(wanjiku)
    exclusion, register = registered.exclusion, cluster.registrar.register
    done = await register.Shred(asking(bst=exclusion.bst), metadata=cluster.admin.metadata, timeout=20)
    assert done.HasField("shredded_at")
    assert cluster.revision_of(done.revision) > registered.revision
    for replica in cluster.replicas:
        for subject in (*wanjiku.subjects, lookup_pb2.Subject(bst=exclusion.bst)):
            answer = await cluster.check(wanjiku, at=replica, subject=subject)
            assert answer.outcome == lookup_pb2.OUTCOME_EXCLUDED
    read = await register.Get(register_pb2.GetRequest(id=exclusion.id), metadata=cluster.admin.metadata)
    assert (read.exclusion.id, read.exclusion.bst) == (exclusion.id, exclusion.bst)
    extension = register_pb2.ExtendRequest(
        request_id=str(uuid4()), id=exclusion.id, period=exclusion_pb2.PERIOD_PERMANENT
    )
    extended = await register.Extend(extension, metadata=cluster.admin.metadata, timeout=20)
    assert extended.exclusion.period == exclusion_pb2.PERIOD_PERMANENT
    again = await cluster.register(wanjiku)
    assert again.exclusion.bst == exclusion.bst


async def test_only_an_administrator_may_and_unknown_people_are_told_alike(cluster: Cluster) -> None:
    registered = await cluster.register(someone())
    register = cluster.registrar.register
    for known in (asking(id=registered.exclusion.id), asking(id=str(uuid4()))):
        told = await refused(register.Shred(known, metadata=cluster.operator.metadata))
        assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")
    by_id = await refused(register.Shred(asking(id=str(uuid4())), metadata=cluster.admin.metadata))
    unknown = format_token(Token(bytes(range(16))))
    by_token = await refused(register.Shred(asking(bst=unknown), metadata=cluster.admin.metadata))
    assert (by_id.code, by_id.reason, by_id.field) == (grpc.StatusCode.NOT_FOUND, "EXCLUSION_NOT_FOUND", "id")
    assert (by_token.code, by_token.reason, by_token.field) == (by_id.code, by_id.reason, "bst")
    malformed = await refused(register.Shred(asking(bst="BST-02-1"), metadata=cluster.admin.metadata))
    assert malformed.reason == "MALFORMED_TOKEN"


@pytest.mark.parametrize(
    ("spoiled", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"ground": 0}, "ground"),
        ({"ground": 99}, "ground"),
        ({"request_id": "7"}, "request_id"),
        ({"id": ""}, "id"),
        ({"reason": "x" * 1001}, "reason"),
    ],
)
async def test_a_malformed_request_is_refused_by_its_field(
    cluster: Cluster, spoiled: dict[str, object], field: str
) -> None:
    given: dict[str, object] = {
        "request_id": str(uuid4()),
        "id": str(uuid4()),
        "ground": GROUND,
        "reason": "file 1",
    }
    request = register_pb2.ShredRequest(**(given | spoiled))  # type: ignore[arg-type]
    told = await refused(cluster.registrar.register.Shred(request, metadata=cluster.admin.metadata))
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert field in told.fields


async def test_nobody_named_is_refused(cluster: Cluster) -> None:
    told = await refused(cluster.registrar.register.Shred(asking(), metadata=cluster.admin.metadata))
    assert told.reason == "INVALID_REQUEST"
