"""`nser keys`: make and revoke operators' API keys. A secret is printed once, and stored nowhere in clear."""

from typing import Annotated, Any
from uuid import uuid4

import typer

from lookup_core.cli import words
from lookup_core.cli.addresses import registrar
from lookup_core.cli.credentials import ADMIN_KEY, key
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.output import Json, tell
from lookup_core.domain.scope import KNOWN
from nser.access.v1 import access_pb2, access_pb2_grpc

TIMEOUT_S = 10.0
PATIENCE_S = 20.0
DEFAULT_SCOPES = "nser:read,bst:read,bst:write"

keys = typer.Typer(help="Make and revoke operators' API keys.", no_args_is_help=True, rich_markup_mode=None)


@keys.command()
def create(
    operator: Annotated[str, typer.Option(help="The operator's name; a new one is entered.")],
    scopes: Annotated[str, typer.Option(help="What the key may do, separated by commas.")] = DEFAULT_SCOPES,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Requests a second.")] = 100,
    people_limit: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="People a second, in batches and streams.")
    ] = 20_000,
    json: Json = False,
) -> None:
    """Make a key for an operator and print its secret, this once."""
    request = access_pb2.CreateKeyRequest(
        request_id=str(uuid4()),
        operator=operator,
        scopes=_scopes(scopes),
        requests_per_second=limit,
        people_per_second=people_limit,
    )
    from lookup_core.cli.connection import Connection

    with Connection(registrar(), key(ADMIN_KEY), what="registrar") as to:
        stub = access_pb2_grpc.AccessServiceStub(to.channel)
        made = to.call(
            stub.CreateKey, request, access_pb2.CreateKeyResponse, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S
        )
    told = {**_values(made.key), "secret": made.secret}
    sentence = f"Key {made.key.key_id} of {made.key.operator}, shown this once; store it now:\n{made.secret}"
    tell(sentence, told, as_json=json)


@keys.command()
def revoke(
    key_id: Annotated[
        str, typer.Argument(metavar="KEY_ID", help="The key's id: the third part of its text.")
    ],
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit log.")] = "",
    json: Json = False,
) -> None:
    """Revoke a key; done means that no replica accepts it any more."""
    if key_id.startswith("nser_"):
        raise CommandFailed(
            "That is a whole key, which should be typed nowhere. Give its id: the part between the second and third _.",
            code=ExitCode.USAGE,
            attempt=f"nser keys revoke {'_'.join(key_id.split('_')[2:3])}",
        )
    request = access_pb2.RevokeKeyRequest(request_id=str(uuid4()), key_id=key_id, reason=reason)
    from lookup_core.cli.connection import Connection

    with Connection(registrar(), key(ADMIN_KEY), what="registrar") as to:
        stub = access_pb2_grpc.AccessServiceStub(to.channel)
        done = to.call(
            stub.RevokeKey, request, access_pb2.RevokeKeyResponse, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S
        )
    tell(f"Revoked: no replica accepts key {key_id} any more.", _values(done.key), as_json=json)


def _scopes(text: str) -> list[str]:
    given = [scope.strip() for scope in text.split(",") if scope.strip()]
    if unknown := [scope for scope in given if scope not in KNOWN]:
        raise CommandFailed(
            f"No such scope: {', '.join(unknown)}. There are: {', '.join(sorted(KNOWN))}.",
            code=ExitCode.USAGE,
            attempt=f"nser keys create --operator NAME --scopes {DEFAULT_SCOPES}",
        )
    return given


def _values(made: access_pb2.Key) -> dict[str, Any]:
    return {
        "key_id": made.key_id,
        "operator_id": made.operator_id,
        "operator": made.operator,
        "scopes": list(made.scopes),
        "requests_per_second": made.requests_per_second,
        "people_per_second": made.people_per_second,
        "state": words.word(access_pb2.KeyState, made.state, "KEY_STATE_"),
    }
