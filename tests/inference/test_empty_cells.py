"""Tests of terms where cells are empty or columns of X depend on others: lmerTest's, whatever the scales."""

import gzip
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fits import at

import mme
from mme.inference.fixed.reference import independent

REFERENCE = Path(__file__).parents[1] / "reference" / "contrasts" / "empty_cells.json.gz"
STORED = json.loads(gzip.decompress(REFERENCE.read_bytes()))
FAMILIES = list(dict.fromkeys(stored["formula"] for stored in STORED))


def columns(stored: dict) -> dict[str, np.ndarray]:
    found = {name: np.array(values) for name, values in stored["data"].items()}
    return found | {"x2": 2 * found["x"], "zero": np.zeros(found["x"].size)}


def fitted(stored: dict) -> mme.Fit:
    """The model of a stored table, at lme4's theta."""
    formula = stored["formula"]
    for name, contrast in (stored["coded"] or {}).items():
        formula = re.sub(rf"\b{name}\b", f"C({name}, {contrast})", formula)
    fit = mme.lmer(f"{formula} + (1 | g)", columns(stored))
    return at(fit, [stored["theta"]])


def quiet(fit: mme.Fit, **options: object) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return fit.anova(**options)


@pytest.fixture(scope="module")
def two_by_three() -> pd.DataFrame:
    """Four blocks of A (p, q) by B (s, t, u) without the cell q, t."""
    rows = [(g, A, B) for g in range(4) for A in "pq" for B in "stu" if (A, B) != ("q", "t")]
    y = [5.1, 6.3, 4.2, 7.7, 3.9, 6.0, 5.5, 4.9, 8.1, 4.4, 4.7, 6.8, 5.3, 7.0, 3.1, 5.9, 6.1, 4.0, 8.8, 4.6]
    return pd.DataFrame(rows, columns=["g", "A", "B"]).assign(y=y)


@pytest.mark.parametrize("family", FAMILIES)
def test_tests_of_all_types_are_those_of_lmertest_where_cells_are_empty(family):
    for stored in (one for one in STORED if one["formula"] == family):
        fit = fitted(stored)
        for expected in stored["tables"]:
            table = quiet(fit, type=expected["type"])
            table.index = [re.sub(r"C\((\w+), [\w.]+\)", r"\1", name) for name in table.index]
            assert sorted(table.index) == sorted(expected["terms"]), (stored["design"], expected["type"])
            table = table.loc[expected["terms"]]
            assert table["num_df"].tolist() == expected["num_df"]
            np.testing.assert_allclose(table["F"], expected["F"], rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(table["den_df"], expected["den_df"], rtol=3e-5)


def test_a_term_is_tested_by_its_own_columns_where_a_cell_is_empty(two_by_three):
    table = quiet(mme.lmer("y ~ A * B + (1 | g)", two_by_three))
    assert table["num_df"].tolist() == [1, 2, 1]
    np.testing.assert_allclose(table["F"], [8.512, 31.391, 22.895], atol=5e-4)


def test_the_interaction_has_one_test_whatever_the_type_and_the_coding(two_by_three):
    models = ["A * B", "C(A, contr.sum) * C(B, contr.helmert)", "C(A, contr.SAS) * C(B, contr.poly)"]
    fits = [mme.lmer(f"y ~ {model} + (1 | g)", two_by_three, theta=[0.5]) for model in models]
    F = [quiet(fit, type=kind)["F"].iloc[-1] for fit in fits for kind in (1, 2, 3)]
    np.testing.assert_allclose(F, F[0], rtol=1e-9)
    for kind in (2, 3):
        F = np.array([quiet(fit, type=kind)["F"] for fit in fits])
        np.testing.assert_allclose(F, np.broadcast_to(F[0], F.shape), rtol=1e-9)


def test_type_three_is_that_of_equal_weights_where_no_cell_is_empty(two_by_three):
    full = pd.concat([two_by_three, pd.DataFrame({"g": [0, 1], "A": ["q"] * 2, "B": ["t"] * 2, "y": [6.6, 5.2]})])
    fit = mme.lmer("y ~ A * B + (1 | g)", full)
    difference = fit.means("A", pairs=True)
    assert fit.anova().loc["A", "F"] == pytest.approx(difference["t"].iloc[0] ** 2, rel=1e-10)
    assert "note" not in fit.anova().attrs


def test_the_note_says_what_depends_on_the_order_of_levels(two_by_three):
    fit = mme.lmer("y ~ A * B + (1 | g)", two_by_three)
    with pytest.warns(mme.MMEWarning, match=r"No records in Aq:Bt: what type 3 tests of A, B compare .* order of the"):
        table = fit.anova()
    assert "order of the levels" in table.attrs["note"]
    assert not quiet(fit, type=2).attrs
    assert not quiet(fit, type=1).attrs


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_a_dropped_term_has_no_row_and_the_note_names_it(two_by_three, kind):
    data = two_by_three.assign(zero=0, x=np.arange(20) % 7, x2=2 * (np.arange(20) % 7))
    fit = mme.lmer("y ~ zero + x + A + x2 + zero:A + (1 | g)", data)
    with pytest.warns(mme.MMEWarning, match=r"No test of zero, x2, zero:A: earlier columns determine all"):
        table = fit.anova(type=kind)
    assert table.index.tolist() == ["x", "A"]
    without = mme.lmer("y ~ x + A + (1 | g)", data).anova(type=kind)
    np.testing.assert_allclose(table, without, rtol=1e-9)


def test_a_fit_without_anything_to_test_has_an_empty_table(two_by_three):
    table = quiet(mme.lmer("y ~ zero + (1 | g)", two_by_three.assign(zero=0.0)))
    assert table.columns.tolist() == ["sum_sq", "mean_sq", "num_df", "den_df", "F", "p"]
    assert len(table) == 0


def test_confounded_factors_are_not_tested_by_rounding():
    rows = [(g, A, B, i) for g in range(5) for A, B in (("p", "s"), ("q", "t"), ("r", "t")) for i in range(2)]
    data = pd.DataFrame(rows, columns=["g", "A", "B", "i"])
    data["y"] = np.random.default_rng(4).normal(size=len(data)) + (data["A"] == "q")
    table = quiet(mme.lmer("y ~ A * B + (1 | g)", data))
    assert set(table.index) <= {"A"}
    assert (table["num_df"] > 0).all()
    assert table["F"].notna().all()


@pytest.mark.parametrize("shift", [0.0, 2018.0])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_units_of_covariates_are_not_taken_for_dependence(two_by_three, shift, scale):
    rng = np.random.default_rng(1)
    data = two_by_three.assign(t=rng.integers(0, 6, 20).astype(float), z=rng.normal(size=20))
    moved = data.assign(t=(data["t"] + shift) * scale, z=data["z"] / scale)
    at_any_origin = {
        "t + z + A * B": ["t", "z", "A", "B", "A:B"],
        "t * A + z": ["z", "t:A"],
        "A * B + t * z": ["A", "t:z"],
    }
    for model, whatever_the_origin in at_any_origin.items():
        tables = [quiet(mme.lmer(f"y ~ {model} + (1 | g)", one, theta=[0.5])) for one in (data, moved)]
        assert tables[0]["num_df"].tolist() == tables[1]["num_df"].tolist()
        same = whatever_the_origin if shift else list(tables[0].index)
        np.testing.assert_allclose(tables[1].loc[same, "F"], tables[0].loc[same, "F"], rtol=1e-6)


def test_rows_of_any_scale_and_nearly_collinear_estimates_count_once_each():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(4, 4)) @ np.diag([1.0, 1e-5, 1e5, 1.0])
    root[:, 3] = root[:, 0] + 1e-4 * root[:, 3]  # estimates whose correlation is 1 - 1e-8
    beta = np.array([1.0, 1e-5, 2e5, 0.5])
    exact = beta @ np.linalg.solve(root, np.linalg.solve(root.T, beta)) / 4
    along = independent(np.eye(4), beta, root)
    assert along.sd.size == 4
    assert pytest.approx(exact, rel=1e-6) == along.F
    doubled = np.vstack([np.eye(4), np.eye(4)[0] + 1e6 * np.eye(4)[1]])
    again = independent(doubled, doubled @ beta, root)
    assert again.sd.size == 4
    assert pytest.approx(exact, rel=1e-6) == again.F
