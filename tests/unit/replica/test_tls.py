import asyncio
import re
from pathlib import Path

import pytest
import structlog

from lookup_core.kernel.errors import SettingsRefused
from lookup_core.replica.tls import TlsFiles
from tests.support.authority import HOUR, NOW, Authority

AUTHORITY = Authority()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    named = {part: tmp_path / f"{part}.pem" for part in ("chain", "key", "callers")}
    write(named, AUTHORITY.issue())
    named["callers"].write_bytes(AUTHORITY.pem)
    return named


def write(files: dict[str, Path], issued: tuple[bytes, bytes]) -> None:
    for part, text in zip(("chain", "key"), issued, strict=True):
        files[part].write_bytes(text)


@pytest.mark.parametrize(
    ("part", "holds", "why"),
    [
        ("chain", None, r"it cannot be read \(No such file"),
        ("chain", b"a certificate, surely", "it holds no certificate in PEM"),
        ("chain", AUTHORITY.issue(NOW - HOUR)[0], "a certificate in it ended at 2"),
        ("chain", AUTHORITY.issue()[0] + AUTHORITY.issue(NOW - HOUR)[0], "a certificate in it ended at 2"),
        ("key", None, r"it cannot be read \(No such file"),
        ("key", b"", "."),
        ("key", AUTHORITY.issue()[1], "it does not fit the certificate"),
        ("callers", None, r"it cannot be read \(No such file"),
        ("callers", b"", "it holds no certificate"),
    ],
    ids=[
        "no chain",
        "a chain that is no PEM",
        "an expired certificate",
        "an expired certificate behind a good one",
        "no key",
        "an empty key",
        "another's key",
        "no callers",
        "empty callers",
    ],
)
def test_a_file_that_cannot_be_used_is_refused_at_the_start_by_its_setting(files, part, holds, why):
    files[part].unlink()
    if holds is not None:
        files[part].write_bytes(holds)
    with pytest.raises(SettingsRefused) as refused:
        TlsFiles(files)
    (problem,) = refused.value.problems
    assert problem.startswith(f"NSER_REPLICA_TLS_{part.upper()}_FILE: {files[part]} cannot be used: ")
    assert re.search(why, problem)
    assert " Name " in problem


def test_the_end_of_a_chain_is_that_of_its_first_certificate_to_end(files):
    soon, later = AUTHORITY.issue(NOW + HOUR / 2), AUTHORITY.issue(NOW + HOUR)
    write(files, (later[0] + soon[0], later[1]))
    assert TlsFiles(files).not_after == pytest.approx((NOW + HOUR / 2).timestamp(), abs=1)


def test_what_cannot_be_used_is_told_once_and_changes_nothing(files):
    async def looks() -> None:
        tls = TlsFiles(files)
        before = tls.not_after
        await tls.look()
        assert (tls.renewals, tls.failures) == (0, 0)
        files["chain"].write_bytes(b"half of a certif")
        with structlog.testing.capture_logs() as lines:
            await tls.look()
            await tls.look()
        assert [line["event"] for line in lines] == ["tls.not_renewed"]
        assert (lines[0]["file"], lines[0]["log_level"]) == (str(files["chain"]), "error")
        assert (tls.renewals, tls.failures, tls.not_after) == (0, 1, before)
        files["chain"].unlink()
        await tls.look()
        assert (tls.renewals, tls.failures, tls.not_after) == (0, 2, before)
        # A certificate and its key come one after the other: between them they do not fit.
        chain, key = AUTHORITY.issue(NOW + HOUR / 2)
        files["chain"].write_bytes(chain)
        await tls.look()
        files["key"].write_bytes(key)
        await tls.look()
        assert (tls.renewals, tls.failures) == (1, 3)
        assert tls.not_after == pytest.approx((NOW + HOUR / 2).timestamp(), abs=1)

    asyncio.run(looks())
