import pytest

from benchmarks import __main__ as command
from benchmarks.dataplane.rows import ROWS
from benchmarks.measuring import QUICK
from benchmarks.running import SUITES, Asked


def test_names_choose_their_suites():
    assert command._chosen([], []) == SUITES
    assert command._chosen(["writes"], []) == ["writes"]
    assert command._chosen([], ["unary", "tls"]) == ["dataplane"]
    assert command._chosen([], ["unary", "callback"]) == ["dataplane", "peers"]


def test_a_row_is_run_when_it_or_its_whole_suite_is_wanted():
    everything, some = Asked(SUITES, [], QUICK), Asked(["dataplane"], ["tls"], QUICK)
    assert all(everything.wants("dataplane", row.name) for row in ROWS)
    assert [row.name for row in ROWS if some.wants("dataplane", row.name)] == ["tls"]
    assert not some.wants("peers", "callback")


def test_no_two_things_that_can_be_chosen_have_one_name():
    names = command._names(SUITES)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("arguments", [["nothing"], ["--only", "nothing"], ["--people", "many"]])
def test_what_is_not_there_is_refused_with_what_is(arguments: list[str], capsys):
    with pytest.raises(SystemExit):
        command._parser().parse_args(arguments)
    assert "dataplane" in (told := capsys.readouterr().err) or "steady_5000" in told or "invalid int" in told
