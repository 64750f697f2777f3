"""Tests of terms by their definitions: least squares, and hypotheses on the parameters of all levels."""

import re
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import f as f_distribution

import mme
from mme.inference.fixed.treatment import treatment, triangle_of
from mme.residual import AR1

LEVELS = {"A": "pqr", "B": "stuv"}


def table(*, full: bool = True) -> pd.DataFrame:
    """Unequal numbers of records in the cells of A and B, beside covariates; not ``full``: none in the cell r, u."""
    rng = np.random.default_rng(8)
    cells = [(a, b) for a in LEVELS["A"] for b in LEVELS["B"] if full or (a, b) != ("r", "u")]
    rows = [cell for k, cell in enumerate(cells) for _ in range(2 + k % 3)]
    data = pd.DataFrame(rows, columns=["A", "B"])
    n = len(data)
    return data.assign(x=rng.normal(size=n), z=rng.normal(size=n) + (data["A"] == "q"), y=rng.normal(size=n))


def indicator(data: pd.DataFrame, name: str) -> np.ndarray:
    """A column of the overparametrised model by its name: a product of indicators of levels and of covariates."""
    out = np.ones(len(data))
    for part in [] if name == "(Intercept)" else name.split(":"):
        factor = re.fullmatch("([AB])([pqrstuv])", part)
        out = out * (np.asarray(data[factor[1]] == factor[2], dtype=float) if factor else np.asarray(data[part]))
    return out


def lost(X: np.ndarray, y: np.ndarray) -> float:
    """The residual sum of squares."""
    return float(np.sum((y - X @ np.linalg.lstsq(X, y, rcond=None)[0]) ** 2))


def by_sums(data: pd.DataFrame) -> dict[str, np.ndarray]:
    """Columns of the terms x, A, B, x:A, A:B in contrasts that sum to zero."""
    of = {name: np.array([np.eye(len(LEVELS[name]))[LEVELS[name].index(v)] for v in data[name]]) for name in "AB"}
    of = {name: one[:, :-1] - one[:, [-1]] for name, one in of.items()}
    x = data["x"].to_numpy()[:, None]
    cells = np.einsum("ni,nj->nij", of["A"], of["B"]).reshape(len(data), -1)
    return {"x": x, "A": of["A"], "B": of["B"], "x:A": x * of["A"], "A:B": cells}


# The terms that contain each: more factors, on the same covariates.
CONTAINING = {"x": {"x:A"}, "A": {"A:B"}, "B": {"A:B"}, "x:A": set(), "A:B": set()}


@pytest.mark.parametrize("kind", [1, 2, 3])
@pytest.mark.parametrize("contrasts", [None, {"A": "sum", "B": "helmert"}])
def test_a_term_takes_the_squares_that_least_squares_loses_without_it(kind, contrasts):
    data = table()
    columns, y = by_sums(data), data["y"].to_numpy()
    terms = list(columns)
    found = mme.lmer("y ~ x + A + B + x:A + A:B", data, contrasts=contrasts).anova(type=kind)
    assert found.index.tolist() == terms
    whole = np.column_stack([np.ones(len(data)), *columns.values()])
    rest = len(data) - whole.shape[1]
    for j, term in enumerate(terms):
        beside = {1: terms[:j], 2: [t for t in terms if t not in CONTAINING[term] | {term}]}.get(
            kind, [t for t in terms if t != term]
        )
        X = np.column_stack([np.ones(len(data)), *(columns[t] for t in beside)])
        squares = lost(X, y) - lost(np.column_stack([X, columns[term]]), y)
        q = columns[term].shape[1]
        F = squares / q / (lost(whole, y) / rest)
        expected = [squares, squares / q, q, rest, F, f_distribution.sf(F, q, rest)]
        np.testing.assert_allclose(found.loc[term].astype(float), expected, rtol=1e-9)


@pytest.mark.parametrize("constant", [1.0, -2.0, 0.0])
@pytest.mark.parametrize("sparse_first", [False, True])
def test_the_triangle_of_sparse_columns_is_that_of_dense_ones(constant, sparse_first):
    rng = np.random.default_rng(4)
    levels = np.eye(40)[np.arange(120) % 40][:, [0, 5, 7]]  # sparse ones
    behind = constant and not sparse_first  # without a constant nothing says what to take away
    far = (1e6 if behind else 1e2) + rng.normal(size=(120, 2))
    columns = [np.full((120, 1), constant), levels, far] if constant else [levels, far]
    X = np.hstack(columns[1:] if sparse_first and constant else columns)
    kept = np.delete(np.arange(X.shape[1] + 1), 1)
    wide = sp.csc_array(np.insert(X, 1, 0.0, axis=1))
    record = SimpleNamespace(
        model=SimpleNamespace(compressed=None, is_wide=True, X=wide), basis=SimpleNamespace(kept=kept)
    )
    found, expected = triangle_of(record), np.linalg.qr(X, mode="r")
    found, expected = (R * np.sign(np.diag(R))[:, None] for R in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("beside", ["nothing", "weights", "residual"])
def test_the_triangle_is_that_of_X_neither_weighted_nor_whitened(beside):
    data = table().assign(w=lambda one: 1.0 + np.arange(len(one)) % 3, t=lambda one: np.arange(len(one)))
    given = {"weights": {"weights": "w"}, "residual": {"residual": AR1("t")}}.get(beside, {})
    fit = mme.lmer("y ~ A * B + x", data, **given).internals
    R, X = triangle_of(fit), fit.model.X
    np.testing.assert_allclose(R.T @ R, X.T @ X, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(np.tril(R, -1), 0.0)


MODELS = {
    "full": ("A * B + x", True, None),
    "an empty cell": ("A * B + x", False, None),
    "sums": ("A * B + x:A", False, {"A": "sum", "B": "helmert"}),
    "far": ("A * B + z + z:A", False, {"A": "sum"}),
    "no main effect": ("A + A:B", False, None),
    "no constant": ("0 + A:B + x", False, {"B": "sum"}),
    "a small weight": ("A * B", False, {"A": [[0.0, 0.0], [1.0, 0.0], [1e-7, 1.0]]}),
    "small units": ("A * B + t:A", False, {"A": "sum"}),
    "small contrasts": ("A * B + z + z:A", False, {"A": [[-1e-10, -1e-10], [1e-10, 0.0], [0.0, 1e-10]]}),
    "dependent columns": ("w + zero + A * B + x", False, {"A": "sum"}),
}


def model(name: str) -> tuple[mme.Fit, pd.DataFrame]:
    """A fit by least squares of one of these, and its records."""
    terms, full, contrasts = MODELS[name]
    data = table(full=full)
    data = data.assign(w=1.0 * (data["A"] == "p"), t=1e-9 * data["x"], zero=0.0)
    if name == "far":
        data = data.assign(z=data["z"] + 1e4)
    if name == "small contrasts":
        data = data.assign(z=data["z"] * 1e4)
    return mme.lmer(f"y ~ {terms}", data, contrasts=contrasts), data


@pytest.mark.parametrize("name", list(MODELS))
def test_the_treatment_model_is_the_fit_in_other_coordinates(name):
    fit, data = model(name)
    found, record = treatment(fit.internals), fit.internals
    whole = np.column_stack([indicator(data, one) for one in found.names])
    kept = whole[:, found.places]
    at = 1e-8 * np.abs(whole).max(axis=0)
    np.testing.assert_allclose((kept @ found.functions - whole)[:, at > 0.0] / at[at > 0.0], 0.0, atol=1.0)
    X = record.model.X[:, record.basis.kept]
    np.testing.assert_allclose((kept @ found.to_user - X) / np.abs(X).max(axis=0), 0.0, atol=1e-8)
    assert len(set(zip(found.owners, found.names, strict=True))) == len(found.names)
    no_record = ~whole.any(axis=0) & np.array([":" in owner for owner in found.owners])
    np.testing.assert_array_equal(found.empty, no_record)
    assert found.empty.any() == ("full" not in name)
    large = np.abs(found.functions) > 1e-8  # what is not there is zero to the last bit
    np.testing.assert_array_equal(found.functions != 0.0, large)


def type_three(term: str, functions: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Functions of the parameters of all levels: the term's own, less what they share with terms that contain it."""
    variables = [set(owner.split(":")) for owner in owners]
    containing = [one > set(term.split(":")) and ("x" in one) == ("x" in term) for one in variables]
    own, larger = functions[owners == term], functions[np.array(containing)]
    shared = np.linalg.svd(larger)[2][: np.linalg.matrix_rank(larger)]
    return np.asarray(own - own @ shared.T @ shared)


def F_of(rows: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[float, int]:
    """F and its numerator of functions of coefficients that the records determine."""
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    rows = directions[sizes > 1e-9]
    b, rank = np.linalg.pinv(X) @ y, np.linalg.matrix_rank(X)
    d, C = rows @ b, rows @ np.linalg.pinv(X.T @ X) @ rows.T
    return float(d @ np.linalg.solve(C, d) / (lost(X, y) / (len(y) - rank) * len(rows))), len(rows)


def quiet(fit: mme.Fit) -> pd.DataFrame:
    """Tests of type III, whatever they say of empty cells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return fit.anova(type=3)


@pytest.mark.parametrize(
    "name", ["full", "an empty cell", "sums", "no main effect", "no constant", "dependent columns"]
)
def test_type_three_is_of_functions_apart_from_those_of_larger_terms(name):
    fit, data = model(name)
    found, tests = treatment(fit.internals), quiet(fit)
    whole = np.column_stack([indicator(data, one) for one in found.names])
    functions = np.linalg.pinv(whole[:, found.places]) @ whole
    for term in tests.index:
        F, q = F_of(type_three(term, functions, found.owners[found.places]), whole, data["y"].to_numpy())
        assert tests.loc[term, "num_df"] == q, term
        assert tests.loc[term, "F"] == pytest.approx(F, rel=1e-8), term


def of_a_line(data: pd.DataFrame) -> np.ndarray:
    """Columns of A * B with A on a line."""
    line = np.array([{"p": -1.0, "q": 0.5, "r": 2.0}[a] for a in data["A"]])[:, None]
    B = np.array([[b == level for level in "tuv"] for b in data["B"]], dtype=float)
    return np.hstack([np.ones((len(data), 1)), line, B, line * B])


@pytest.mark.parametrize("unit", [1e-7, 1.0, 1e7])
def test_hypotheses_of_fewer_contrasts_than_levels_are_the_estimable_part_of_those_of_all_levels(unit):
    data = table().query("B != 'u' or A == 'r'")
    X, y = of_a_line(data), data["y"].to_numpy()
    fit = mme.lmer("y ~ A * B", data, contrasts={"A": [-unit, 0.5 * unit, 2.0 * unit]})
    assert len(fit.dropped) == 1
    found, tests, grid = treatment(fit.internals), quiet(fit), table()
    assert tests.attrs["note"].startswith("No test of A: the data do not tell it")
    assert tests.index.tolist() == ["B", "A:B"]
    whole = np.column_stack([indicator(grid, one) for one in found.names])
    inverse = np.linalg.pinv(whole[:, found.places])
    for term in tests.index:
        rows = type_three(term, inverse @ whole, found.owners[found.places])
        rows = rows[:, found.places] @ inverse @ of_a_line(grid)
        outside = rows @ (np.eye(8) - np.linalg.pinv(X) @ X)
        weights = np.linalg.svd(outside)[0][:, np.linalg.matrix_rank(outside, 1e-9) :]
        F, q = F_of(weights.T @ rows, X, y)
        assert tests.loc[term, "num_df"] == q, term
        assert tests.loc[term, "F"] == pytest.approx(F, rel=1e-8), term


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_slopes_of_fewer_contrasts_than_levels_are_tested_alike_in_any_unit(unit):
    data = table().query("B != 'u' or A == 'r'")
    both = (data, data.assign(x=unit * data["x"]))
    fits = [mme.lm("y ~ x + x:A + x:B + x:A:B", one, contrasts={"A": [-1.0, 0.5, 2.0]}) for one in both]
    assert [len(fit.dropped) for fit in fits] == [1, 1]
    found, expected = (quiet(fit)[["num_df", "F"]].to_numpy(dtype=float) for fit in reversed(fits))
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_a_factor_of_one_level_is_tested_as_if_it_were_not_there():
    data = table().assign(one="o")
    found, expected = (mme.lm(f"y ~ {terms}", data).anova(type=3) for terms in ("one:A + B + x:A", "A + B + x:A"))
    np.testing.assert_allclose(found.loc["B", "F"], expected.loc["B", "F"], rtol=1e-9)


def test_a_basis_of_many_columns_is_tested_beside_its_products_with_a_factor():
    rng = np.random.default_rng(3)
    data = pd.concat([table()] * 2, ignore_index=True).assign(x=lambda one: rng.normal(size=len(one)))
    data, q = data.assign(y=rng.normal(size=len(data))), 7
    powers = np.vander(data["x"], q + 1, increasing=True)[:, 1:]
    own, A = np.linalg.qr(powers - powers.mean(axis=0))[0], by_sums(data)["A"]
    beside = np.column_stack([np.ones(len(data)), A, *(A[:, [j]] * own for j in range(2))])
    whole, y = np.column_stack([beside, own]), data["y"].to_numpy()
    F = (lost(beside, y) - lost(whole, y)) / q / (lost(whole, y) / (len(y) - whole.shape[1]))
    found = mme.lm(f"y ~ poly(x, {q}) * A", data).anova(type=3).iloc[0]
    assert found["num_df"] == q
    assert found["F"] == pytest.approx(F, rel=1e-8)


def test_a_contrast_of_nothing_is_as_if_it_were_not_there():
    without, beside = [[1.0], [0.5], [-1.0]], [[0.0, 1.0], [0.0, 0.5], [0.0, -1.0]]
    tests = [quiet(mme.lmer("y ~ A * B + x", table(), contrasts={"A": one})) for one in (without, beside)]
    np.testing.assert_allclose(tests[1][["num_df", "F"]].astype(float), tests[0][["num_df", "F"]].astype(float))


def test_of_two_columns_without_a_constant_type_three_tests_each_beside_the_other():
    fit = mme.lmer("y ~ 0 + x + z", table())
    expected = fit.coefficients()["t"].to_numpy() ** 2
    np.testing.assert_allclose(fit.anova(type=3)["F"], expected, rtol=1e-10)
    np.testing.assert_allclose(fit.anova(type=2)["F"], expected, rtol=1e-10)
    assert abs(fit.anova(type=1)["F"].iloc[0] / expected[0] - 1.0) > 1e-3


def test_mean_squares_by_kenward_and_roger_are_those_before_their_scale():
    data = table()
    data = data.assign(g=np.arange(len(data)) % 7, y=data["y"] + 0.8 * np.sin(np.arange(len(data)) % 7))
    fit = mme.lmer("y ~ A * B + x + (1 | g)", data, contrasts={"A": "sum", "B": "sum"})
    found, b, cov = fit.anova(ddf="kenward-roger"), fit.beta.to_numpy(), fit.kenward_roger.cov
    for term in found.index:
        own = np.array([re.sub("[0-9]", "", name) == term for name in fit.fixed_names])
        q = own.sum()
        mean_square = fit.sigma**2 * b[own] @ np.linalg.solve(cov[np.ix_(own, own)], b[own]) / q
        assert found.loc[term, "mean_sq"] == pytest.approx(mean_square, rel=1e-8), term
        assert found.loc[term, "sum_sq"] == pytest.approx(q * mean_square, rel=1e-8), term
    scaled = found["F"] * fit.sigma**2 / found["mean_sq"]
    assert scaled["x"] == pytest.approx(1.0, rel=1e-12)
    assert (np.abs(scaled[["B", "A:B"]] - 1.0) > 1e-4).all()


def test_of_arrays_type_three_tests_each_column_beside_the_others():
    data = table()
    fit = mme.fit(data["y"], np.column_stack([np.ones(len(data)), data[["x", "z"]]]), [])
    own = fit.coefficients()
    found = fit.anova(type=3)
    np.testing.assert_allclose(found["F"], own.loc[found.index, "t"] ** 2, rtol=1e-10)
    assert found["num_df"].tolist() == [1] * len(found)
    assert len(found) >= 2
