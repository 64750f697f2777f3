"""The benchmarks run, and what they write can be read."""

import json

import pytest

from benchmarks import report
from benchmarks.bars import Bar, split_bars
from benchmarks.bench import main
from benchmarks.measure import DisagreementError, _check


def test_a_question_without_peers_is_answered_with_stages_evaluations_and_the_floor(tmp_path, capsys):
    path = tmp_path / "numbers.json"
    assert main(["nested", "--quick", "--peers", "none", "--json", str(path)]) == 0
    results = json.loads(path.read_text())
    (row,) = results["rows"].values()
    mine = row["mme"]
    assert row["n"] == 10_000
    assert mine["evaluations"] > 0
    assert {"cross-products", "search"} < set(mine["stages"])
    assert 0.0 < report.floor(row, results["machine"])["total"] < mine["seconds"]
    assert "nested, 10,000 rows" in capsys.readouterr().out
    assert "| nested, 10,000 rows" in report.markdown(results)


def test_a_criterion_a_hundredth_off_the_reference_is_refused():
    _check(1743.6282719, 1743.6282720)
    with pytest.raises(DisagreementError, match=r"1743\.63827.* is not the reference 1743\.62827"):
        _check(1743.63827, 1743.62827)


def test_a_formula_falls_into_its_fixed_part_and_its_bars():
    fixed, bars = split_bars("y ~ x + (1 + x || g) + (1 | a/b)")
    assert fixed == "y ~ x"
    assert bars == [Bar("1 + x", "g", True), Bar("1", "a/b", False)]
    assert split_bars("y ~ (1 | g)")[0] == "y ~ 1"
