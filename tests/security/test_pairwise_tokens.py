"""Tokens of an operator's own through the processes: what each call shows it, and what another's are worth to it."""

from __future__ import annotations

from uuid import uuid4

import pytest

from lookup_core.domain.bst import PAIRWISE, Token, format_token
from nser.access.v1 import access_pb2
from nser.bst.v1 import bst_pb2
from nser.lookup.v1 import lookup_pb2
from tests.support.cluster import Cluster, Replica
from tests.support.people import Someone, someone
from tests.support.waiting import until

pytestmark = [pytest.mark.services, pytest.mark.xdist_group("security")]

Metadata = tuple[tuple[str, str], ...]
SCOPES = ("check:exclusion", "bst:read", "bst:write", "nser:read")


async def an_operator(cluster: Cluster) -> Metadata:
    """A new operator with tokens of its own, whom every replica knows."""
    request = access_pb2.CreateKeyRequest(
        request_id=str(uuid4()),
        operator=f"Operator {uuid4()}",
        scopes=SCOPES,
        token_kind=access_pb2.TOKEN_KIND_PAIRWISE,
    )
    made = await cluster.registrar.access.CreateKey(request, metadata=cluster.admin.metadata)
    return (("authorization", f"Bearer {made.secret}"),)


async def ask(replica: Replica, metadata: Metadata, subject: lookup_pb2.Subject) -> list[lookup_pb2.Answer]:
    """The answers of all three calls to one question."""
    one = await replica.lookup.Check(lookup_pb2.CheckRequest(subject=subject), metadata=metadata)
    many = await replica.lookup.BatchCheck(
        lookup_pb2.BatchCheckRequest(subjects=[subject]), metadata=metadata
    )
    stream = replica.lookup.StreamCheck(metadata=metadata)
    await stream.write(lookup_pb2.StreamCheckRequest(sequence=1, subject=subject))
    streamed = await stream.read()
    await stream.done_writing()
    assert isinstance(streamed, lookup_pb2.StreamCheckResponse)
    return [one.answer, many.answers[0], streamed.answer]


def by_bst(text: str) -> lookup_pb2.Subject:
    return lookup_pb2.Subject(bst=text)


async def the_token(cluster: Cluster, metadata: Metadata, person: Someone) -> str:
    """The person's token as this operator is shown it, the same one by every replica and every call."""
    shown = {
        answer.bst
        for replica in cluster.replicas
        for subject in (lookup_pb2.Subject(phone=person.phone), person.by_both)
        for answer in await ask(replica, metadata, subject)
    }
    assert len(shown) == 1, shown
    return shown.pop()


async def test_an_operator_is_shown_its_own_token_and_may_ask_by_either(cluster: Cluster) -> None:
    person, simba, twiga = someone(), await an_operator(cluster), await an_operator(cluster)
    registered = await cluster.register(person)
    mine, theirs = await the_token(cluster, simba, person), await the_token(cluster, twiga, person)
    assert mine.startswith("BST-03-")
    assert len({mine, theirs, registered.exclusion.bst}) == 3
    for replica in cluster.replicas:
        for text in (mine, mine.lower(), registered.exclusion.bst):
            for answer in await ask(replica, simba, by_bst(text)):
                assert answer.outcome == lookup_pb2.OUTCOME_EXCLUDED
                assert answer.basis == lookup_pb2.BASIS_TOKEN
                assert (answer.bst, answer.bst_rotated) == (mine, False)
    generated = await cluster.registrar.bst.Generate(
        bst_pb2.GenerateRequest(phone=person.phone, document=person.document_message), metadata=simba
    )
    assert generated.bst == mine, "the registrar and the replicas make the same token"


async def test_anothers_token_is_answered_like_one_that_nobody_has_in_every_field(cluster: Cluster) -> None:
    person, simba, twiga = someone(), await an_operator(cluster), await an_operator(cluster)
    await cluster.register(person)
    theirs = await the_token(cluster, twiga, person)
    made_up = format_token(Token(uuid4().bytes, PAIRWISE))
    unknown = format_token(Token(uuid4().bytes))
    for metadata in (simba, cluster.operator.metadata):
        told = set()
        for text in (theirs, made_up, unknown):
            for answer in await ask(cluster.replicas[0], metadata, by_bst(text)):
                assert answer.outcome == lookup_pb2.OUTCOME_INDETERMINATE
                assert answer.reason == lookup_pb2.INDETERMINATE_REASON_TOKEN_UNKNOWN
                answer.ClearField("revision")  # of the moment, and not of the token
                told.add(answer.SerializeToString(deterministic=True))
        assert len(told) == 1


async def test_a_person_who_is_not_excluded_is_cleared_by_a_token_of_either_kind(cluster: Cluster) -> None:
    person, simba = someone(), await an_operator(cluster)
    await cluster.all_clear(someone())
    generated = await cluster.registrar.bst.Generate(
        bst_pb2.GenerateRequest(phone=person.phone), metadata=simba
    )
    assert (generated.bst[:7], generated.version, generated.created) == ("BST-03-", 3, True)

    async def is_known() -> bool:
        answer = await cluster.check(person, subject=by_bst(generated.bst), metadata=simba)
        return answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED

    await until(is_known, "the replica has the person, and clears them by the token")


async def test_a_replica_that_starts_from_its_file_or_from_the_store_gives_the_same_tokens(
    cluster: Cluster,
) -> None:
    person, simba = someone(), await an_operator(cluster)
    await cluster.register(person)
    mine = await the_token(cluster, simba, person)
    replica = cluster.replicas[1]
    for by_file in (True, False):
        replica.terminate()
        await replica.ended()
        assert replica.snapshot_file.exists()
        if not by_file:
            replica.snapshot_file.unlink()
        await replica.restart()
        await cluster.all_clear(someone())
        assert await the_token(cluster, simba, person) == mine
        [answer, *_] = await ask(replica, simba, by_bst(mine))
        assert answer.outcome == lookup_pb2.OUTCOME_EXCLUDED


async def test_the_lookup_log_names_a_person_by_the_registers_own_token(cluster: Cluster) -> None:
    person, simba = someone(), await an_operator(cluster)
    registered = await cluster.register(person)
    mine = await the_token(cluster, simba, person)
    asked = await ask(cluster.replicas[0], simba, by_bst(mine))
    raw = bytes.fromhex(registered.exclusion.bst.split("-")[2])

    async def is_shipped() -> bool:
        [row] = await cluster.sql("SELECT count(*) AS n FROM register.lookup_log WHERE token = $1", raw)
        # Two replicas, two questions and three calls of each; and the three that asked by the token.
        return bool(row["n"] == 12 + len(asked))

    await until(is_shipped, "every check of hers is in the log by her global token")
    [pairwise] = await cluster.sql(
        "SELECT count(*) AS n FROM register.lookup_log WHERE token = $1", bytes.fromhex(mine.split("-")[2])
    )
    assert pairwise["n"] == 0
