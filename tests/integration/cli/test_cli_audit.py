"""`nser audit` on a real database: what it prints, its exit codes, and months in files."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from lookup_core.cli.main import app
from lookup_core.domain import merkle
from lookup_core.domain.audit_entry import AuditEntry
from lookup_core.kernel import notes
from tests.support.audit_log import Attacker, audit_log
from tests.support.registrar_desk import RING
from tests.support.rings import kept_in
from tests.support.services import Database

pytestmark = pytest.mark.services

LAST_MONTH = datetime.now(UTC).replace(day=1) - timedelta(days=1)
MONTH = f"{LAST_MONTH:%Y-%m}"
Nser = Callable[..., Result]


@pytest.fixture
def nser(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nser:
    """The command, on a log of 900 entries, of which the last 300 are of this month and the last 10 are not sealed."""
    monkeypatch.setenv("NSER_HOME", str(tmp_path))
    monkeypatch.setenv("NSER_DATABASE_URL", database.owner_url)
    for name, value in kept_in(tmp_path, RING).items():
        monkeypatch.setenv(name, value)

    async def written() -> None:
        async with audit_log(database) as log:
            await log.append(600, at=LAST_MONTH)
            await log.seal()
            await log.written(290)
            await log.append(10)
            async with log.pool.acquire() as connection:
                await connection.execute("UPDATE register.audit_head SET origin = $1", log.name.signer.name)

    asyncio.run(written())
    return lambda *arguments: CliRunner().invoke(app, ["audit", *arguments])


def attacked(database: Database, statement: str) -> None:
    async def run() -> None:
        connection: Any = await asyncpg.connect(database.owner_url)
        await Attacker(connection).does(statement)
        await connection.close()

    asyncio.run(run())


def test_an_untouched_log_is_said_to_be_whole_and_what_is_not_proved_is_said(nser: Nser) -> None:
    told = nser("verify", "--processes", "0")
    assert told.exit_code == 0, told.output
    assert "All 900 entries" in told.output
    assert "10 of them are newer than the newest checkpoint" in told.output
    assert "Compared with nothing outside" in told.output


def test_a_changed_log_ends_with_12_and_the_entry(nser: Nser, database: Database) -> None:
    attacked(database, "UPDATE register.audit_entry SET actor = 'nobody' WHERE entry_id = 300")
    told = nser("verify", "--processes", "0", "--json")
    assert told.exit_code == 12
    assert json.loads(told.output)["findings"][0]["entry"] == 300


def test_a_checkpoint_that_somebody_kept_is_compared_with(
    nser: Nser, database: Database, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.write_text(json.loads(nser("prove", "700", "--json").output)["checkpoint"])
    assert nser("verify", "--processes", "0", "--checkpoint", str(kept)).exit_code == 0
    for table, column in (("entry", "entry_id + 1"), ("checkpoint", "size")):
        attacked(database, f"DELETE FROM register.audit_{table} WHERE {column} > 600")
    attacked(database, "UPDATE register.audit_head SET size = 600")
    attacked(database, "DELETE FROM register.audit_tile WHERE tile > 1")
    assert nser("verify", "--processes", "0").exit_code == 0, "a whole older log is a true one"
    told = nser("verify", "--processes", "0", "--checkpoint", str(kept))
    assert told.exit_code == 12
    assert "entry 600 is missing" in told.output


def test_the_printed_key_and_proof_are_all_that_an_outsider_needs(nser: Nser) -> None:
    [verifier] = [notes.Verifier.parse(line) for line in nser("key").output.splitlines()]
    told = json.loads(nser("prove", "17", "--json").output)
    said = notes.parse_checkpoint(notes.open(told["checkpoint"], verifier))
    canonical, path = base64.b64decode(told["bytes"]), [base64.b64decode(each) for each in told["path"]]
    assert merkle.root_from_inclusion(merkle.leaf_hash(canonical), 17, said.size, path) == said.root
    assert AuditEntry.parse(canonical).correlation_id == "c-17"
    assert nser("prove", "17").output.startswith("c2sp.org/tlog-proof@v1\nindex 17\n")


def test_an_entry_that_is_not_sealed_is_not_proved(nser: Nser) -> None:
    assert nser("prove", "895").exit_code == 4


def test_a_month_in_files_proves_itself(nser: Nser, tmp_path: Path) -> None:
    key, into = nser("key").output.strip(), tmp_path / "archive"
    assert nser("export", MONTH, "--into", str(into)).exit_code == 0
    proof, entries = into / f"audit-{MONTH}.json", into / f"audit-{MONTH}.entries"
    told = nser("verify", "--file", str(proof), "--key", key)
    assert told.exit_code == 0, told.output
    assert "All 600 entries in the files" in told.output
    assert nser("export", MONTH, "--into", str(into)).exit_code == 4, "files stay as they are"
    whole = entries.read_bytes()
    for altered in (whole[:100] + b"x" + whole[101:], whole[:-200], whole + whole[:200], b"\xff" + whole):
        entries.write_bytes(altered)
        assert nser("verify", "--file", str(proof), "--key", key).exit_code == 12


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["export", "2026", "--into", "x"], 2),
        (["export", f"{datetime.now(UTC):%Y-%m}", "--into", "x"], 4),
        (["export", "2019-01", "--into", "x"], 4),
        (["verify", "--key", "nonsense"], 2),
        (["verify", "--file", "nowhere.json"], 2),
        (["verify", "--checkpoint", "nowhere"], 2),
    ],
    ids=["no month", "not over", "no entry", "no key", "no key for a file", "no checkpoint"],
)
def test_what_cannot_be_done_is_refused_with_a_sentence(
    nser: Nser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    assert nser(*arguments).exit_code == code
