"""`nser api-keys`: make, list and revoke operators' API keys. A secret is printed once, and stored nowhere in clear."""

from datetime import UTC
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from lookup_core.cli import words
from lookup_core.cli.addresses import registrar
from lookup_core.cli.credentials import ADMIN_KEY, key
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.output import Json, table, tell
from lookup_core.domain.pairwise import TokenKind as Tokens
from lookup_core.domain.scope import KNOWN
from nser.access.v1 import access_pb2, access_pb2_grpc

TIMEOUT_S = 10.0
PATIENCE_S = 20.0
PAGE_SIZE = 1000
DEFAULT_SCOPES = "nser:read,bst:read,bst:write"

api_keys = typer.Typer(
    help="Make, list and revoke operators' API keys.", no_args_is_help=True, rich_markup_mode=None
)


@api_keys.command()
def create(
    operator: Annotated[str, typer.Option(help="The operator's name; a new one is entered.")],
    scopes: Annotated[str, typer.Option(help="What the key may do, separated by commas.")] = DEFAULT_SCOPES,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="Requests a second.")] = 100,
    people_limit: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="People a second, in batches and streams.")
    ] = 20_000,
    tokens: Annotated[
        Tokens | None,
        typer.Option(
            help="By which tokens the operator knows people, chosen with its first key: global is the default."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make a key for an operator and print its secret, this once."""
    request = access_pb2.CreateKeyRequest(
        request_id=str(uuid4()),
        operator=operator,
        scopes=_scopes(scopes),
        requests_per_second=limit,
        people_per_second=people_limit,
        token_kind=access_pb2.TokenKind.Value(
            f"TOKEN_KIND_{'UNSPECIFIED' if tokens is None else tokens.name}"
        ),
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


@api_keys.command("list")
def list_(
    operator_id: Annotated[
        UUID | None, typer.Option(metavar="UUID", help="The keys of this operator alone.")
    ] = None,
    json: Json = False,
) -> None:
    """Show every key, revoked ones too, in the order of their ids; never a secret."""
    request = access_pb2.ListKeysRequest(operator_id=str(operator_id or ""), page_size=PAGE_SIZE)
    found: list[access_pb2.Key] = []
    from lookup_core.cli.connection import Connection

    with Connection(registrar(), key(ADMIN_KEY), what="registrar") as to:
        stub = access_pb2_grpc.AccessServiceStub(to.channel)
        while True:
            page = to.call(
                stub.ListKeys,
                request,
                access_pb2.ListKeysResponse,
                timeout_s=TIMEOUT_S,
                patience_s=PATIENCE_S,
            )
            found += page.keys
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
    if json or not found:
        tell("There are no keys.", {"keys": [_values(each) for each in found]}, as_json=json)
        return
    heads = ("key id", "operator", "scopes", "requests/s", "people/s", "state", "created")
    table(
        heads,
        [_row(each) for each in found],
        numbers=("requests/s", "people/s"),
        texts=("operator", "scopes"),
    )


@api_keys.command()
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
            attempt=f"nser api-keys revoke {'_'.join(key_id.split('_')[2:3])}",
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
            attempt=f"nser api-keys create --operator NAME --scopes {DEFAULT_SCOPES}",
        )
    return given


def _row(made: access_pb2.Key) -> tuple[str, ...]:
    return (
        made.key_id,
        made.operator,
        " ".join(made.scopes),
        f"{made.requests_per_second:,}",
        f"{made.people_per_second:,}",
        words.word(access_pb2.KeyState, made.state, "KEY_STATE_"),
        words.day_in_kenya(made.created_at.ToDatetime(UTC)),
    )


def _values(made: access_pb2.Key) -> dict[str, Any]:
    return {
        "key_id": made.key_id,
        "operator_id": made.operator_id,
        "operator": made.operator,
        "scopes": list(made.scopes),
        "requests_per_second": made.requests_per_second,
        "people_per_second": made.people_per_second,
        "token_kind": words.word(access_pb2.TokenKind, made.token_kind, "TOKEN_KIND_"),
        "state": words.word(access_pb2.KeyState, made.state, "KEY_STATE_"),
        "created_at": made.created_at.ToDatetime(UTC).isoformat(),
    }
