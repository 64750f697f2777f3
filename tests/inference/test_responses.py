"""One model for many responses: the numbers are those of a fit of each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.responses.moderated import moderated


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(3)
    donor = np.repeat(np.arange(10), 4)
    data = pd.DataFrame(
        {"group": np.repeat(["a", "b"], 20), "donor": donor, "age": 30 + donor * 3, "x": rng.normal(size=40)}
    )
    Y = 50 + rng.normal(size=(10, 80))[donor] * rng.gamma(2.0, 0.5, 80) + rng.normal(size=(40, 80))
    return data, pd.DataFrame(Y, columns=[f"gene{i}" for i in range(80)])


def _alone(formula, data, y, ddf="satterthwaite"):
    fit = mme.lmer("y " + formula, data.assign(y=y))
    return fit, fit.coefficients(ddf=ddf)


def _same(many, i, fit, table, rel=2e-4):
    np.testing.assert_allclose(many.estimate.iloc[i], table["estimate"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(many.se.iloc[i], table["se"], rtol=1e-4)
    np.testing.assert_allclose(many.df.iloc[i], table["df"], rtol=rel)
    assert many.fits["criterion"].iloc[i] == pytest.approx(fit.criterion, abs=1e-6)


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "none"])
def test_rows_are_those_of_each_fit(study, ddf):
    data, Y = study
    many = mme.lmer_many("~ group + x + (1 | donor)", data, Y, ddf=ddf)
    assert many.names == tuple(Y.columns)
    for i in (0, 17, 79):
        fit, table = _alone("~ group + x + (1 | donor)", data, Y.iloc[:, i].to_numpy(), ddf)
        if many.fits["singular"].iloc[i]:
            assert fit.optimum.boundary
        _same(many, i, fit, table)
        p = many.p.iloc[i].to_numpy()
        np.testing.assert_allclose(p, table["p"], rtol=2e-3, atol=1e-12)


def test_missing_values_leave_out_the_records_of_their_response_alone(study):
    data, Y = study
    Y = Y.copy()
    Y.iloc[3, 5] = np.nan
    Y.iloc[:20, 6] = np.nan  # no group a
    Y.iloc[1:, 7] = np.nan  # one record
    many = mme.lmer_many("~ group + (1 | donor)", data, Y)
    full = mme.lmer_many("~ group + (1 | donor)", data, Y.drop(columns=["gene5", "gene6", "gene7"]))
    pd.testing.assert_frame_equal(many.estimate.drop(["gene5", "gene6", "gene7"]), full.estimate)
    fit, table = _alone("~ group + (1 | donor)", data, Y["gene5"].to_numpy())
    _same(many, 5, fit, table)
    assert many.fits["nobs"].iloc[5] == 39
    assert np.isnan(many.se.loc["gene6", "groupb"])
    assert "gene7" in many.failures
    assert many.estimate.loc["gene7"].isna().all()


@pytest.mark.parametrize("constant", [0.0, 1.0, 1.0 / 3.0, 1e5 / 7.0, 1e-9 / 3.0])
def test_constant_response_is_a_named_failure(study, constant):
    data, Y = study
    many = mme.lmer_many("~ group + (1 | donor)", data, Y.iloc[:, :4].assign(gene2=constant))
    assert list(many.failures) == ["gene2"]
    assert "the response 'gene2' exactly" in many.failures["gene2"]
    assert many.table.loc["gene2"].drop("fits").isna().all()


def test_failures_of_responses_with_one_label_are_told_by_their_places(study):
    data, Y = study
    Y = Y.iloc[:, :4].assign(gene0=1.0, gene3=np.inf)
    Y.columns = ["a", "b", "c", "a"]
    many = mme.lmer_many("~ group + (1 | donor)", data, Y)
    assert list(many.failures) == ["a"]
    assert many.failures["a"].startswith("response 1: ")
    assert many.failures["a"].endswith("; response 4: a value is infinite")
    assert "2 failed" in repr(many)


@pytest.mark.parametrize("ways", ["array", "fortran", "sparse", "blocks", "anndata", "memmap"])
def test_every_container_of_responses_gives_the_same(study, ways, tmp_path):
    import scipy.sparse as sp

    data, Y = study
    values = Y.to_numpy()
    given = {
        "array": lambda: values,
        "fortran": lambda: np.asfortranarray(values),
        "sparse": lambda: sp.csc_array(values),
        "blocks": lambda: (values[:, i : i + 30] for i in range(0, 80, 30)),
        "anndata": lambda: type("AnnData", (), {"X": values, "var_names": Y.columns})(),
        "memmap": lambda: _mapped(values, tmp_path / "y.npy"),
    }[ways]()
    many = mme.lmer_many("~ group + (1 | donor)", data, given)
    whole = mme.lmer_many("~ group + (1 | donor)", data, Y)
    np.testing.assert_allclose(many.estimate, whole.estimate, rtol=1e-9)
    np.testing.assert_allclose(many.df, whole.df, rtol=1e-6)
    labels = Y.columns.tolist() if ways == "anndata" else list(range(80))  # blocks are counted through
    assert many.estimate.index.tolist() == labels


def test_a_response_may_be_called_X(study):
    data, Y = study
    named = Y.iloc[:, :2].set_axis(["X", "layers"], axis=1)
    many = mme.lmer_many("~ group + (1 | donor)", data, named)
    assert many.estimate.index.tolist() == ["X", "layers"]
    whole = mme.lmer_many("~ group + (1 | donor)", data, Y.iloc[:, :2])
    np.testing.assert_array_equal(many.estimate, whole.estimate)


def _mapped(values, path):
    np.save(path, values)
    return np.load(path, mmap_mode="r")


def test_contrasts_and_weights_by_value(study):
    data, Y = study
    weights = np.random.default_rng(1).uniform(0.5, 2.0, Y.shape)
    contrasts = {"b + x": {"groupb": 1.0, "x": 1.0}}
    many = mme.lmer_many("~ group + x + (1 | donor)", data, Y.iloc[:, :3], weights=weights[:, :3], contrasts=contrasts)
    fit = mme.lmer("y ~ group + x + (1 | donor)", data.assign(y=Y["gene1"]), weights=weights[:, 1])
    own = fit.contrast({"groupb": 1.0, "x": 1.0})
    assert many.estimate.loc["gene1", "b + x"] == pytest.approx(float(own["estimate"].iloc[0]), rel=1e-6)
    assert many.se.loc["gene1", "b + x"] == pytest.approx(float(own["se"].iloc[0]), rel=1e-5)


def test_adjusted_p_values_are_those_of_r():
    # p.adjust(c(.01, .02, .03, .04, .5), "BH"), "holm" (R 4.2.2)
    from mme.inference.responses.fits import adjusted

    p = np.array([0.01, 0.02, 0.03, 0.04, 0.5, np.nan])
    np.testing.assert_allclose(adjusted(p, "fdr")[:5], [0.05, 0.05, 0.05, 0.05, 0.5])
    np.testing.assert_allclose(adjusted(p, "holm")[:5], [0.05, 0.08, 0.09, 0.09, 0.5])
    assert np.isnan(adjusted(p, "bonferroni")[5])
    large = np.array([0.4, 0.5, 0.9])
    np.testing.assert_allclose(adjusted(large, "holm"), [1.0, 1.0, 1.0])
    np.testing.assert_allclose(adjusted(large, "fdr"), [0.75, 0.75, 0.9])
    np.testing.assert_allclose(adjusted(large, "bonferroni"), [1.0, 1.0, 1.0])


def test_moderated_variances_are_squeezed_between_their_own_and_the_common_one():
    rng = np.random.default_rng(2)
    variance, df = rng.chisquare(4, 40_000) / 4, np.full(40_000, 4.0)
    found = moderated(variance, df)
    assert found.d > 50.0  # one variance for all
    assert found.v0 == pytest.approx(1.0, rel=0.02)
    low, high = np.minimum(variance, found.v0), np.maximum(variance, found.v0)
    assert ((found.variance >= low * (1 - 1e-12)) & (found.variance <= high * (1 + 1e-12))).all()


@pytest.mark.parametrize(
    ("formula", "message"),
    [("y ~ x + (1 | donor)", "right side"), ("~ x + (1 | nobody)", "nobody")],
)
def test_wrong_formulas_say_what_is_needed(study, formula, message):
    data, Y = study
    with pytest.raises(mme.MMEError, match=message):
        mme.lmer_many(formula, data, Y)


def test_responses_with_other_rows_are_refused(study):
    data, Y = study
    with pytest.raises(mme.MMEError, match="a row for each of the 40 rows"):
        mme.lmer_many("~ x + (1 | donor)", data, Y.T)


def test_masked_infinite_and_exact_responses_are_what_they_are(study):
    data, Y = study
    values = Y.to_numpy().copy()
    whole = mme.lmer_many("~ group + (1 | donor)", data, np.where(values > 52.0, np.nan, values))
    masked = mme.lmer_many("~ group + (1 | donor)", data, np.ma.masked_greater(values, 52.0))
    pd.testing.assert_frame_equal(masked.table, whole.table)
    values[0, 1], values[:, 2] = np.inf, np.arange(10.0)[data["donor"]]
    odd = mme.lmer_many("~ group + (1 | donor)", data, values)
    assert set(odd.failures) == {1, 2}
    assert odd.failures[1] == "a value is infinite"
    assert "exactly" in odd.failures[2]  # as mme.lmer says of it
    assert odd.estimate.iloc[[1, 2]].isna().all(axis=None)
    fit = mme.lmer("y ~ group + (1 | donor)", data.assign(y=Y.iloc[:, 0].to_numpy()))
    with pytest.raises(mme.MMEError, match="response 2: the random effects"):
        fit.refit(np.column_stack([Y.iloc[:, :2], values[:, 2], Y]))


def test_mappings_and_lists_of_rows_are_matrices(study):
    data, Y = study
    whole = mme.lmer_many("~ group + (1 | donor)", data, Y.iloc[:, :3])
    given = mme.lmer_many("~ group + (1 | donor)", data, {name: Y[name].to_numpy() for name in Y.columns[:3]})
    pd.testing.assert_frame_equal(given.estimate, whole.estimate)
    rows = mme.lmer_many("~ group + (1 | donor)", data, Y.iloc[:, :3].to_numpy().tolist())
    np.testing.assert_allclose(rows.estimate, whole.estimate, rtol=1e-12)
    named = mme.lmer_many("~ group + (1 | donor)", data.join(Y), list(Y.columns[:3]))
    pd.testing.assert_frame_equal(named.table, whole.table)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (np.full((40, 2), "x"), {}, "numeric, got text"),
        ("genes", {}, "must be a matrix"),
        (["age", "gene1"], {}, r"no column 'gene1' in the data \(group, donor, age, x\)"),
        (pd.DataFrame({"a": np.ones(40), "b": "x"}), {}, "response 'b' must be numeric"),
        ({"a": np.ones(3)}, {}, "response 'a' must have 40 values"),
        (np.random.default_rng(1).normal(size=(40, 3)), {"weights": np.ones((40, 2))}, "weights have 2 columns"),
        (
            np.random.default_rng(1).normal(size=(40, 3)),
            {"contrasts": {"c": {"groupb": "a"}}},
            "numbers by fixed effect",
        ),
    ],
)
def test_what_are_no_responses_is_said(study, given, options, message):
    with pytest.raises(mme.MMEError, match=message):
        mme.lmer_many("~ group + (1 | donor)", study[0], given, **options)


def test_an_interruption_keeps_the_responses_that_are_done(study):
    data, Y = study

    def stop(done, _):
        raise KeyboardInterrupt

    blocks = (Y.iloc[:, first : first + 20] for first in range(0, 80, 20))
    with pytest.warns(mme.MMEWarning, match="first 20 responses") as said:
        found = mme.lmer_many("~ group + (1 | donor)", data, blocks, progress=stop)
    assert said[0].filename == __file__
    assert found.names == tuple(Y.columns[:20])


def test_blocks_of_responses_come_one_by_one_and_none_of_an_empty_mapping(study):
    from mme.inference.responses.blocks import blocks_of
    from mme.tables.frame import Frame

    data, Y = study
    table, rows = Frame(data), Y.iloc[:, :3].to_numpy()
    ((labels, values),) = blocks_of([rows.tolist()], table, 10)
    assert labels == (0, 1, 2)
    np.testing.assert_array_equal(values, rows.T)
    assert not list(blocks_of({}, table, 10))
    pieces = list(blocks_of(rows, table, 2))
    assert [labels for labels, _ in pieces] == [(0, 1), (2,)]
    np.testing.assert_array_equal(np.concatenate([values for _, values in pieces]), rows.T)


def test_a_contrast_may_weigh_every_fixed_effect(study):
    data, Y = study
    every = {"b at two": {"(Intercept)": 1.0, "groupb": 1.0, "x": 2.0}}
    many = mme.lmer_many("~ group + x + (1 | donor)", data, Y.iloc[:, :2], contrasts=every)
    expected = many.estimate[["(Intercept)", "groupb", "x"]].to_numpy() @ [1.0, 1.0, 2.0]
    np.testing.assert_allclose(many.estimate["b at two"], expected, rtol=1e-12)


def test_an_interruption_before_any_response_is_one(study):
    def blocks():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        mme.lmer_many("~ group + (1 | donor)", study[0], blocks())
