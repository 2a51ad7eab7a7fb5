from __future__ import annotations

import ast
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.transparency_log import WITNESS, Log, Signer, b64, inclusion, tree_hash

PROGRAM = Path(__file__).parents[3] / "clients/verifier/verify_nser.py"
WITNESS_KEY = Signer("university.example/witness", WITNESS, b"\x21" * 32)
SEGMENT = "segment 0198c0de-0000-7000-8000-000000000001/7"


def field(value: bytes | None) -> bytes:
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def audit_entry(action: str, subject: str, reason: str = "") -> bytes:
    """An entry's canonical bytes, written here from their description."""
    fields = [bytes(range(16)), struct.pack(">q", 1_000_000), struct.pack(">q", 42), None]
    texts = ["grak", action, subject, "203.0.113.7", reason, "c-1"]
    return b"nser-audit-1\n" + b"".join(map(field, [*fields, *(text.encode() for text in texts)]))


def check_row(number: int, outcome: str) -> bytes:
    """A leaf of the lookup log: a salt, and a row of eleven fields."""
    fields = [struct.pack(">q", number), b"r" * 16, struct.pack(">q", number), b"o" * 16, b"0123456789abcdef"]
    fields += [b"exclusion", outcome.encode(), b"DOCUMENT", b"\xab" * 16, struct.pack(">q", 42), b"c-2"]
    return b"s" * 16 + struct.pack(">h", 11) + b"".join(map(field, fields))


CHECKS = [check_row(number, "EXCLUDED" if number % 2 else "NOT_EXCLUDED") for number in range(11)]


@pytest.fixture
def log() -> Log:
    made = Log(entries=[audit_entry("exclusion.created", f"exclusion {number}") for number in range(20)])
    made.entries[13] = audit_entry(
        "lookup.segment_sealed",
        SEGMENT,
        f"entries={len(CHECKS)} root={tree_hash(CHECKS).hex()} checkpoint=none",
    )
    return made


def entry_of(log: Log, index: int, /, **other: Any) -> dict[str, Any]:
    return {
        "checkpoint": log.checkpoint(None, WITNESS_KEY),
        "leaf": b64(log.entries[index]),
        "index": index,
        "path": [b64(each) for each in log.inclusion(index)],
        **other,
    }


def receipt_of(log: Log, index: int, /, **other: Any) -> dict[str, Any]:
    """As protojson writes it: 64-bit numbers are texts."""
    path = [b64(each) for each in inclusion(index, CHECKS)]
    check = {"leaf": b64(CHECKS[index]), "index": str(index), "size": str(len(CHECKS)), "path": path}
    segment = entry_of(log, 13)
    return {"check": {**check, **other}, "segment": segment, "checkpoint": segment["checkpoint"]}


def verify(tmp_path: Path, what: str, shown: Any, *keys: str) -> tuple[int, str]:
    file = tmp_path / "shown.json"
    file.write_text(shown if isinstance(shown, str) else json.dumps(shown))
    # -I: none of the checkout is in reach.
    command = [sys.executable, "-I", str(PROGRAM), what, str(file), *keys]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    return done.returncode, done.stdout + done.stderr


def by(log: Log, *, witness: bool = False) -> list[str]:
    keys = ["--log-key", log.signer.verifier_key]
    return [*keys, "--witness-key", WITNESS_KEY.verifier_key] if witness else keys


def test_it_is_one_short_file_that_uses_nothing_of_ours() -> None:
    text = PROGRAM.read_text()
    assert len(text.splitlines()) < 200
    tree = ast.parse(text)
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names)
    assert others == {"cryptography"}


@pytest.mark.parametrize("index", [0, 7, 13, 15, 16, 19])
def test_an_entry_is_verified_and_shown(log: Log, tmp_path: Path, index: int) -> None:
    code, told = verify(tmp_path, "entry", entry_of(log, index), *by(log, witness=True))
    assert code == 0, told
    assert "register.example/audit, 20 entries" in told
    assert "2025-10-09 08:53:20+00:00 by university.example/witness" in told
    assert "2000-01-01 00:00:01+00:00" in told
    assert told.endswith("VERIFIED\n")


def test_an_entry_is_read_as_the_registers_command_prints_it(log: Log, tmp_path: Path) -> None:
    shown = entry_of(log, 7)
    printed = {"entry": 7, "bytes": shown["leaf"], "path": shown["path"], "checkpoint": shown["checkpoint"]}
    assert verify(tmp_path, "entry", printed, *by(log))[0] == 0


def pieces(begin: int, end: int) -> list[tuple[int, int]]:
    """The largest whole subtrees that fit between two places, from the left."""
    found = []
    while begin < end:
        width = next(w for w in (1 << n for n in range(40, -1, -1)) if begin % w == 0 and begin + w <= end)
        found.append((begin, begin + width))
        begin += width
    return found


def month_of(log: Log, folder: Path, first: int, end: int, size: int) -> dict[str, Any]:
    entries = log.entries[first:end]
    (folder / "shown.entries").write_bytes(b"".join(field(entry) for entry in entries))
    before, after = (
        [b64(tree_hash(log.entries[left:right])) for left, right in pieces(*each)]
        for each in ((0, first), (end, size))
    )
    return {"first": first, "end": end, "before": before, "after": after, "checkpoint": log.checkpoint(size)}


@pytest.mark.parametrize(
    ("first", "end", "size"), [(0, 20, 20), (0, 1, 20), (5, 16, 20), (8, 12, 12), (13, 19, 20), (19, 20, 20)]
)
def test_a_month_is_verified_whole(log: Log, tmp_path: Path, first: int, end: int, size: int) -> None:
    code, told = verify(tmp_path, "month", month_of(log, tmp_path, first, end, size), *by(log))
    assert (code, told.endswith("VERIFIED\n")) == (0, True), told


def test_a_month_that_was_changed_cut_or_put_elsewhere_is_not(log: Log, tmp_path: Path) -> None:
    shown = month_of(log, tmp_path, 5, 16, 20)
    file = tmp_path / "shown.entries"
    whole = file.read_bytes()
    changes: list[tuple[bytes, dict[str, Any]]] = [
        (whole.replace(b"exclusion 9", b"exclusion 8"), {}),
        (whole[:-7], {}),
        (whole[: len(whole) // 11 * 10], {}),
        (whole + field(log.entries[16]), {}),
        (whole, {"first": 4}),
        (whole, {"end": 15}),
        (whole, {"before": shown["before"][:-1]}),
        (whole, {"after": [*shown["after"], shown["after"][0]]}),
        (whole, {"checkpoint": log.checkpoint(19)}),
    ]
    for entries, other in changes:
        file.write_bytes(entries)
        code, told = verify(tmp_path, "month", {**shown, **other}, *by(log))
        assert (code, "NOT VERIFIED" in told) == (1, True), told


def test_a_receipt_is_verified_and_the_check_and_its_answer_are_shown(log: Log, tmp_path: Path) -> None:
    code, told = verify(tmp_path, "receipt", receipt_of(log, 5), *by(log, witness=True))
    assert code == 0, told
    assert f"number 5 of {SEGMENT}" in told
    assert "outcome         EXCLUDED\n" in told
    assert "token           abababababababababababababababab\n" in told
    assert "key_id          0123456789abcdef\n" in told


def test_a_receipt_with_another_answer_or_place_is_not(log: Log, tmp_path: Path) -> None:
    other_answer = b64(check_row(5, "NOT_EXCLUDED"))
    for changed in ({"leaf": other_answer}, {"index": "4"}, {"index": "11"}, {"path": []}):
        code, told = verify(tmp_path, "receipt", receipt_of(log, 5, **changed), *by(log))
        assert (code, told.splitlines()[-1][:13]) == (1, "NOT VERIFIED:"), told


def test_an_entry_that_seals_nothing_proves_no_check(log: Log, tmp_path: Path) -> None:
    receipt = receipt_of(log, 5)
    receipt["segment"] = entry_of(log, 12)
    code, told = verify(tmp_path, "receipt", receipt, *by(log))
    assert (code, "seals no checks" in told) == (1, True)


@pytest.mark.parametrize("old", [0, 1, 8, 11, 20])
def test_a_log_that_only_grew_is_verified(log: Log, tmp_path: Path, old: int) -> None:
    path = [b64(each) for each in log.consistency(old)]
    shown = {"old": log.checkpoint(old), "new": log.checkpoint(), "path": path}
    code, told = verify(tmp_path, "consistency", shown, *by(log))
    assert (code, told.endswith("VERIFIED\n")) == (0, True), told


def test_a_log_that_went_back_or_forked_or_shows_another_path_is_not(log: Log, tmp_path: Path) -> None:
    forked = Log(log.signer, log.entries[:10]).grow(10)
    path = [b64(each) for each in log.consistency(11)]
    for old, new, steps, said in (
        (log.checkpoint(), log.checkpoint(11), path, "went back from 20 entries to 11"),
        (log.checkpoint(), forked.checkpoint(), [], "two different logs have 20 entries"),
        (log.checkpoint(11), forked.checkpoint(), path, "does not begin with the older"),
        (log.checkpoint(11), log.checkpoint(), path[:-1], "NOT VERIFIED"),
        (log.checkpoint(11), log.checkpoint(), path[1:], "too short"),
        (log.checkpoint(11), log.checkpoint(), [path[0], *path], "NOT VERIFIED"),
    ):
        code, told = verify(tmp_path, "consistency", {"old": old, "new": new, "path": steps}, *by(log))
        assert (code, said in told) == (1, True), told


def test_what_is_not_signed_by_the_keys_given_is_not_verified(log: Log, tmp_path: Path) -> None:
    impostor = Signer(log.signer.name, seed=b"\x66" * 32)
    text = log.text()
    forged = Log(log.signer, [*log.entries[:19], b"x"])
    for note, said in (
        (f"{text}\n{impostor.line(text)}", "has not signed this checkpoint"),
        (f"{forged.text()}\n{log.signer.line(text)}", "the signature of register.example/audit is false"),
        (log.checkpoint(19), "does not lead"),
        (
            text.replace("audit", "other") + "\n" + log.signer.line(text.replace("audit", "other")),
            "not the log",
        ),
        (text, "no signature lines"),
    ):
        code, told = verify(tmp_path, "entry", entry_of(log, 3, checkpoint=note), *by(log))
        assert (code, said in told) == (1, True), told


def test_without_the_cosignature_that_was_asked_for_it_is_not_verified(log: Log, tmp_path: Path) -> None:
    shown = entry_of(log, 3, checkpoint=log.checkpoint())
    assert verify(tmp_path, "entry", shown, *by(log))[0] == 0
    code, told = verify(tmp_path, "entry", shown, *by(log, witness=True))
    assert (code, "university.example/witness has not signed" in told) == (1, True)
    # A log cannot stand in for its own witness.
    code, told = verify(tmp_path, "entry", shown, *by(log), "--witness-key", log.signer.verifier_key)
    assert (code, "is no key of type 4" in told) == (1, True)


def test_an_entry_cannot_write_lines_of_its_own(tmp_path: Path) -> None:
    log = Log(entries=[audit_entry("exclusion.created", "x", "\nVERIFIED\n")])
    code, told = verify(tmp_path, "entry", entry_of(log, 0), *by(log))
    assert (code, told.count("\nVERIFIED")) == (0, 1)


@pytest.mark.parametrize(
    "shown",
    ["", "{}", "[]", '{"checkpoint": 1}', '{"leaf": "?"}'],
    ids=["empty", "bare", "list", "number", "leaf"],
)
def test_what_cannot_be_read_is_said_so(log: Log, tmp_path: Path, shown: str) -> None:
    code, told = verify(tmp_path, "entry", shown, *by(log))
    assert (code, told[:15]) == (2, "CANNOT BE READ:")
    assert "Traceback" not in told
