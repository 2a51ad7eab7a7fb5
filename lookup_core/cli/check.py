"""`nser check`: may this person be let play, now?"""

from typing import Annotated, Any

import typer

from lookup_core.cli import words
from lookup_core.cli.addresses import replicas
from lookup_core.cli.credentials import ADMIN_KEY, API_KEY, key
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.output import Json, tell
from lookup_core.domain.document import DocumentType
from nser.lookup.v1 import lookup_pb2, lookup_pb2_grpc
from nser.type.v1 import exclusion_pb2

TIMEOUT_S = 3.0
EXITS = {
    lookup_pb2.OUTCOME_NOT_EXCLUDED: ExitCode.OK,
    lookup_pb2.OUTCOME_INDETERMINATE: ExitCode.INDETERMINATE,
}
BASES = {
    "document": "by their document",
    "phone": "by their phone",
    "phone_conflict": "the phone is an excluded person's, the document is not; have it reviewed",
    "token": "by their BST",
}


def check(
    phone: Annotated[str, typer.Argument(metavar="PHONE", help="A Kenyan mobile number: 0712345678.")] = "",
    *,
    number: Annotated[str, typer.Option("--id", help="The number on the identity document.")] = "",
    id_type: Annotated[DocumentType, typer.Option(help="What kind of document.")] = DocumentType.NATIONAL_ID,
    bst: Annotated[str, typer.Option(help="A BST, instead of phone and document.")] = "",
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="Ask every replica, not only the nearest.")
    ] = False,
    json: Json = False,
) -> None:
    """Ask whether a person may be let play: exit code 0 only when they may."""
    if not (phone or number or bst):
        raise CommandFailed(
            "Say who: a phone, --id, both, or --bst.",
            code=ExitCode.USAGE,
            attempt="nser check 0712345678 --id 12345678",
        )
    subject = lookup_pb2.Subject(phone=phone, document=words.document(number, id_type), bst=bst)
    request = lookup_pb2.CheckRequest(subject=subject, purpose=lookup_pb2.PURPOSE_EXCLUSION)
    addresses = replicas()
    if everywhere:
        answers = [(address, _ask(address, request)) for address in addresses]
    else:
        answers = [_nearest(addresses, request)]
    codes = [EXITS.get(answer.outcome, ExitCode.EXCLUDED) for _, answer in answers]
    told = [_values(answer, address) for address, answer in answers]
    tell(
        "\n".join(_sentence(each) for each in told),
        {"answers": told} if everywhere else told[0],
        as_json=json,
    )
    raise typer.Exit(max(codes, key=lambda code: (code is not ExitCode.OK, code is ExitCode.EXCLUDED)))


def _nearest(addresses: list[str], request: lookup_pb2.CheckRequest) -> tuple[str, lookup_pb2.Answer]:
    from lookup_core.cli.connection import first_that_answers

    def decided(answer: lookup_pb2.Answer) -> bool:
        return answer.reason != lookup_pb2.INDETERMINATE_REASON_REGISTER_STALE

    return first_that_answers(addresses, lambda address: _ask(address, request), decided)


def _ask(address: str, request: lookup_pb2.CheckRequest) -> lookup_pb2.Answer:
    from lookup_core.cli.connection import Connection

    with Connection(address, key(API_KEY, ADMIN_KEY), what="replica") as replica:
        stub = lookup_pb2_grpc.LookupServiceStub(replica.channel)
        return replica.call(stub.Check, request, lookup_pb2.CheckResponse, timeout_s=TIMEOUT_S).answer


def _values(answer: lookup_pb2.Answer, address: str) -> dict[str, Any]:
    assessed = (
        answer.last_assessment.ToDatetime().isoformat() + "Z" if answer.HasField("last_assessment") else None
    )
    return {
        "may_play": answer.outcome == lookup_pb2.OUTCOME_NOT_EXCLUDED,
        "outcome": words.word(lookup_pb2.Outcome, answer.outcome, "OUTCOME_").upper() or "EXCLUDED",
        "basis": words.word(lookup_pb2.Basis, answer.basis, "BASIS_").upper() or None,
        "reason": words.word(lookup_pb2.IndeterminateReason, answer.reason, "INDETERMINATE_REASON_").upper()
        or None,
        "message": answer.error.message or None,
        "bst": answer.bst or None,
        "bst_rotated": answer.bst_rotated,
        "risk_level": words.word(exclusion_pb2.RiskLevel, answer.risk_level, "RISK_LEVEL_") or "unknown",
        "requires_screening": answer.requires_screening,
        "last_assessment": assessed,
        "previously_excluded": answer.previously_excluded,
        "revision": answer.revision,
        "replica": address,
    }


def _sentence(told: dict[str, Any]) -> str:
    bst = f" BST {told['bst']}." if told["bst"] else ""
    if told["may_play"]:
        return f"May play: not excluded, says replica {told['replica']}.{bst}"
    if told["outcome"] == "INDETERMINATE":
        why = told["message"] or told["reason"] or "no reason given"
        return f"Must not play: replica {told['replica']} cannot tell now ({why})."
    basis = BASES.get((told["basis"] or "").lower(), "no basis given")
    return f"Must not play: excluded ({basis}), says replica {told['replica']}.{bst}"
