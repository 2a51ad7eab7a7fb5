"""`nser register`: enter one exclusion; done means that no replica clears this person any more."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from lookup_core.cli import words
from lookup_core.cli.addresses import registrar
from lookup_core.cli.credentials import ADMIN_KEY, API_KEY, key
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.output import Json, tell
from lookup_core.domain.document import DocumentType
from lookup_core.domain.period import Period
from nser.register.v1 import register_pb2, register_pb2_grpc
from nser.type.v1 import exclusion_pb2

TIMEOUT_S = 10.0
PATIENCE_S = 20.0
"""How long a registration that is recorded and not yet confirmed is repeated, with the same request_id."""

Phone = Annotated[str, typer.Argument(metavar="PHONE", help="A Kenyan mobile number: 0712345678.")]
Chosen = Annotated[Period, typer.Option(help="How long.")]


def register(
    phone: Phone,
    *,
    period: Chosen,
    number: Annotated[str, typer.Option("--id", help="The number on the identity document.")] = "",
    id_type: Annotated[DocumentType, typer.Option(help="What kind of document.")] = DocumentType.NATIONAL_ID,
    dob: Annotated[str, typer.Option(help="Date of birth, YYYY-MM-DD.")] = "",
    first_name: Annotated[str, typer.Option()] = "",
    last_name: Annotated[str, typer.Option()] = "",
    email: Annotated[str, typer.Option()] = "",
    county: Annotated[int, typer.Option(min=0, max=47, help="1 to 47; 0 unknown.")] = 0,
    channel: Annotated[
        words.Channel, typer.Option(help="Through which door it came.")
    ] = words.Channel.OFFICE,
    request_id: Annotated[str, typer.Option(help="A UUID; give the earlier one to repeat a request.")] = "",
    json: Json = False,
) -> None:
    """Exclude a person. Document and date of birth may be left out only for 24_hours."""
    request = register_pb2.RegisterRequest(
        request_id=_request_id(request_id),
        phone=phone,
        document=words.document(number, id_type),
        date_of_birth=dob,
        period=words.period(period),
        first_name=first_name,
        last_name=last_name,
        email=email,
        county=county,
        channel=words.channel(channel),
    )
    told = _values(_enter(request), request.request_id)
    tell(_sentence(told), told, as_json=json)


def _request_id(given: str) -> str:
    try:
        return str(UUID(given)) if given else str(uuid4())
    except ValueError:
        raise CommandFailed(
            "--request-id is not a UUID. Leave it out to have one made.", code=ExitCode.USAGE
        ) from None


def _enter(request: register_pb2.RegisterRequest) -> register_pb2.Exclusion:
    from lookup_core.cli.connection import Connection

    with Connection(registrar(), key(ADMIN_KEY, API_KEY), what="registrar") as to:
        stub = register_pb2_grpc.RegisterServiceStub(to.channel)
        given = to.call(
            stub.Register, request, register_pb2.RegisterResponse, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S
        )
    return given.exclusion


def _values(exclusion: register_pb2.Exclusion, request_id: str) -> dict[str, Any]:
    def instant(name: str) -> str | None:
        stamp = getattr(exclusion, name)
        return stamp.ToDatetime(UTC).isoformat() if exclusion.HasField(name) else None  # type: ignore[arg-type]

    return {
        "id": exclusion.id,
        "bst": exclusion.bst or None,
        "status": words.word(exclusion_pb2.ExclusionState, exclusion.state, "EXCLUSION_STATE_"),
        "period": words.word(exclusion_pb2.Period, exclusion.period, "PERIOD_"),
        "effective_date": exclusion.effective_date,
        "expiry_date": exclusion.expiry_date or None,
        "effective_at": instant("effective_at"),
        "expires_at": instant("expires_at"),
        "revision": exclusion.revision,
        "request_id": request_id,
    }


def _sentence(told: dict[str, Any]) -> str:
    until = "for ever"
    if told["expires_at"]:
        until = f"at least until {words.in_kenya(datetime.fromisoformat(told['expires_at']))}"
    now = words.in_kenya(datetime.now(UTC))
    return f"Excluded {until}; in force on every replica since {now}.\nId {told['id']}, BST {told['bst'] or 'none'}."
