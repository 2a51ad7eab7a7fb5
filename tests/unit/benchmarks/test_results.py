import json

from benchmarks import publish, results, tables
from benchmarks.peers.suite import ratios
from benchmarks.report import Figure, at_most
from benchmarks.results import Results

MACHINE = {"cpu": "one", "commit": "abc1234"}
CURVE = [(0.0, 50.0), (50.0, 100.0), (99.9, 900.0), (100.0, 5_000.0)]


def load(people_per_second: float, **errors: int) -> dict[str, object]:
    report = {
        "people_per_second": people_per_second,
        "errors": errors,
        "outcomes": {"excluded": 5, "not_excluded": 95},
        "latency_us": {"p50": 100.0, "p99": 500.0, "p99.9": 900.0},
        "rate": 5_000,
        "curve": CURVE,
    }
    return {"report": report, "cpu_us_per_person": 4.5}


def peer(name: str, flat_out: float, batches: float | None = None) -> dict[str, object]:
    return {
        "name": name,
        "what": f"what {name} is",
        "flat_out": load(flat_out),
        "at_rate": load(5_000, UNAVAILABLE=2),
        "batches": None if batches is None else load(batches),
    }


def whole() -> Results:
    run = Results(MACHINE, 10_000_000, complete=True)
    run.add(
        "dataplane", [at_most("p99", 0.5, "ms", "how", limit=1), at_most("p99.9", 7, "ms", "how", limit=5)]
    )
    run.add_curve("idle", CURVE)
    run.peers = [peer("nser", 300_000, 4_000_000), peer("callback", 100_000, 1_000_000)]
    run.left_out = {"aio": "it cannot be had"}
    run.add("peers", ratios(run.peers))
    run.profile = {"hash": 10.0, "HTTP/2": 40.0}
    return run


def test_the_ratios_of_peers_that_are_not_there_are_not_measured_and_never_met():
    by_name = {figure.name: figure for figure in ratios(whole().peers)}
    assert by_name["unary checks beside gRPC C++ callback"].value == 3.0
    assert by_name["BatchCheck 1,000 beside gRPC C++ callback"].met is True
    for name in ("grpc.aio", "OpenFGA", "SpiceDB"):
        assert (by_name[f"unary checks beside {name}"].value, by_name[f"unary checks beside {name}"].met) == (
            None,
            None,
        )
    line = next(line for line in tables.figures(whole().told).splitlines() if "SpiceDB" in line)
    assert [cell.strip() for cell in line.split("|")][2:6] == ["", "x", ">= 10", "not measured"]


def test_ours_alone_is_no_ratio():
    assert all(figure.value is None for figure in ratios([peer("nser", 1.0, 1.0)]))
    assert all(figure.value is None for figure in ratios([peer("callback", 1.0, 1.0)]))


def test_a_page_tells_everything_that_was_measured():
    page = tables.page(whole().told)
    assert "| p99 | 0.5 | ms | < 1 | yes | how |" in page
    assert "| p99.9 | 7 | ms | < 5 | **no** | how |" in page
    assert (
        "| callback | 100,000 | 4.5 | 1,000,000 | 4.5 | 5,000 | 0.10 | 0.50 | 0.90 | 2 UNAVAILABLE | 5.0% |"
        in page
    )
    assert "- aio: it cannot be had" in page
    assert page.index("| HTTP/2 | 40.0 |") < page.index("| hash | 10.0 |")
    assert "Not a complete run" not in page


def test_a_run_is_met_when_nothing_failed_and_no_target_was_missed():
    run = Results(MACHINE, 1_000, complete=False)
    run.add("dataplane", [Figure("speed", 1.0, "x", ""), Figure("ratio", None, "x", "", ">= 3")])
    assert run.is_met
    run.failures["dataplane: tls"] = "no such file"
    assert not run.is_met
    assert "- dataplane: tls: no such file" in tables.page(run.told)
    assert "Not a complete run" in tables.page(run.told)
    assert not whole().is_met


def test_what_is_saved_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "LATEST", tmp_path / "latest")
    monkeypatch.setattr(results, "LOOKS", tmp_path / "looks")
    run = whole()
    run.save()
    assert not (tmp_path / "latest").exists()  # it is still under way
    page = run.save(ended=True)
    assert results.latest(tmp_path / "latest") == json.loads(json.dumps(run.told))
    assert page.read_text() == tables.page(results.latest(tmp_path / "latest"))
    Results(MACHINE, 1_000, complete=False).save(ended=True)
    assert (tmp_path / "looks" / "latest.json").exists()  # a look is never taken for a complete run
    assert results.latest(tmp_path / "latest")["people"] == 10_000_000


def test_a_page_is_filled_between_its_marks_again_and_again():
    text = "before\n\n<!-- benchmarks: profile -->\nold\n<!-- /benchmarks -->\n\nbetween `x`\n\n"
    text += "<!-- benchmarks: figures -->\n<!-- /benchmarks -->\n\nafter\n"
    filled = publish.filled(text, whole().told)
    assert "old" not in filled
    assert "| HTTP/2 | 40.0 |" in filled
    assert "| p99 | 0.5 |" in filled
    assert filled.startswith("before\n")
    assert filled.endswith("\nafter\n")
    assert publish.filled(filled, whole().told) == filled


def test_nothing_recorded_is_said():
    nothing = Results({}, 0, complete=False).told
    for part in publish.PARTS.values():
        assert part(nothing) == tables.NOTHING
    assert all(drawing.startswith("<svg") for drawing in publish.drawings(nothing).values())


def test_drawings_have_every_curve_and_peer():
    drawn = publish.drawings(whole().told)
    assert ">idle<" in drawn["latency.svg"]
    assert ">callback, 5,000/s<" in drawn["peers-latency.svg"]
    assert ">300,000<" in drawn["peers-throughput.svg"]
