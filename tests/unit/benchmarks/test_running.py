"""A step that fails is written down and takes none with it."""

import pytest

from benchmarks import results
from benchmarks.measuring import QUICK
from benchmarks.peers.running import PeerRefused
from benchmarks.results import Results
from benchmarks.running import Asked, Run, words


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Results:
    monkeypatch.setattr(results, "LOOKS", tmp_path)
    return Results({}, 1_000, complete=False)


async def test_what_was_measured_before_a_failure_is_kept_on_the_disk(kept: Results):
    run = Run(Asked(["dataplane"], [], QUICK), kept)
    async with run._step("dataplane: unary"):
        kept.add_curve("idle", [(50.0, 1.0)])
    async with run._step("dataplane: tls"):
        raise OSError("no such certificate")
    async with run._step("peers: aio"):
        raise PeerRefused("it is not installed")
    told = results.latest(results.LOOKS)
    assert told["curves"] == [{"name": "idle", "points": [[50.0, 1.0]]}]
    assert told["failures"] == {"dataplane: tls": "OSError: no such certificate"}
    assert told["left_out"] == {"aio": "it is not installed"}
    assert not kept.is_met


async def test_a_stop_from_outside_stops_the_run(kept: Results):
    run = Run(Asked(["dataplane"], [], QUICK), kept)
    with pytest.raises(KeyboardInterrupt):
        async with run._step("dataplane: unary"):
            raise KeyboardInterrupt
    assert kept.failures == {}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "it said nothing"),
        ("one\ntwo", "one"),
        ("no file '/srv/certificates/x.pem', sorry", "no file '…', sorry"),
        ("go: https://a.host/of/ours: 404", "go: … 404"),
        ("3 / 4 of them", "3 / 4 of them"),
    ],
)
def test_what_is_published_of_an_error_names_no_place_of_the_machine(said: str, told: str):
    assert words(ValueError(said)) == told
