from benchmarks.report import at_least, at_most, machine, no_more, ratio


def test_a_limit_is_met_below_it_or_at_it():
    assert at_most("p99", 0.9999, "ms", "", limit=1).met is True
    assert at_most("p99", 1.0, "ms", "", limit=1).met is False
    assert no_more("CPU", 6.0, "µs", "", limit=6).met is True
    assert no_more("CPU", 6.01, "µs", "", limit=6).met is False
    assert at_least("batches", 3_000_000, "people/s", "", limit=3_000_000).met is True
    assert at_least("batches", 2_999_999.9, "people/s", "", limit=3_000_000).met is False


def test_a_ratio_is_met_only_when_both_were_measured():
    figure = ratio("beside", 300.0, 100.0, "", limit=3)
    assert (figure.value, figure.target, figure.met) == (3.0, ">= 3", True)
    assert ratio("beside", 299.9, 100.0, "", limit=3).met is False
    for ours, theirs in ((None, 100.0), (300.0, None), (None, None), (300.0, 0.0)):
        figure = ratio("beside", ours, theirs, "", limit=3)
        assert (figure.value, figure.met) == (None, None)


def test_the_machine_is_told_with_versions_and_commit():
    told = machine()
    assert {"cpu", "cores", "memory", "python", "rustc", "postgres", "commit", "measured_at"} <= told.keys()
    assert all(told.values())
