"""`nser tokens`: rotate many tokens after a compromise, see how far it has come, stop it.

The work is the registrar's: a command that is stopped stops nothing. A list longer than one rotation takes is started
as several, one after the other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer

from lookup_core.cli import words
from lookup_core.cli.addresses import registrar
from lookup_core.cli.connection import Connection
from lookup_core.cli.credentials import ADMIN_KEY, key
from lookup_core.cli.exits import CommandFailed, ExitCode
from lookup_core.cli.output import Json, table, tell
from lookup_core.domain.bst import format_token, parse_token
from lookup_core.domain.errors import MalformedToken
from lookup_core.domain.period import EAT
from nser.access.v1 import access_pb2, access_pb2_grpc
from nser.bst.v1 import bst_pb2, bst_pb2_grpc

TIMEOUT_S = 10.0
PATIENCE_S = 20.0
LONGEST_LIST = 20_000
PAGE_SIZE = 1_000
WATCH_EVERY_S = 1.0
EXAMPLE = "nser tokens rotate --operator NAME --reason TEXT --dry-run"

tokens = typer.Typer(help="Rotate tokens after a compromise.", no_args_is_help=True, rich_markup_mode=None)


@tokens.command()
def rotate(
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit log.")],
    operator: Annotated[
        str, typer.Option(help="All tokens that this operator was given; name or UUID.")
    ] = "",
    minted_from: Annotated[
        str, typer.Option(help="Tokens minted from this time on; Kenyan, if no zone.")
    ] = "",
    minted_to: Annotated[str, typer.Option(help="… and before this time, which must be over.")] = "",
    list_: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="The tokens of a file, one a line.")
    ] = None,
    revoke_old: Annotated[bool, typer.Option(help="Old tokens resolve no more.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Count, and change nothing.")] = False,
    watch: Annotated[bool, typer.Option(help="Show the progress until it is done.")] = False,
    json: Json = False,
) -> None:
    """Start a rotation of many tokens; it runs in the registrar and survives its end."""
    if sum(bool(each) for each in (operator, minted_from or minted_to, list_)) != 1:
        raise _wrong("Say which tokens: --operator, --minted-from with --minted-to, or --list.")
    asked = bst_pb2.StartRotationRequest(reason=reason, revoke_old=revoke_old, dry_run=dry_run)
    listed = [] if list_ is None else _read(list_)
    if minted_from or minted_to:
        asked.minted.CopyFrom(_minted(minted_from, minted_to))
    with _connected() as to:
        if operator:
            asked.operator_id = _operator_id(to, operator)
        started = [
            to.call(
                bst_pb2_grpc.BstServiceStub(to.channel).StartRotation,
                request,
                bst_pb2.StartRotationResponse,
                timeout_s=TIMEOUT_S,
                patience_s=PATIENCE_S,
            ).rotation
            for request in _requests(asked, listed)
        ]
        if watch:
            started = [_watched(to, rotation) for rotation in started]
    sentence = "\n".join(_sentence(rotation) for rotation in started)
    tell(sentence, {"rotations": [_values(rotation) for rotation in started]}, as_json=json)


@tokens.command()
def rotations(json: Json = False) -> None:
    """Show rotations, newest first, and how far each has come."""
    found: list[bst_pb2.Rotation] = []
    request = bst_pb2.ListRotationsRequest(page_size=PAGE_SIZE)
    with _connected() as to:
        stub = bst_pb2_grpc.BstServiceStub(to.channel)
        while True:
            page = to.call(
                stub.ListRotations,
                request,
                bst_pb2.ListRotationsResponse,
                timeout_s=TIMEOUT_S,
                patience_s=PATIENCE_S,
            )
            found += page.rotations
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
    if json or not found:
        values = {"rotations": [_values(rotation) for rotation in found]}
        tell("There are no rotations.", values, as_json=json)
        return
    heads = ("rotation", "over", "state", "progress", "passed", "rotated", "revoked", "started", "reason")
    table(
        heads,
        [_row(rotation) for rotation in found],
        numbers=("progress", "passed", "rotated", "revoked"),
        texts=("over", "reason"),
    )


@tokens.command()
def cancel(
    rotation_id: Annotated[UUID, typer.Argument(metavar="ROTATION", help="The rotation's id.")],
    reason: Annotated[str, typer.Option(help="Why; it goes into the audit log.")] = "",
    json: Json = False,
) -> None:
    """Stop a rotation where it is. What is rotated stays rotated."""
    request = bst_pb2.CancelRotationRequest(
        request_id=str(uuid4()), rotation_id=str(rotation_id), reason=reason
    )
    with _connected() as to:
        stub = bst_pb2_grpc.BstServiceStub(to.channel)
        ended = to.call(
            stub.CancelRotation,
            request,
            bst_pb2.CancelRotationResponse,
            timeout_s=TIMEOUT_S,
            patience_s=PATIENCE_S,
        ).rotation
    tell(_sentence(ended), _values(ended), as_json=json)


def _connected() -> Connection:
    return Connection(registrar(), key(ADMIN_KEY), what="registrar")


def _watched(to: Connection, rotation: bst_pb2.Rotation) -> bst_pb2.Rotation:
    """Show how far it has come until it has ended. A registrar that is away is waited for, as the work is."""
    stub = bst_pb2_grpc.BstServiceStub(to.channel)
    request = bst_pb2.GetRotationRequest(rotation_id=rotation.rotation_id)
    while rotation.state == bst_pb2.ROTATION_STATE_RUNNING:
        print(_sentence(rotation), file=sys.stderr)
        time.sleep(WATCH_EVERY_S)
        rotation = to.call(
            stub.GetRotation,
            request,
            bst_pb2.GetRotationResponse,
            timeout_s=TIMEOUT_S,
            patience_s=PATIENCE_S,
        ).rotation
    return rotation


def _read(path: Path) -> list[str]:
    """The tokens of a file, each in its one form. Raises CommandFailed that names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(f"{path} cannot be read as text ({type(error).__name__}).") from None
    found: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(format_token(parse_token(line)))
        except MalformedToken as malformed:
            raise _wrong(f"{path}, line {number}: {malformed.message} Nothing was started.") from None
    if not found:
        raise _wrong(f"{path} has no tokens.")
    return list(dict.fromkeys(found))


def _requests(
    asked: bst_pb2.StartRotationRequest, listed: Sequence[str]
) -> Iterator[bst_pb2.StartRotationRequest]:
    """What is asked, once, or once for each part of a list."""
    for start in range(0, max(1, len(listed)), LONGEST_LIST):
        request = bst_pb2.StartRotationRequest(request_id=str(uuid4()))
        request.MergeFrom(asked)
        if listed:
            request.list.tokens.extend(listed[start : start + LONGEST_LIST])
        yield request


def _minted(from_text: str, to_text: str) -> bst_pb2.MintedBetween:
    if not (from_text and to_text):
        raise _wrong("Give both --minted-from and --minted-to.")
    minted = bst_pb2.MintedBetween()
    getattr(minted, "from").FromDatetime(_at(from_text))
    minted.to.FromDatetime(_at(to_text))
    return minted


def _at(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(f"{text} is not a time. Write it like 2026-11-25T09:00.") from None
    return (at if at.tzinfo else at.replace(tzinfo=EAT)).astimezone(UTC)


def _operator_id(to: Connection, operator: str) -> str:
    """The id of an operator that is named by it, or by its name. Raises CommandFailed."""
    try:
        return str(UUID(operator))
    except ValueError:
        pass
    stub = access_pb2_grpc.AccessServiceStub(to.channel)
    request = access_pb2.ListKeysRequest(page_size=PAGE_SIZE)
    while True:
        page = to.call(
            stub.ListKeys, request, access_pb2.ListKeysResponse, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S
        )
        for each in page.keys:
            if each.operator == operator:
                return each.operator_id
        if not page.next_page_token:
            raise _wrong(f"No operator with a key is named {operator}.", attempt="nser api-keys list")
        request.page_token = page.next_page_token


def _wrong(message: str, *, attempt: str = EXAMPLE) -> CommandFailed:
    return CommandFailed(message, code=ExitCode.USAGE, attempt=attempt)


def _state(rotation: bst_pb2.Rotation) -> str:
    return words.word(bst_pb2.RotationState, rotation.state, "ROTATION_STATE_")


def _over(rotation: bst_pb2.Rotation) -> str:
    over = rotation.WhichOneof("over")
    if over == "operator":
        return f"operator {rotation.operator}"
    if over == "minted":
        begins, ends = getattr(rotation.minted, "from"), rotation.minted.to
        return f"minted {begins.ToJsonString()} to {ends.ToJsonString()}"
    return f"a list of {rotation.listed:,}"


def _sentence(rotation: bst_pb2.Rotation) -> str:
    what = "would be" if rotation.dry_run else "are"
    counts = f"{rotation.rotated:,} {what} rotated, {rotation.revoked:,} {what} revoked"
    unknown = f", {rotation.unknown:,} not known" if rotation.unknown else ""
    return (
        f"Rotation {rotation.rotation_id} ({_over(rotation)}): {_state(rotation)}, {rotation.progress:.0%}; "
        f"{counts}{unknown}."
    )


def _row(rotation: bst_pb2.Rotation) -> tuple[str, ...]:
    return (
        rotation.rotation_id,
        f"{_over(rotation)}{' (dry run)' if rotation.dry_run else ''}",
        _state(rotation),
        f"{rotation.progress:.0%}",
        *(f"{count:,}" for count in (rotation.passed, rotation.rotated, rotation.revoked)),
        words.day_in_kenya(rotation.started_at.ToDatetime(UTC)),
        rotation.reason,
    )


def _values(rotation: bst_pb2.Rotation) -> dict[str, Any]:
    ended = rotation.HasField("ended_at")
    return {
        "rotation_id": rotation.rotation_id,
        "over": _over(rotation),
        "revoke_old": rotation.revoke_old,
        "dry_run": rotation.dry_run,
        "reason": rotation.reason,
        "state": _state(rotation),
        "progress": rotation.progress,
        "passed": rotation.passed,
        "rotated": rotation.rotated,
        "revoked": rotation.revoked,
        "unknown": rotation.unknown,
        "started_by": rotation.started_by,
        "started_at": rotation.started_at.ToDatetime(UTC).isoformat(),
        "ended_at": rotation.ended_at.ToDatetime(UTC).isoformat() if ended else None,
    }
