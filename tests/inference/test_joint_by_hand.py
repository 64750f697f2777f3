"""Joint tests of terms within levels, written as tests of the coefficients of the same model in other columns."""

import numpy as np
import pandas as pd
import pytest

import mme

RNG = np.random.default_rng(12)
N = 90
DATA = pd.DataFrame({name: RNG.choice(list(levels), N) for name, levels in (("A", "rpq"), ("B", "vu"), ("C", "st"))})
DATA["x"] = RNG.normal(size=N) + 2.0
DATA["y"] = RNG.normal(size=N) + (DATA["A"] == "p") * (DATA["B"] == "v")


def test_of_factors_and_a_line_they_are_the_tests_of_type_three():
    fit = mme.lm("y ~ A * B * C + x", DATA)
    found, expected = fit.joint_tests(), fit.anova(type=3)
    assert found.index.name == "term"
    columns = ["num_df", "den_df", "F", "p"]
    np.testing.assert_allclose(found.loc[expected.index, columns], expected[columns], rtol=1e-8)


def test_within_levels_they_are_of_the_coefficients_that_stand_within_them():
    found = mme.lm("y ~ A * B * C + x", DATA).joint_tests(by="A")
    assert found.index.names == ["A", "term"]
    assert found.index.tolist() == [(a, term) for a in "pqr" for term in ("B", "C", "x", "B:C")]
    sums = {"B": "sum", "C": "sum"}
    nested = mme.lm("y ~ 0 + A + A:B + A:C + A:B:C + x", DATA, contrasts=sums)
    own = nested.coefficients()
    for a in "pqr":
        for term in ("B", "C", "B:C"):
            names = [name for name in own.index if name.split(":")[0] == f"A{a}" and shape_of(name) == f"A:{term}"]
            assert len(names) == 1
            row = found.loc[(a, term)]
            assert row["F"] == pytest.approx(own["t"][names[0]] ** 2, rel=1e-8)
            assert (row["num_df"], row["den_df"]) == (1, N - 13)


def shape_of(name):
    return ":".join(part[0] for part in name.split(":"))


@pytest.mark.parametrize("formula", ["y ~ poly(x, 3) + A", "y ~ log(x + 9) * A", "y ~ x * A"])
def test_a_covariate_counts_by_what_a_step_of_two_about_its_mean_changes(formula):
    fit = mme.lm(formula, DATA)
    mean = DATA["x"].mean()
    grid = pd.DataFrame([(x, a) for x in (mean - 1.0, mean + 1.0) for a in "pqr"], columns=["x", "A"])
    rows = fit.internals.specification.rows({"x": grid["x"].to_numpy(), "A": grid["A"].to_numpy()}, random=False).X
    L = (rows[3:] - rows[:3]).mean(axis=0)
    found, expected = fit.joint_tests().loc["x"], fit.contrast(L)
    assert found["F"] == pytest.approx(expected["t"].iloc[0] ** 2, rel=1e-9)
    assert (found["num_df"], found["den_df"]) == (1, expected["df"].iloc[0])


@pytest.mark.parametrize("formula", ["y ~ poly(x, 3) + A", "y ~ x * A"])
def test_a_covariate_at_two_values_counts_by_their_difference_and_at_one_as_it_does_by_itself(formula):
    fit = mme.lm(formula, DATA)
    ends = [{"x": np.full(3, x), "A": np.array(list("pqr"))} for x in (1.0, 2.5)]
    first, second = (fit.internals.specification.rows(one, random=False).X for one in ends)
    expected = fit.contrast((second - first).mean(axis=0))["t"].iloc[0] ** 2
    assert fit.joint_tests(at={"x": [1.0, 2.5]}).loc["x", "F"] == pytest.approx(expected, rel=1e-9)
    alone, put = fit.joint_tests(), fit.joint_tests(at={"x": 2.5})
    assert put.loc["x", "F"] == pytest.approx(alone.loc["x", "F"], rel=1e-9)
    differences = fit.contrast(second[1:] - second[0], joint=True)
    assert put.loc["A", "F"] == pytest.approx(differences["F"].iloc[0], rel=1e-9)
