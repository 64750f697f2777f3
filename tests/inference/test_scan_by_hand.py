"""Scans of candidates where least squares, or a balanced layout, says what every number is."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

import mme
from mme.inference.scanning.forms import Forms
from mme.inference.scanning.scan import Scan, refit_with

RNG = np.random.default_rng(12)
N = 24
DATA = pd.DataFrame({"g": np.repeat(np.arange(6), 4), "z": RNG.normal(size=N), "y": RNG.normal(size=N)})
DATA["y"] += 2.0 * RNG.normal(size=6)[DATA["g"]]
X = np.column_stack([np.ones(N), DATA["z"]])
M = np.eye(N) - X @ np.linalg.solve(X.T @ X, X.T)
CANDIDATES = RNG.normal(size=(N, 5)) + 3.0


@pytest.mark.parametrize("sigma", [None, 1.7])
def test_a_candidate_beside_least_squares_has_the_t_of_its_coefficient(sigma):
    found = mme.scan(mme.lmer("y ~ z", DATA, sigma=sigma), CANDIDATES)
    for j, x in enumerate(CANDIDATES.T):
        squares, along = x @ M @ x, x @ M @ DATA["y"].to_numpy()
        b = along / squares
        left = sigma**2 if sigma else (DATA["y"] @ M @ DATA["y"] - along * b) / (N - 3)
        row = found.table.iloc[j]
        t = b / np.sqrt(left / squares)
        np.testing.assert_allclose(row[["estimate", "se", "t"]].astype(float), [b, np.sqrt(left / squares), t])
        p = 2.0 * (norm.sf(abs(t)) if sigma else t_distribution.sf(abs(t), N - 3))
        np.testing.assert_allclose(row["p"], p, rtol=1e-9)
    assert found.df == (np.inf if sigma else N - 3)


@pytest.mark.parametrize("sigma", [None, 1.7])
def test_candidates_of_two_columns_beside_least_squares_have_the_F_of_both(sigma):
    pairs = np.stack([CANDIDATES[:, :3], CANDIDATES[:, 2:]], axis=2)
    found = mme.scan(mme.lmer("y ~ z", DATA, sigma=sigma), pairs).table
    for j in range(3):
        A, y = M @ pairs[:, j], DATA["y"].to_numpy()
        rank = np.linalg.matrix_rank(A)
        explained = y @ A @ np.linalg.pinv(A.T @ A) @ A.T @ y
        left = sigma**2 if sigma else (y @ M @ y - explained) / (N - 2 - rank)
        F = explained / rank / left
        p = chi2.sf(rank * F, rank) if sigma else f_distribution.sf(F, rank, N - 2 - rank)
        expected = [F, rank, np.inf if sigma else N - 2 - rank, p]
        np.testing.assert_allclose(found.iloc[j][["F", "df", "df_error", "p"]].astype(float), expected, rtol=1e-8)


@pytest.mark.parametrize(("apart", "rank"), [(1e-3, 2), (1e-6, 1)])
def test_two_columns_are_two_where_more_than_rounding_tells_them_apart(apart, rank):
    x = RNG.normal(size=(2, N))
    pair = np.stack([x[0], x[0] + apart * x[1]], axis=1)[:, None]
    assert mme.scan(mme.lm("y ~ z", DATA), pair).table["df"].tolist() == [rank]


def test_F_needs_records_beyond_the_columns():
    few = mme.lm("y ~ z", DATA.head(4))
    two, one = CANDIDATES[:4, None, :2], CANDIDATES[:4, None, [0, 0]]
    table = mme.scan(few, np.concatenate([two, one], axis=1)).table
    assert table["df_error"].tolist() == [0.0, 1.0]
    assert table[["F", "p"]].isna().to_numpy().tolist() == [[True, True], [False, False]]
    assert table["F"].iloc[1] == pytest.approx(mme.scan(few, CANDIDATES[:4, :1]).table["t"].iloc[0] ** 2, rel=1e-8)
    with pytest.raises(mme.MMEError, match="3 records leave no degrees of freedom for a further column beside 2"):
        mme.scan(mme.lm("y ~ z", DATA.head(3)), CANDIDATES[:3])


# -- by a ratio -------------------------------------------------------------------------------------------------------


def test_of_candidates_of_groups_of_one_size_the_ratio_is_one_number_and_nothing_is_lost():
    """V^-1 x = x / (1 + m theta^2) of x that are constant in groups of m."""
    fit = mme.lmer("y ~ 1 + (1 | g)", DATA)
    x = 5.0 * np.random.default_rng(1).normal(size=(6, 7))[DATA["g"]] + 40.0
    exact, rough = mme.scan(fit, x), mme.scan(fit, x, ratio=True)
    assert rough.ratio == pytest.approx(1.0 / (1.0 + 4.0 * fit.theta[0] ** 2), rel=1e-9)
    assert rough.ratio_sd == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(rough.table[["estimate", "se", "t", "p"]], exact.table[["estimate", "se", "t", "p"]])
    assert exact.ratio is None


@pytest.mark.parametrize("m", [1, 5])
def test_the_ratio_is_the_mean_over_all_where_they_are_few(m):
    fit = mme.lmer("y ~ z + (1 | g)", DATA)
    V = np.eye(N) + fit.theta[0] ** 2 * np.equal.outer(DATA["g"].to_numpy(), DATA["g"].to_numpy())
    W = np.linalg.inv(V)
    P = W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)
    ratios = [(x @ P @ x) / (x @ M @ x) for x in CANDIDATES.T[:m]]
    found = mme.scan(fit, CANDIDATES[:, :m], ratio=True)
    assert found.ratio == pytest.approx(np.mean(ratios), rel=1e-9)
    assert found.ratio_sd == pytest.approx(np.std(ratios), rel=1e-6, abs=1e-12)


def test_candidates_that_X_determines_have_no_ratio_in_any_unit():
    fit = mme.lmer("y ~ z + (1 | g)", DATA)
    with pytest.raises(mme.MMEError, match="no candidate varies beside X"):
        mme.scan(fit, X, ratio=True)
    for unit in (1e-9, 1e9):
        squares, _ = Forms(fit.internals.estimates).roughly(unit * np.vstack([X.T, CANDIDATES.T]))
        assert np.isnan(squares).tolist() == [True] * 2 + [False] * 5


class Reader:
    """What a reader of bed files offers, which has no more columns than it says."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.sid = values, values.shape, [f"rs{j}" for j in range(values.shape[1])]

    def read(self, index: tuple[slice, slice], dtype: str) -> np.ndarray:
        assert index[1].stop <= self.shape[1]
        return self.values[index].astype(dtype)


def test_a_reader_is_asked_for_columns_that_it_has():
    fit = mme.lmer("y ~ z + (1 | g)", DATA)
    found, plain = (mme.scan(fit, one, ratio=True) for one in (Reader(CANDIDATES), CANDIDATES))
    np.testing.assert_array_equal(found.table.to_numpy(), plain.table.to_numpy())
    assert found.table.index.tolist() == ["rs0", "rs1", "rs2", "rs3", "rs4"]


# -- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [1, 2])
def test_progress_counts_candidates(columns):
    told: list[tuple[int, int]] = []
    x = np.random.default_rng(3).normal(size=(N, 600, columns))
    mme.scan(mme.lm("y ~ z", DATA), x if columns > 1 else x[:, :, 0], progress=lambda *one: told.append(one))
    assert told == sorted(told)
    assert told[-1] == (600, 600)
    assert all(0 < done <= 600 for done, _ in told)
    assert len(told) > 1


def test_inflation_is_the_median_square_over_that_of_chi_square():
    by_t, by_p = Scan(pd.DataFrame({"t": [-1.0, 2.0, -3.0]}), 10.0), Scan(pd.DataFrame({"p": [0.1, 0.2, 0.9]}), 10.0)
    assert by_t.inflation == pytest.approx(4.0 / chi2.median(1), rel=1e-12)
    assert by_p.inflation == pytest.approx(chi2.isf(0.2, 1) / chi2.median(1), rel=1e-12)


@pytest.mark.parametrize(("share", "is_there"), [(1e-6, True), (1e-11, False)])
def test_a_candidate_is_there_where_X_leaves_more_than_rounding_of_its_square(share, is_there):
    apart = M @ CANDIDATES[:, 0]
    x = DATA["z"].to_numpy() + np.sqrt(share) * np.linalg.norm(DATA["z"]) / np.linalg.norm(apart) * apart
    found = mme.scan(mme.lmer("y ~ z + (1 | g)", DATA), x[:, None])
    assert np.isfinite(found.table["t"]).tolist() == [is_there]


def test_a_candidate_fitted_anew_says_nothing_by_itself(capfd):
    fit = mme.lmer("y ~ z + (1 | g)", DATA).internals
    assert np.isfinite(refit_with(fit, CANDIDATES[:, 0])).all()
    np.testing.assert_array_equal(refit_with(fit, 3.0 * X[:, 1] + 1.0), np.full(4, np.nan))
    assert capfd.readouterr() == ("", "")


def test_a_scan_takes_records_and_their_sums_are_none():
    sums = mme.lmer("y ~ z + (1 | g)", [DATA.head(12), DATA.tail(12)])
    with pytest.raises(mme.MMEError, match="exact engine that has its records"):
        Forms(sums.internals.estimates)
