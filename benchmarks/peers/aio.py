"""A peer of the data plane: the same work in grpc.aio, as small as it can be.

Normalise, two HMACs, two look-ups in a dict, the API key; no lease, no quota, no log, no metrics. Reads the index that
`callback` wrote. Prints `ready` once it serves.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop

from lookup_core.domain.blind import BLIND_BYTES, KEY_BYTES, BlindKeys, blind_document, blind_phone
from lookup_core.domain.document import DocumentType, parse_document
from lookup_core.domain.errors import InvalidIdentity
from lookup_core.domain.phone import parse_phone
from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from nser.type.v1 import exclusion_pb2

EXCLUDED_EVERY = 20
REVISION = "A" * 46  # as long as a real one

Context = grpc.aio.ServicerContext[Any, Any]


class Lookups(lookup_pb2_grpc.LookupServiceServicer):
    def __init__(self, keys: BlindKeys, excluded: dict[bytes, bool], authorization: str) -> None:
        self._keys = keys
        self._excluded = excluded
        self._authorization = authorization

    async def Check(self, request: lookup_pb2.CheckRequest, context: Context) -> lookup_pb2.CheckResponse:
        await self._permit(context)
        try:
            return lookup_pb2.CheckResponse(answer=self._answer(request.subject))
        except InvalidIdentity:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The identity cannot be read.")
            raise

    async def BatchCheck(
        self, request: lookup_pb2.BatchCheckRequest, context: Context
    ) -> lookup_pb2.BatchCheckResponse:
        await self._permit(context)
        answers = [self._answer_or_none(subject) for subject in request.subjects]
        return lookup_pb2.BatchCheckResponse(answers=answers, revision=REVISION)

    async def StreamCheck(
        self, request_iterator: AsyncIterator[lookup_pb2.StreamCheckRequest], context: Context
    ) -> AsyncIterator[lookup_pb2.StreamCheckResponse]:
        await self._permit(context)
        async for request in request_iterator:
            answer = self._answer_or_none(request.subject)
            yield lookup_pb2.StreamCheckResponse(sequence=request.sequence, answer=answer)

    async def _permit(self, context: Context) -> None:
        for name, value in context.invocation_metadata() or ():
            if name == "authorization" and hmac.compare_digest(str(value), self._authorization):
                return
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "The API key is not valid.")

    def _answer_or_none(self, subject: lookup_pb2.Subject) -> lookup_pb2.Answer:
        try:
            return self._answer(subject)
        except InvalidIdentity:
            return lookup_pb2.Answer(outcome=lookup_pb2.OUTCOME_INDETERMINATE)

    def _answer(self, subject: lookup_pb2.Subject) -> lookup_pb2.Answer:
        excluded = False
        if subject.phone:
            excluded |= self._excluded.get(blind_phone(self._keys, parse_phone(subject.phone)), False)
        if subject.HasField("document"):
            document = parse_document(DocumentType.NATIONAL_ID, subject.document.number)
            excluded |= self._excluded.get(blind_document(self._keys, document), False)
        return lookup_pb2.Answer(
            outcome=lookup_pb2.OUTCOME_EXCLUDED if excluded else lookup_pb2.OUTCOME_NOT_EXCLUDED,
            basis=lookup_pb2.BASIS_DOCUMENT if excluded else lookup_pb2.BASIS_UNSPECIFIED,
            risk_level=exclusion_pb2.RISK_LEVEL_UNKNOWN,
            revision=REVISION,
        )


def read_index(path: Path, people: int) -> dict[bytes, bool]:
    """Whether each blind index is an excluded person's."""
    rows = path.read_bytes()[: people * 2 * BLIND_BYTES]
    return {
        rows[at : at + BLIND_BYTES]: at // (2 * BLIND_BYTES) % EXCLUDED_EVERY == 0
        for at in range(0, len(rows), BLIND_BYTES)
    }


async def serve(asked: argparse.Namespace) -> None:
    secret = asked.keys.read_bytes()
    keys = BlindKeys(1, secret[:KEY_BYTES], secret[KEY_BYTES:])
    lookups = Lookups(keys, read_index(asked.index, asked.people), asked.authorization.read_text())
    server = grpc.aio.server()
    lookup_pb2_grpc.add_LookupServiceServicer_to_server(lookups, server)
    server.add_insecure_port(f"127.0.0.1:{asked.port}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.aio", description=__doc__)
    for name in ("people", "port"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("index", "keys", "authorization"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    try:
        uvloop.run(serve(parser.parse_args()))
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass


if __name__ == "__main__":
    main()
