"""Intervals of predictions: variances against the dense inverse of Henderson's equations."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from cases import load_data
from counting import calls, peak_bytes
from numpy.testing import assert_allclose
from scipy.linalg import block_diag
from scipy.stats import t as student

import mme
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.numeric.limits import Limits, within
from mme.solution.estimates import Estimates
from mme.solution.prediction_error import Part, error_variance


def henderson(fit: mme.Fit) -> np.ndarray:
    """sigma^2 times the inverse of Henderson's equations, dense: beta (kept columns), then the terms in order."""
    model = fit.internals.model
    X = model.X[:, fit.internals.objective.basis.kept]
    W = np.ones(model.n) if model.weights is None else model.weights
    Z = np.hstack([term.Z.toarray() for term in model.terms])
    C = np.hstack([X, Z])
    Ginv = [np.zeros((X.shape[1], X.shape[1]))]
    for term, T in zip(model.terms, model.T(fit.theta), strict=True):
        K = np.eye(term.n_levels) if term.relationship is None else np.linalg.inv(term.relationship.precision.toarray())
        Ginv.append(np.kron(np.linalg.inv(K), np.linalg.inv(T @ T.T)))
    return fit.sigma**2 * np.linalg.inv(C.T * W @ C + block_diag(*Ginv))


def combination(fit: mme.Fit, x: np.ndarray, terms: list[mme.Term | None]) -> np.ndarray:
    """[x; z] of new records: the levels of the fit by label, a term left out or a new level as zeros."""
    blocks = [x[:, fit.internals.objective.basis.kept]]
    for old, new in zip(fit.internals.model.terms, terms, strict=True):
        z = np.zeros((x.shape[0], old.n_levels, old.q))
        if new is not None:
            covariates = np.ones((x.shape[0], 1)) if new.covariates is None else new.covariates
            for i, label in enumerate(new.levels[new.codes].tolist()):
                if label in old.levels.tolist():
                    z[i, old.levels.tolist().index(label)] = covariates[i]
        blocks.append(z.reshape(x.shape[0], -1))
    return np.hstack(blocks)


def prior(fit: mme.Fit, terms: list[mme.Term | None]) -> np.ndarray:
    """What levels that are new add: z'G z."""
    out = 0.0
    for old, new, T in zip(fit.internals.model.terms, terms, fit.internals.model.T(fit.theta), strict=True):
        if new is None:
            continue
        covariates = np.ones((new.n, 1)) if new.covariates is None else new.covariates
        is_new = ~np.isin(new.levels[new.codes].astype(str), old.levels.astype(str))
        out = out + is_new * fit.sigma**2 * ((covariates @ T) ** 2).sum(axis=1)
    return np.asarray(out)


def dense_se(fit: mme.Fit, x: np.ndarray, terms: list[mme.Term | None]) -> np.ndarray:
    c = combination(fit, x, terms)
    return np.sqrt(np.einsum("ia,ab,ib->i", c, henderson(fit), c) + prior(fit, terms))


def crossed(seed: int, n: int = 120, *, weights: bool = False) -> mme.Fit:
    """Three crossed factors of different sizes, one with two correlated slopes and a second term of its own."""
    rng = np.random.default_rng(seed)
    x, w = rng.standard_normal((2, n))
    a, b, c = rng.integers(0, 15, n), rng.integers(0, 9, n), rng.integers(0, 6, n)
    X = np.column_stack([np.ones(n), x, 2.0 * x, w])  # the third column depends on the second
    effects = rng.standard_normal((15, 2)), rng.standard_normal(9), rng.standard_normal(6)
    y = 1.0 + x + effects[0][a, 0] + x * effects[0][a, 1] + effects[1][b] + effects[2][c] + rng.standard_normal(n)
    terms = [
        mme.Term(a, np.column_stack([np.ones(n), x]), name="a"),
        mme.Term(a, w[:, None], name="a"),
        mme.Term(b, name="b"),
        mme.Term(c, w[:, None], name="c"),
    ]
    theta = [1.1, 0.4, 0.8, 0.3, 0.7, 1.2]
    return mme.fit(y, X, terms, theta=theta, weights=rng.uniform(0.5, 2.0, n) if weights else None)


def new_records(fit: mme.Fit, seed: int, m: int = 40) -> tuple[np.ndarray, list[mme.Term]]:
    """Records in cells that the data need not have; some levels are new."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((m, len(fit.internals.model.x_names)))
    X[:, 2] = 2.0 * X[:, 1]  # as in the fit
    labels = {
        name: rng.integers(0, fit.internals.model.terms[t].n_levels + 2, m)
        for name, t in (("a", 0), ("b", 2), ("c", 3))
    }
    terms = [
        mme.Term(
            labels[term.group], None if term.covariates is None else rng.standard_normal((m, term.q)), name=term.group
        )
        for term in fit.internals.model.terms
    ]
    return X, terms


def engines(fit: mme.Fit) -> list[Estimates]:
    """The same estimates by every engine: each block absorbed or none, the rest dense or sparse."""
    blocks = [b for b, block in enumerate(fit.internals.objective.blocks) if block.is_block_diagonal]
    plans = [Plan(absorb, dense) for absorb in (*blocks, None) for dense in (True, False)]
    return [Estimates(Objective.of(fit.internals.model, plan=plan), fit.theta) for plan in plans]


WAYS = {
    "panels": Limits(pair_product_cost=1_000_000),
    "pairs": Limits(pair_product_cost=0),
    "loop": Limits(interpreted_products=0, compiled_product_cost=0),
}


@pytest.fixture(params=WAYS)
def in_small_pieces(request):
    """Products of P and H_2 each way; panels, right-hand sides and lots of records of a few each."""
    with within(
        replace(WAYS[request.param], panel_numbers=40, pair_numbers=25, solved_numbers=60, records_in_panel=16)
    ):
        yield


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weights", [False, True])
def test_standard_errors_are_those_of_hendersons_inverse(seed, weights):
    fit = crossed(seed, weights=weights)
    X, terms = new_records(fit, seed + 10)
    table = fit.predict((X, terms), interval="confidence", new_levels="population")
    assert_allclose(table["se"], dense_se(fit, X, terms), rtol=1e-9)
    assert_allclose(table["fit"], fit.predict((X, terms), new_levels="population"), rtol=1e-14)


def known_codes(fit: mme.Fit, terms: list[mme.Term]) -> list[np.ndarray]:
    """Codes of integer labels among the levels of the fit, -1 for new ones."""
    return [
        np.where(np.isin(new.levels, old.levels), np.searchsorted(old.levels, new.levels), -1)[new.codes]
        for new, old in zip(terms, fit.internals.model.terms, strict=True)
    ]


@pytest.mark.usefixtures("in_small_pieces")
@pytest.mark.parametrize("met", [0, 20, 40])
def test_every_engine_gives_the_same_variance(met):
    """Of pairs of levels that met in a record of the fit, of others, and of both kinds."""
    fit = crossed(5)
    X, terms = new_records(fit, 6)
    terms = [
        mme.Term(np.append(old.levels[old.codes[:met]], new.levels[new.codes[met:]]), new.covariates, name=new.name)
        for old, new in zip(fit.internals.model.terms, terms, strict=True)
    ]
    expected, known = dense_se(fit, X, terms) ** 2 - prior(fit, terms), known_codes(fit, terms)
    for estimates in engines(fit):
        parts = []
        for b, block in enumerate(estimates.objective.blocks):
            z = np.hstack(
                [np.ones((40, 1)) if terms[t].covariates is None else terms[t].covariates for t in block.terms]
            )
            z[known[block.terms[0]] < 0] = 0.0
            parts.append(Part(b, known[block.terms[0]], block.rows(z)))
        found = error_variance(estimates, X[:, fit.internals.objective.basis.kept], parts)
        assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.usefixtures("in_small_pieces")
@pytest.mark.parametrize("met", [False, True])
def test_columns_with_levels_of_their_own_have_the_variance_of_hendersons_inverse_by_every_engine(met):
    """Players at home and away, and a slope by arena: pairs of players that met in the fit, or any."""
    rng = np.random.default_rng(4)
    n, m = 50, 30
    home, away, arena, x = rng.integers(0, 9, n), rng.integers(0, 9, n), rng.integers(0, 6, n), rng.standard_normal(n)
    home[:9] = away[9:18] = np.arange(9)
    arena[:6] = np.arange(6)
    terms = [mme.Term((home, away), name="player"), mme.Term(arena, np.column_stack([np.ones(n), x]), name="arena")]
    fit = mme.fit(
        rng.standard_normal(n), np.column_stack([np.ones(n), x]), terms, theta=[0.9, 0.3, 0.6, 0.8, -0.2, 0.5]
    )
    codes = np.array([home, away, arena])[:, :m] if met else rng.integers(0, [[9], [9], [6]], (3, m))
    X, z = rng.standard_normal((m, 2)), rng.standard_normal((m, 4))
    players, arenas = np.zeros((m, 9, 2)), np.zeros((m, 6, 2))
    for i, (one, other, where) in enumerate(codes.T):
        players[i, one, 0], players[i, other, 1], arenas[i, where] = z[i, 0], z[i, 1], z[i, 2:]
    c = np.hstack([X, players.reshape(m, -1), arenas.reshape(m, -1)])
    expected = np.einsum("ia,ab,ib->i", c, henderson(fit), c)
    for estimates in engines(fit):
        players, arenas = estimates.objective.blocks
        own = [Part(0, codes[a], players.rows(z[:, :2] * np.eye(2)[a])) for a in range(2)]
        found = error_variance(estimates, X, [*own, Part(1, codes[2], arenas.rows(z[:, 2:]))])
        assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("random", [False, ["a"], "b", ["b", "c"], ["a.1"], ["a", "c"], True])
def test_any_subset_of_terms_has_its_own_variance(random):
    fit = crossed(7)
    X, terms = new_records(fit, 8)
    names = (
        []
        if random is False
        else ["a", "b", "c"]
        if random is True
        else [random]
        if isinstance(random, str)
        else random
    )
    chosen = [
        term if term.name in names or old.group in names or old.name in names else None
        for term, old in zip(terms, fit.internals.model.terms, strict=True)
    ]
    if random == ["a.1"]:
        chosen = [None, terms[1], None, None]
    table = fit.predict((X, terms), random=random, interval="confidence", new_levels="population")
    assert_allclose(table["se"], dense_se(fit, X, chosen), rtol=1e-9)


def test_the_population_has_the_variance_of_the_fixed_effects_alone():
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    new = pd.DataFrame({"Days": [0.0, 4.5, 20.0]})
    table = fit.predict(new, random=False, interval="confidence")
    x = np.column_stack([np.ones(3), new["Days"]])
    assert_allclose(table["se"], np.sqrt(np.einsum("ia,ab,ib->i", x, fit.beta_cov.to_numpy(), x)), rtol=1e-12)
    assert_allclose(table["fit"], x @ fit.beta, rtol=1e-14)


def test_a_new_level_has_the_variance_of_the_population_and_its_prior():
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    new = pd.DataFrame({"Days": [0.0, 4.5], "Subject": ["nobody", "noone"]})
    table = fit.predict(new, interval="confidence", new_levels="population")
    z = np.column_stack([np.ones(2), new["Days"]])
    V = fit.beta_cov.to_numpy() + fit.varcorr["Subject"].cov
    assert_allclose(table["se"], np.sqrt(np.einsum("ia,ab,ib->i", z, V, z)), rtol=1e-12)


def test_a_known_level_of_an_intercept_has_the_variance_of_its_pev():
    """beta_hat + b_hat - beta - b on a model without slopes: var(beta) + pev + 2 cov."""
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
    table = fit.predict(pd.DataFrame({"Batch": list("ABCDEF")}), interval="confidence")
    assert_allclose(table["se"], dense_se(fit, np.ones((6, 1)), [mme.Term(list("ABCDEF"))]), rtol=1e-10)


def test_a_prediction_interval_adds_the_residual_variance_of_its_weight():
    fit = crossed(9, weights=True)
    X, terms = new_records(fit, 10)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, 40)
    mean = fit.predict((X, terms), interval="confidence", new_levels="population")
    record = fit.predict((X, terms), interval="prediction", new_levels="population", weights=weights)
    assert_allclose(record["se"] ** 2, mean["se"] ** 2 + fit.sigma**2 / weights, rtol=1e-12)
    half = student.ppf(0.975, record["df"]) * record["se"]
    assert_allclose(record["lower"], record["fit"] - half)
    assert_allclose(record["upper"], record["fit"] + half)
    with pytest.raises(mme.MMEError, match="give weights= for the new rows"):
        fit.predict((X, terms), interval="prediction", new_levels="population")


def test_rows_of_the_fit_are_predicted_with_their_own_weights():
    fit = crossed(11, weights=True)
    table = fit.predict(interval="prediction")
    expected = (
        dense_se(fit, fit.internals.model.X, list(fit.internals.model.terms)) ** 2
        + fit.sigma**2 / fit.internals.model.weights
    )
    assert_allclose(table["se"] ** 2, expected, rtol=1e-9)
    assert_allclose(table["fit"], fit.fitted)


def test_a_term_of_zero_variance_adds_nothing():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff2"))
    assert fit.singular
    table = fit.predict(interval="confidence")
    assert_allclose(table["se"], float(fit.se.iloc[0]), rtol=1e-10)


def test_relatives_without_records_are_predicted_with_the_variance_of_the_equations():
    rng = np.random.default_rng(3)
    A = rng.standard_normal((8, 12))
    K = A @ A.T / 12 + 0.2 * np.eye(8)
    labels = np.array([f"l{i}" for i in range(8)])
    seen = rng.integers(0, 6, 40)  # two levels have no records
    sire = rng.integers(0, 4, 40)
    y = rng.standard_normal(6)[seen] + rng.standard_normal(40)
    related = mme.Term(labels[seen], name="animal", relationship=mme.Relationship(covariance=K, levels=labels))
    fit = mme.fit(y, np.ones((40, 1)), [related, mme.Term(sire, name="sire")], theta=[0.8, 0.5])
    new = [mme.Term(labels, name="animal"), mme.Term(np.arange(8) % 4, name="sire")]
    table = fit.predict((np.ones((8, 1)), new), interval="confidence")
    assert_allclose(table["se"], dense_se(fit, np.ones((8, 1)), new), rtol=1e-9)


def test_rows_with_missing_values_have_no_interval():
    data = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", data)
    new = data.head(4).assign(Days=[0.0, 1.0, np.nan, 3.0])
    table = fit.predict(new, interval="confidence")
    assert table.isna().all(axis=1).tolist() == [False, False, True, False]
    assert table.index.equals(new.index)
    gappy = data.copy()
    gappy.loc[3, "Reaction"] = np.nan
    aligned = mme.lmer("Reaction ~ Days + (Days | Subject)", gappy).predict(interval="confidence")
    assert aligned.isna().all(axis=1).tolist() == [i == 3 for i in range(len(data))]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("interval", [None, "confidence", "prediction"])
def test_a_missing_label_is_a_level_that_the_fit_did_not_see(missing, interval):
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    new, unseen = ({"Days": [1.0, 1.0], "Subject": np.array(["308", who], dtype=object)} for who in (missing, "new"))
    with pytest.raises(mme.MMEError, match="'Subject' has no label in 1 of 2 new rows; use new_levels='population'"):
        fit.predict(new, interval=interval)
    found, same = (fit.predict(rows, new_levels="population", interval=interval) for rows in (new, unseen))
    assert_allclose(found, same, rtol=1e-14)
    assert not np.isnan(found.to_numpy()).any()


def test_only_the_columns_of_the_chosen_terms_are_needed():
    data = load_data("Penicillin")
    fit = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    table = fit.predict(pd.DataFrame({"sample": ["A", "B"]}), random="sample", interval="confidence")
    new = [None, mme.Term(["A", "B"], name="sample")]
    assert_allclose(table["se"], dense_se(fit, np.ones((2, 1)), new), rtol=1e-9)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Over draws of the model at its own variances, both the mean and a new record."""
    rng = np.random.default_rng(12)
    J, m = 30, 4
    g = np.repeat(np.arange(J), m)
    x = rng.uniform(-1.0, 1.0, J * m)
    X, Z = np.column_stack([np.ones(J * m), x]), np.column_stack([np.ones(J * m), x])
    T = np.array([[1.0, 0.0], [0.3, 0.7]])
    inside = []
    for _ in range(200):
        b = rng.standard_normal((J, 2)) @ T.T
        truth = 2.0 + x + (Z * b[g]).sum(axis=1)
        fit = mme.fit(truth + rng.standard_normal(J * m), X, [mme.Term(g, Z)], theta=[1.0, 0.3, 0.7], sigma=1.0)
        mean, record = (fit.predict(interval=kind) for kind in ("confidence", "prediction"))
        again = truth + rng.standard_normal(J * m)
        inside.append(
            [((t["lower"] < value) & (value < t["upper"])).mean() for t, value in ((mean, truth), (record, again))]
        )
    assert_allclose(np.mean(inside, axis=0), 0.95, atol=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": "both"}, "interval must be None"),
        ({"level": 1.0, "interval": "confidence"}, "level must lie between 0 and 1"),
        ({"random": ["Days"]}, "random names 'Days', but the random terms of the fit are 'Subject'"),
        ({"new_levels": "zero"}, "new_levels must be"),
    ],
)
def test_what_cannot_be_asked_is_said(options, message):
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    with pytest.raises(mme.MMEError, match=message):
        fit.predict(**options)


def test_terms_that_share_their_levels_must_share_them_in_new_rows():
    fit = crossed(13)
    X, terms = new_records(fit, 14)
    terms[1] = mme.Term(np.roll(terms[0].levels[terms[0].codes], 1), terms[1].covariates, name="a")
    with pytest.raises(mme.MMEError, match=r"terms 'a' and 'a.1' share their levels in the fit"):
        fit.predict((X, terms), interval="confidence", new_levels="population")


def test_intervals_of_many_rows_take_no_loop_over_rows_and_the_memory_of_a_few_columns():
    def fitted(n, J):
        rng = np.random.default_rng(0)
        g, x = rng.integers(0, J, n), rng.standard_normal(n)
        Z = np.column_stack([np.ones(n), x])
        y = x + (Z * rng.standard_normal((J, 2))[g]).sum(axis=1) + rng.standard_normal(n)
        return mme.fit(y, Z, [mme.Term(g, Z)], theta=[1.0, 0.0, 1.0]), (Z, [mme.Term(g, Z)])

    def intervals(n, J):
        fit, rows = fitted(n, J)
        table = fit.predict(rows, interval="prediction")
        assert (table["se"] > fit.sigma).all()
        return lambda: fit.predict(rows, interval="prediction")

    assert calls(intervals(16_000, 400)) == calls(intervals(2_000, 50))
    # Sixteen columns of numbers: those of X and Z, the limits, and what stands between.
    assert peak_bytes(intervals(200_000, 5_000)) < 16 * 8 * 200_000


def test_weights_of_new_rows_may_be_a_column_of_theirs():
    data = load_data("sim_weights")
    fit = mme.lmer("y ~ x + (1 | grp)", data, weights="w")
    table = fit.predict(data, interval="prediction", weights="w")
    assert_allclose(table, fit.predict(interval="prediction"), rtol=1e-10)
    with pytest.raises(mme.MMEError, match=r"weights must be \d+ positive numbers"):
        fit.predict(data, interval="prediction", weights=-data["w"])


def plots(seed=3):
    rng = np.random.default_rng(seed)
    trial, row, col = np.unravel_index(np.arange(90), (3, 5, 6))
    data = {"trial": np.array(list("abc"))[trial], "row": row, "col": col, "gen": rng.integers(0, 9, 90).astype(str)}
    return {**data, "y": rng.normal(size=90) * (1.0 + trial)}


@pytest.mark.parametrize(
    "residual",
    [
        mme.Heterogeneous("trial"),
        [mme.AR1("row", "trial/col"), mme.Heterogeneous("trial")],
        (mme.AR1("row") * mme.AR1("col")).by("trial"),
    ],
)
def test_new_records_have_the_variance_of_their_own_stratum(residual):
    fit = mme.lmer("y ~ trial + (1 | gen)", plots(), residual=residual)
    new = {"trial": ["c", "a", "c", "b"], "gen": ["3", "3", "3", "1"], "row": [1, 1, 1, 9], "col": [2, 2, 2, 2]}
    mean, record = (fit.predict(new, interval=one)["se"] ** 2 for one in ("confidence", "prediction"))
    ratio = {"a": 1.0} | {name[3]: value for name, value in fit.residual.items() if name.startswith("sd.")}
    assert_allclose(record - mean, [(fit.sigma * ratio[one]) ** 2 for one in new["trial"]], rtol=1e-10)
    draws = fit.predict(new, interval="prediction", draws=400, seed=1)
    assert np.std(np.asarray(draws)[0]) > 1.5 * np.std(np.asarray(draws)[1])


def test_levels_of_by_are_the_groups_of_a_structure_that_names_none():
    one = mme.lmer("y ~ trial", plots(), residual=(mme.AR1("row") * mme.AR1("col")).by("trial"))
    other = mme.lmer("y ~ trial", plots(), residual=(mme.AR1("row", "trial") * mme.AR1("col", "trial")).by("trial"))
    assert one.criterion == pytest.approx(other.criterion, abs=1e-9)
