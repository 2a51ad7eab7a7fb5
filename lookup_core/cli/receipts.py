"""`nser audit receipts`: fetch the receipts of an operator's checks into files that anybody can verify.

The files have the form of docs/reference/receipt.md. Verifies nothing: whoever does not believe the register does not
run its command for that (docs/how-to/verify-a-proof.md).
"""

from __future__ import annotations

import json as text_of
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from lookup_core.cli.addresses import registrar
from lookup_core.cli.credentials import ADMIN_KEY, API_KEY, key
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.output import Json, tell
from nser.audit.v1 import receipts_pb2, receipts_pb2_grpc

TIMEOUT_S = 20.0
PATIENCE_S = 40.0
PAGE_SIZE = 100


def receipts(
    bst: Annotated[str, typer.Argument(metavar="BST", help="The token that was asked about.")] = "",
    call: Annotated[
        str,
        typer.Option(
            "--call", help="The correlation id of a call, instead of a token; needs --from and --to."
        ),
    ] = "",
    begins: Annotated[datetime | None, typer.Option("--from", help="The first moment, UTC.")] = None,
    ends: Annotated[datetime | None, typer.Option("--to", help="The moment after the last, UTC.")] = None,
    operator_id: Annotated[
        str, typer.Option("--operator-id", metavar="UUID", help="Another operator's, with an admin key.")
    ] = "",
    into: Annotated[Path, typer.Option("--into", help="The folder for the files.", file_okay=False)] = Path(),
    json: Json = False,
) -> None:
    """Fetch proof of what this operator asked about a token, or in a call, and what it was told."""
    if bool(bst) == bool(call):
        raise CommandFailed(
            "Say which checks: a BST, or --call.",
            code=ExitCode.USAGE,
            attempt="nser audit receipts BST-02-… --from 2026-11-01 --into receipts",
        )
    request = receipts_pb2.FetchRequest(operator_id=operator_id, page_size=PAGE_SIZE)
    if bst:
        request.bst = bst
    else:
        request.correlation_id = call
    for name, at in (("from", begins), ("to", ends)):
        if at is not None:
            getattr(request, name).FromDatetime(at.replace(tzinfo=UTC))
    fetched = _fetched(request, key(ADMIN_KEY) if operator_id else key(API_KEY, ADMIN_KEY))
    into.mkdir(parents=True, exist_ok=True)
    files = [_written(into, receipt) for page in fetched for receipt in page.receipts]
    pending = sum(page.pending for page in fetched)
    unprovable = sum(page.unprovable for page in fetched)
    lines = [f"Wrote {len(files):,} receipts to {into}."]
    if pending:
        lines.append(f"{pending:,} more checks are not sealed yet: ask again in a few seconds.")
    if unprovable:
        lines.append(
            f"{unprovable:,} checks have no receipt: the log is not what was sealed. Look at it now."
        )
    told = {"files": [str(file) for file in files], "pending": pending, "unprovable": unprovable}
    tell("\n".join(lines), told, as_json=json)
    if unprovable:
        raise typer.Exit(ExitCode.NOT_PROVED)


def _fetched(request: receipts_pb2.FetchRequest, api_key: str) -> list[receipts_pb2.FetchResponse]:
    """Every page."""
    from lookup_core.cli.connection import Connection

    pages: list[receipts_pb2.FetchResponse] = []
    with Connection(registrar(), api_key, what="registrar") as to:
        stub = receipts_pb2_grpc.ReceiptServiceStub(to.channel)
        while not pages or request.page_token:
            page = to.call(
                stub.Fetch,
                request,
                receipts_pb2.FetchResponse,
                timeout_s=TIMEOUT_S,
                patience_s=PATIENCE_S,
            )
            pages.append(page)
            request.page_token = page.next_page_token
    return pages


def _written(into: Path, receipt: receipts_pb2.Receipt) -> Path:
    """Write one file, named by what is proved: fetched again, it is the same name."""
    file = into / f"receipt-{receipt.segment.index}-{receipt.check.index}.json"
    issued_at = receipt.issued_at.ToDatetime(UTC)
    values = {
        "format": "nser-receipt-1",
        "issued_at": issued_at.isoformat(timespec="microseconds"),
        "check": _proof(receipt.check),
        "segment": _proof(receipt.segment),
        "checkpoint": receipt.checkpoint,
        "key": receipt.key,
        "signature": _text(receipt.signature),
    }
    file.write_text(text_of.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def _proof(proof: receipts_pb2.Inclusion) -> dict[str, Any]:
    return {"leaf": _text(proof.leaf), "index": proof.index, "path": [_text(each) for each in proof.path]}


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")
