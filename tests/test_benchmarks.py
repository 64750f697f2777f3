"""The benchmarks run, and what they write can be read."""

import json

import numpy as np
import pytest

from benchmarks import after, animals, glmm, many_fixed, many_parameters, report, scale, streaming
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


@pytest.mark.parametrize("question", ["million", "reliability"])
def test_equations_of_animals_are_solved_and_their_variances_agree_with_unit_solutions(question, tmp_path, capsys):
    path = tmp_path / "numbers.json"
    assert animals.main([question, "--animals", "2000", "--json", str(path)]) == 0
    said = json.loads(path.read_text())[question]
    assert said["inbred"] > 0
    assert said["equations"] > 2000
    assert said["peak bytes"] > said["bytes of L"]
    assert "inbreeding" in capsys.readouterr().out


def test_a_simulated_population_has_parents_of_the_right_sex_and_age():
    drawn = animals.population(2000, np.random.default_rng(0))
    for parent, oldest in ((drawn.sire, 4), (drawn.dam, 5)):
        known = parent >= 0
        age = drawn.year[known] - drawn.year[parent[known]]
        assert known.sum() == 1900
        assert (age.min(), age.max()) == (1, oldest)
    assert not set(drawn.sire.tolist()) & set(drawn.dam.tolist()) - {-1}


def test_every_question_to_a_fit_is_timed_beside_it(tmp_path, capsys):
    path = tmp_path / "numbers.json"
    assert after.main(["slope", "crossed", "--rows", "4000", "--repeats", "1", "--json", str(path)]) == 0
    said = json.loads(path.read_text())["after"]
    assert all(seconds > 0.0 for model in said.values() for seconds in model["seconds"].values())
    assert set(said["slope"]["seconds"]) == {"fit", *after.QUESTIONS}
    assert capsys.readouterr().out.count("\n| `") == len(after.QUESTIONS)


def test_a_model_that_is_not_known_is_refused(capsys):
    with pytest.raises(SystemExit):
        after.main(["sleep"])
    assert "no model sleep; there are insteval, slope, nested, crossed" in capsys.readouterr().err


def test_models_of_many_parameters_agree_with_a_search_by_values_alone(capsys):
    assert many_parameters.main(["visits", "strata", "slopes", "--quick"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["visits", "strata", "slopes"]
    assert all("by values alone" in line for line in said)


def test_generalised_models_are_compared_before_they_are_timed(tmp_path, capsys):
    path = tmp_path / "numbers.json"
    asked = ["cbpp", "poisson 1e5", "crossed 1e5", "--share", "0.01", "--repeats", "1", "--peers", "--json", str(path)]
    assert glmm.main(asked) == 0
    said = json.loads(path.read_text())["models"]
    assert said["cbpp"]["mme"]["criterion"] == pytest.approx(184.0525637, abs=1e-6)
    assert all(model["mme"]["cpu"] > 0.0 and model["mme"]["verdict"].startswith("minimum") for model in said.values())
    assert capsys.readouterr().out.count("CPU s") == 3
    with pytest.raises(SystemExit):
        glmm.main(["sleep"])
    assert "no sleep; there are cbpp, contraception" in capsys.readouterr().err


def test_a_peer_below_mme_is_a_failure_but_for_another_criterion():
    mine = {"criterion": 100.0, "cpu": 1.0}
    for points, criterion, below in ((1, 99.999, True), (1, 100.0 - 1e-9, False), (1, 101.0, False), (0, 90.0, False)):
        theirs = {"criterion": criterion, "cpu": 3.0}
        glmm.compare(mine, theirs, points)
        assert (theirs.get("below", False), theirs["ratio"]) == (below, 3.0)


def test_both_engines_of_crossed_factors_are_timed_once_they_agree(capsys):
    assert scale.main(["--rows", "3000", "--users", "300", "--items", "250"]) == 0
    text = capsys.readouterr().out
    assert "theta agrees within" in text
    assert "exact" in text
    assert "iterative" in text


@pytest.mark.slow
def test_the_benchmark_of_chunks_agrees_with_memory():
    assert streaming.main(["--rows", "20000", "--groups", "300"]) == 0


def test_many_fixed_effects_are_timed_once_they_agree(capsys):
    assert many_fixed.main(["--rows", "4000", "--fixed", "200", "--random", "500", "--no-peer"]) == 0
    assert "times that of a sparse one; agrees" in capsys.readouterr().out
