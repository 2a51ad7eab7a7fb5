"""`nser shred`: destroy one person's personal data; their exclusion stays in force."""

from datetime import UTC
from enum import StrEnum
from typing import Annotated
from uuid import UUID, uuid4

import typer

from lookup_core.cli import words
from lookup_core.cli.addresses import registrar
from lookup_core.cli.credentials import ADMIN_KEY, key
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.output import Json, tell
from nser.register.v1 import register_pb2, register_pb2_grpc

TIMEOUT_S = 10.0
PATIENCE_S = 20.0


class Ground(StrEnum):
    ERASURE_REQUEST = "erasure_request"
    RETENTION_ENDED = "retention_ended"
    ENTERED_IN_ERROR = "entered_in_error"
    COURT_ORDER = "court_order"


def shred(
    who: Annotated[str, typer.Argument(metavar="WHO", help="An exclusion's id, or a BST of the person.")],
    *,
    ground: Annotated[Ground, typer.Option(help="Why it may be done.")],
    reason: Annotated[str, typer.Option(help="For the audit log: a file number, not a name.")],
    request_id: Annotated[str, typer.Option(help="A UUID; give the earlier one to repeat a request.")] = "",
    json: Json = False,
) -> None:
    """Destroy the key of a person's personal data, for good. Checks go on saying EXCLUDED."""
    request = register_pb2.ShredRequest(
        request_id=_uuid(request_id, "--request-id") if request_id else str(uuid4()),
        ground=register_pb2.ShredGround.Value(f"SHRED_GROUND_{ground.name}"),
        reason=reason,
    )
    if who.strip().upper().startswith("BST-"):
        request.bst = who.strip()
    else:
        request.id = _uuid(who, "WHO")
    from lookup_core.cli.connection import Connection

    with Connection(registrar(), key(ADMIN_KEY), what="registrar") as to:
        stub = register_pb2_grpc.RegisterServiceStub(to.channel)
        done = to.call(
            stub.Shred, request, register_pb2.ShredResponse, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S
        )
    at = done.shredded_at.ToDatetime(UTC)
    tell(
        f"The personal data was destroyed on {words.in_kenya(at)}; the exclusion is in force as before.",
        {"shredded_at": at.isoformat(), "revision": done.revision, "request_id": request.request_id},
        as_json=json,
    )


def _uuid(text: str, name: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise CommandFailed(
            f"{name} is neither a UUID nor a BST." if name == "WHO" else f"{name} is not a UUID.",
            code=ExitCode.USAGE,
        ) from None
