"""A bulk rotation whose registrar is killed again and again: nobody is left out, and nobody is rotated twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.registrar.conftest import Rows
from tests.support.people import people
from tests.support.registrar_desk import RING, Desk, an_identity, verified_chain
from tests.support.rings import kept_in
from tests.support.services import Database
from tests.support.token_desk import TokenDesk

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

PEOPLE = 2_300
WITHIN_S = 180.0


def start(database: Database, keys: dict[str, str], tmp_path: Path) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.environ["PATH"],
        "NSER_REGISTRAR_DATABASE_URL": database.registrar_url,
        **keys,
        "NSER_REGISTRAR_ADDRESS": "127.0.0.1:0",
        "NSER_REGISTRAR_METRICS_ADDRESS": "127.0.0.1:0",
        "NSER_ENVIRONMENT": "test",
    }
    with (tmp_path / "log").open("ab") as log:
        command = [sys.executable, "-m", "lookup_core.registrar"]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


async def test_everybody_is_rotated_once_though_the_registrar_is_killed_at_it(
    desk: Desk, database: Database, rows: Rows, tmp_path: Path
) -> None:
    tokens, keys = TokenDesk(desk), kept_in(tmp_path, RING)
    await desk.generate_many([an_identity(each) for each in people(PEOPLE)])
    started = await tokens.start_until_now(revokes=True)
    kills, before, ends_s = 0, 0, time.monotonic() + WITHIN_S
    while await rows("SELECT state FROM register.token_rotation") == ["running"]:
        process = start(database, keys, tmp_path)
        try:  # it is killed as soon as it has come further: within a group, in its commit, or before the next
            while (passed := (await rows("SELECT passed FROM register.token_rotation"))[0]) == before:
                assert time.monotonic() < ends_s, (tmp_path / "log").read_text()
                if await rows("SELECT state FROM register.token_rotation") != ["running"]:
                    break
                await asyncio.sleep(0.001)
        finally:
            process.kill()
            process.wait()
        kills, before = kills + 1, passed
    done = await tokens.show.one(started.rotation_id)
    assert (done.rotated, done.revoked, done.passed) == (PEOPLE, PEOPLE, PEOPLE)
    assert kills > 2
    each = "SELECT DISTINCT array_agg(state ORDER BY state) FROM register.bst_token GROUP BY person_no"
    assert await rows(each) == [["live", "revoked"]]
    audited = (
        "SELECT count(*), count(DISTINCT subject) FROM register.audit_entry WHERE action = 'bst.revoked'"
    )
    assert await rows(audited) == [(PEOPLE, PEOPLE)]
    await verified_chain(database)
