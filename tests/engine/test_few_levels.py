"""Few records and levels: the loops that run as machine code say what NumPy's steps say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import mme
from mme.engine import level_pass, level_qr
from mme.engine.absorption import Levels
from mme.numeric.limits import Limits, within
from mme.search import moment_pass, moments, weighted_levels

SEEDS = range(12)


@pytest.fixture
def plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops as they stand in the text, given what machine code takes: nothing is compiled."""

    def as_it_stands(loop: Callable[..., float], arguments: str, records: int) -> Callable[..., float]:
        def run(*given: Any) -> float:
            for value, word in zip(given, arguments.split(), strict=True):
                if word in "if":
                    assert isinstance(value, int if word == "i" else float)
                    continue
                assert value.flags.c_contiguous
                assert (value.dtype, value.ndim) == (np.int64 if word[0] == "I" else np.float64, int(word[1:]))
            return loop(*given)

        return run

    for room in (level_qr, level_pass, moment_pass):
        monkeypatch.setattr(room, "machine_code", as_it_stands)


def levels_of(seed: int, q: int, m: int) -> tuple[np.ndarray, int, list[np.ndarray | None], np.ndarray]:
    """Codes, their number, q columns (the first may be ones, the last may depend on it) and m rows."""
    rng = np.random.default_rng(seed)
    J, n = int(rng.integers(1, 8)), int(rng.integers(12, 40))
    columns: list[np.ndarray | None] = [None if seed % 2 else rng.normal(size=n), *rng.normal(size=(q - 1, n))]
    if seed % 5 == 0 and q > 1:
        columns[-1] = 2.0 * (np.ones(n) if columns[0] is None else columns[0])
    return np.concatenate([np.arange(J), rng.integers(0, J, n - J)]), J, columns, rng.normal(size=(m, n))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loop_absorbs_as_sums_by_level_do(seed: int, plain_loops: None) -> None:
    codes, J, columns, N = levels_of(seed, q := 1 + seed % 3, 3)
    made = level_qr.qr_beside(codes, J, columns, N)
    assert made is not None
    of, V, within_levels = made
    other = level_qr.level_qr(codes, J, columns)
    np.testing.assert_allclose(of.R, other.R, atol=1e-14)
    np.testing.assert_allclose(of.inverse, other.inverse, rtol=1e-13)
    for one, two in zip(of.Z, other.Z, strict=True):
        assert (one is None) == (two is None)
        np.testing.assert_allclose(1.0 if one is None else one, 1.0 if two is None else two, atol=1e-14)
    Z = np.array([np.ones(codes.size) if column is None else column for column in columns])
    for g in range(J):
        at = codes == g
        Q, s, _ = np.linalg.svd(Z[:, at].T, full_matrices=False)
        Q = Q[:, s > 1e-10 * s[0]]
        np.testing.assert_allclose(within_levels[:, at], N[:, at] - (N[:, at] @ Q) @ Q.T, atol=1e-12)
        np.testing.assert_allclose(of.R[:, :, g].T @ V[:, :, g].T, Z[:, at] @ N[:, at].T, atol=1e-12)
    assert q == len(of.Z)


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize(("share", "independent"), [(1e-11, True), (1e-15, False)])
def test_a_column_that_differs_from_the_constant_by_rounding_depends_on_it(
    share: float, independent: bool, unit: float, plain_loops: None
) -> None:
    rng, codes = np.random.default_rng(1), np.arange(30) % 3
    columns: list[np.ndarray | None] = [None, unit * (1.0 + np.where(codes == 1, share, 1.0) * rng.normal(size=30))]
    made = level_qr.qr_beside(codes, 3, columns, rng.normal(size=(1, 30)))
    assert made is not None
    for of in (made[0], level_qr.level_qr(codes, 3, columns)):
        np.testing.assert_array_equal(of.R[1, 1] > 0.0, [True, independent, True])
        np.testing.assert_array_equal(of.inverse[1] > 0.0, [True, independent, True])


def test_a_constant_behind_a_covariate_is_a_column_of_ones(plain_loops: None) -> None:
    x, codes = np.random.default_rng(2).normal(size=30), np.arange(30) % 3
    made = level_qr.qr_beside(codes, 3, [x, None], x[None])
    assert made is not None
    for R in (made[0].R, level_qr.level_qr(codes, 3, [x, None]).R):
        for g in range(3):
            Z = np.column_stack([x, np.ones(30)])[codes == g]
            np.testing.assert_allclose(R[:, :, g].T @ R[:, :, g], Z.T @ Z, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loop_evaluates_as_dense_algebra_does(seed: int, plain_loops: None) -> None:
    codes, J, columns, N = levels_of(seed, q := 1 + seed % 3, 3)
    N *= 10.0 ** (seed % 5 - 2)  # in any unit
    made = level_qr.qr_beside(codes, J, columns, N)
    assert made is not None
    T = np.random.default_rng(seed).normal(size=(4, q, q))
    counts = None if seed % 2 else np.arange(1.0, J + 1.0)
    found = level_pass.pieces_by_level(Levels(made[0].R, made[1], counts), made[2] @ made[2].T, T)
    assert found is not None
    Z = np.array([np.ones(codes.size) if column is None else column for column in columns])
    for s in range(len(T)):
        V, logdet = np.eye(codes.size), 0.0
        for g in range(J):
            half = np.where(codes == g, Z, 0.0).T @ T[s]
            V += half @ half.T
            logdet += (1.0 if counts is None else counts[g]) * np.linalg.slogdet(np.eye(q) + half.T @ half)[1]
        pivots = np.linalg.cholesky(N @ np.linalg.solve(V, N.T)).diagonal()
        np.testing.assert_allclose(
            found[:, s], [logdet, 2.0 * np.log(pivots[:-1]).sum(), pivots[-1] ** 2], rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize("q", [1, 2])
def test_a_design_met_again_by_loops_gives_the_same_bits(q: int, plain_loops: None) -> None:
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(6), 5), rng.normal(size=30)
    X = np.column_stack([np.ones(30), x])
    y = X @ [1.0, 0.5] + rng.normal(size=6)[g] + rng.normal(size=30)
    with within(Limits()):
        first, again = (mme.fit(y, X, [mme.Term(g, X[:, :q])]) for _ in range(2))
    np.testing.assert_array_equal(again.theta, first.theta)
    assert again.criterion == first.criterion


def test_the_loops_take_arrays_as_they_come(plain_loops: None) -> None:
    codes, J, columns, N = levels_of(3, 2, 3)
    one, two = (level_qr.qr_beside(of, J, columns, N) for of in (codes, codes.astype(np.int32)))
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one[1], two[1])
    R, V, T = one[0].R, one[1], np.eye(2)[None]
    turned = [np.asfortranarray(each) for each in (R, V)]
    found = [level_pass.pieces_by_level(Levels(*each, counts), N @ N.T, T) for each, counts in (
        ((R, V), np.ones(J)), (turned, np.ones(J, dtype=int)))]  # fmt: skip
    np.testing.assert_array_equal(*found)
    along = np.ones((2, 1, J))
    moments_of = [moment_pass.level_moments(Levels(*each), 1.0, along, True) for each in ((R, V), turned)]
    for mine, theirs in zip(*moments_of, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_loop_leaves_to_others_what_has_no_digits_in_it(plain_loops: None) -> None:
    R, V = np.ones((1, 1, 2)), np.ones((2, 1, 2))
    assert level_pass.pieces_by_level(Levels(R, V), np.eye(2), np.full((1, 1, 1), 1e3)) is None, "variances of 1e6"
    assert level_pass.pieces_by_level(Levels(R, V), np.diag([1.0, -9.0]), np.zeros((1, 1, 1))) is None, "no residuals"
    assert level_pass.pieces_by_level(Levels(R, V), np.eye(2), np.full((1, 1, 1), np.nan)) is None, "no number"
    alike = np.ones((1, 1, 4)), np.ones((2, 1, 4))
    assert level_pass.pieces_by_level(Levels(*alike), np.zeros((2, 2)), np.zeros((1, 1, 1))) is None, "fitted exactly"
    along = np.ones((1, 1, 2))
    assert moment_pass.level_moments(Levels(R, V), 1e3, along, True) is None


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_loop_has_the_moments_of_the_definition(seed: int, reml: bool, plain_loops: None) -> None:
    rng = np.random.default_rng(seed)
    q, p, J, c = 1 + seed % 3, 1 + seed % 2, int(rng.integers(1, 6)), 10.0 ** rng.uniform(-1, 1)
    levels = Levels(np.triu(rng.normal(size=(J, q, q))).transpose(1, 2, 0).copy(), rng.normal(size=(1, q, J)))
    along_X = rng.normal(size=(q, p, J)) * 0.1
    one = weighted_levels.WeightedLevels.of(levels, c, along_X, None, reml)
    assert one.moments is not None
    known, square = moments._of_levels(one)
    a, R = along_X.transpose(2, 0, 1), levels.R.transpose(2, 0, 1)
    C = [[(R[g].T @ R[g] if g == h else np.zeros((q, q))) - reml * a[g] @ a[h].T for h in range(J)] for g in range(J)]
    E = [np.linalg.inv(np.eye(q) + c**2 * R[g].T @ R[g]) for g in range(J)]
    np.testing.assert_allclose(one.E, np.array(E).transpose(1, 2, 0), atol=1e-12)
    np.testing.assert_allclose(one.weighted_X, np.einsum("gij,gjp->ipg", E, a), atol=1e-12)
    np.testing.assert_allclose(known, sum(E[g] @ C[g][g] @ E[g] for g in range(J)), atol=1e-12)
    whole = sum(np.kron(E[g] @ C[g][h], E[g] @ C[g][h]) for g in range(J) for h in range(J))
    np.testing.assert_allclose(square, whole, atol=1e-11)
    with within(Limits(machine_code=False)):
        other = weighted_levels.WeightedLevels(levels, weighted_levels._weights(levels, c), along_X, None, reml)
        for mine, theirs in zip((known, square), moments._of_levels(other), strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-11)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_a_fit_by_loops_is_the_fit_by_numpy(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    g, h, x = np.repeat(np.arange(9), 7), np.tile(np.arange(7), 9), rng.normal(size=63)
    X = np.column_stack([np.ones(63), x])
    y = X @ [1.0, 0.5] + rng.normal(size=9)[g] + 0.7 * rng.normal(size=9)[g] * x + rng.normal(size=7)[h]
    y += 0.5 * rng.normal(size=63)

    def fits() -> list[Any]:
        terms: list[list[mme.Term]] = [[mme.Term(g, X)], [mme.Term(g, X), mme.Term(h)], [mme.Term(g), mme.Term(h)]]
        return [mme.fit(y + 1e-9 * len(each), X, each, method=method) for each in terms]

    with within(Limits(machine_code=False)):
        without = fits()
    with within(Limits(designs_known=0)):
        for room in (level_qr, level_pass, moment_pass):
            monkeypatch.setattr(room, "machine_code", lambda loop, arguments, records: loop)
        for one, two in zip(fits(), without, strict=True):
            assert one.criterion == pytest.approx(two.criterion, abs=1e-9)
            np.testing.assert_allclose(one.se, two.se, rtol=1e-6)
            assert one.optimum.verdict == two.optimum.verdict
