"""Parameters of residuals at the ends of what they may be: a limit is a result, a fall without end is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme


def grouped(seed: int = 5, groups: int = 12, size: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(groups), size), np.tile(np.arange(size), groups)
    n = g.size
    return pd.DataFrame({"g": g, "t": t, "x": rng.normal(size=n), "s": rng.choice(list("uvw"), n)}).assign(
        base=rng.normal(size=groups)[g], e=rng.normal(size=n)
    )


@pytest.mark.parametrize("nugget", [False, True])
def test_a_range_of_zero_is_the_model_of_independent_records(nugget: bool) -> None:
    data = grouped().assign(y=lambda d: d.e - 0.6 * d.e.shift(fill_value=0.0))  # neighbours differ
    fit = mme.lmer("y ~ x", data, residual=mme.Exponential("t", "g", nugget=nugget))
    plain = mme.lmer("y ~ x", data)
    assert fit.optimum.verdict == "minimum on the boundary"
    assert fit.optimum.ended
    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-6)
    assert fit.dof == plain.dof + 1 + nugget
    for ddf in ("satterthwaite", "kenward-roger"):
        table, other = fit.coefficients(ddf=ddf), plain.coefficients(ddf=ddf)
        np.testing.assert_allclose(table["se"], other["se"], rtol=1e-6)
        np.testing.assert_allclose(table["df"], other["df"], rtol=1e-6)


@pytest.mark.parametrize("base", [0.0, 1.0])
def test_a_stratum_without_residuals_has_no_finite_maximum(base: float) -> None:
    data = grouped().assign(y=lambda d: base * d.base + d.x + np.where(d.s == "u", 0.0, d.e))
    fit = mme.lmer("y ~ x + (1 | g)", data, residual=mme.Heterogeneous("s"))
    assert fit.optimum.verdict == "no finite maximum"
    assert fit.optimum.ended == ("sd.v/sd.u", "sd.w/sd.u")
    assert "towards the end of the range of sd.v/sd.u, sd.w/sd.u" in str(fit.optimum)
    assert "fitted exactly" in str(fit.diagnose())
    assert fit.beta["x"] == pytest.approx(1.0, abs=1e-5)
    assert np.isfinite(fit.se).all()


def test_a_series_that_alternates_exactly_has_no_finite_maximum() -> None:
    data = grouped().assign(y=lambda d: d.base * (-1.0) ** d.t)
    fit = mme.lmer("y ~ x", data, residual=mme.AR1("t", "g"))
    assert fit.optimum.verdict == "no finite maximum"
    assert fit.optimum.ended == ("rho",)
    assert np.isfinite(fit.se).all()


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e-3])
@pytest.mark.parametrize("text", ["y ~ 0 + z", "y ~ 0 + z + (1 | h)"])
def test_sums_that_a_band_of_correlations_leaves_without_variance_have_no_finite_maximum(
    text: str, unit: float
) -> None:
    """With rho1 at its end C v = 0, v_j = sin(j pi / 7) (-1)^j: series without such sums have log|C| to -infinity."""
    rng, place = np.random.default_rng(1), np.arange(1, 7)
    v = np.sin(place * np.pi / 7.0) * (-1.0) ** place
    e = rng.normal(size=(9, 6)) + 0.5 * rng.normal(size=(9, 7))[:, :-1]
    y = e - np.outer(e @ v, v) / (v @ v)
    data = pd.DataFrame({"y": unit * y.ravel(), "g": np.repeat(np.arange(9), 6), "t": np.tile(place, 9)})
    data = data.assign(z=0.0 * data.y + (data.t == 1) * v[1] - (data.t == 2) * v[0], h=data.g % 3)
    fit = mme.lmer(text, data, residual=mme.Toeplitz("t", "g", bands=1))
    assert fit.optimum.verdict == "no finite maximum"
    assert fit.optimum.ended == ("rho1",)
    assert fit.residual["rho1"] == pytest.approx(0.5 / np.cos(np.pi / 7.0), abs=1e-5)
    assert fit.optimum.evaluations < 300


@pytest.mark.parametrize(("seed", "unit"), [(3, 1.0), (4, 1.0), (6, 1.0), (3, -1e3)])
def test_a_largest_group_with_a_mean_of_its_own_has_no_finite_maximum(seed: int, unit: float) -> None:
    """At the lowest correlation the sum of the largest group has no variance, and its own level of f fits that sum."""
    rng, g = np.random.default_rng(seed), np.repeat(np.arange(3), [5, 7, 4])
    data = pd.DataFrame({"g": g, "f": np.where(g == 1, "b", "a"), "x": rng.normal(size=16)})
    data["y"] = unit * rng.normal(size=16)
    residual = mme.CompoundSymmetry("g") * mme.Heterogeneous("f")
    fit = mme.lmer("y ~ x + f + (1 | g)", data, method="ML", residual=residual)
    assert fit.optimum.verdict == "no finite maximum"
    assert fit.optimum.ended == ("rho",)


def test_small_residuals_are_a_minimum() -> None:
    """Group means of a thousandth of the records' size: far out, and no end."""
    data = grouped().assign(y=lambda d: d.e - 0.999 * d.groupby("g").e.transform("mean"))
    fit = mme.lmer("y ~ x", data, residual=mme.CompoundSymmetry("g"))
    assert fit.optimum.verdict == "minimum"
    r = data.y - np.column_stack([np.ones(72), data.x]) @ fit.beta
    between = 6.0 * (r.groupby(data.g).mean() ** 2).sum() / 10.0  # of the means, two fixed effects take their part
    assert fit.sigma**2 * (1.0 + 5.0 * fit.residual["rho"]) == pytest.approx(between, rel=1e-3)


def singular_within() -> pd.DataFrame:
    """A slope on b explains the means of its groups, which differ less than by chance: R has no variance left there."""
    rng = np.random.default_rng(44)
    b, a = np.repeat(np.arange(6), 8), np.tile(np.arange(8), 6)
    e = rng.normal(size=(6, 8))
    e -= e.mean(1, keepdims=True)
    x = 20.0 + 5.0 * rng.normal(size=48)
    y = 5.0 + 0.3 * x + rng.normal(size=6)[b] * x + rng.normal(size=8)[a] + e.ravel()
    return pd.DataFrame({"y": y, "x": x, "a": a, "b": b})


def test_compound_symmetry_ends_at_its_bound() -> None:
    data = singular_within()
    fit = mme.lmer("y ~ x + (1 | a) + (0 + x | b)", data, residual=mme.CompoundSymmetry("b"))
    assert fit.optimum.ended == ("rho",)
    assert fit.optimum.verdict == "minimum on the boundary"
    assert fit.residual["rho"] == pytest.approx(-1.0 / 7.0, abs=1e-5)
    assert (fit.coefficients()["df"] < 46.0).all()


def test_a_record_that_leaves_singular_residuals_is_told_without_cancellation() -> None:
    """dfbeta beside (R^-1)_ii of 10^5 is that of dense algebra without the record."""
    data = singular_within()
    fit = mme.lmer("y ~ x + (1 | a) + (0 + x | b)", data, residual=mme.CompoundSymmetry("b"))
    X, within = np.column_stack([np.ones(48), data.x]), np.equal.outer(data.b.to_numpy(), data.b.to_numpy())
    components = fit.varcorr.to_frame().set_index("group").variance
    V = components["a"] * np.equal.outer(data.a.to_numpy(), data.a.to_numpy())
    V = V + components["b"] * within * np.outer(data.x, data.x)
    V += fit.sigma**2 * np.where(np.eye(48, dtype=bool), 1.0, within * fit.residual["rho"])

    def beta(kept: np.ndarray) -> np.ndarray:
        half = np.linalg.solve(V[np.ix_(kept, kept)], np.column_stack([X, data.y])[kept])
        return np.linalg.solve(X[kept].T @ half[:, :2], X[kept].T @ half[:, 2])

    records = np.arange(48)
    expected = np.array([beta(records) - beta(np.delete(records, i)) for i in records])
    np.testing.assert_allclose(fit.dfbeta(), expected, rtol=1e-5, atol=1e-7)


def test_the_summary_says_what_is_at_its_end() -> None:
    fit = mme.lmer("y ~ x + (1 | a) + (0 + x | b)", singular_within(), residual=mme.CompoundSymmetry("b"))
    assert "rho of the residuals is at the end of its range" in " ".join(fit.summary().split())
    data = grouped().assign(y=lambda d: d.x + np.where(d.s == "u", 0.0, d.e))
    unbounded = " ".join(mme.lmer("y ~ x", data, residual=mme.Heterogeneous("s")).summary().split())
    assert "no finite maximum" in unbounded
    assert "A valid result" not in unbounded


@pytest.mark.parametrize("equal_variances", [False, True])
@pytest.mark.parametrize(("J", "T"), [(4, 7), (5, 8), (9, 10)])
def test_fewer_groups_than_occasions_have_no_maximum_and_that_is_known_soon(J, T, equal_variances):
    """Some a'e is zero in all J < T groups; var(a'e) may be as small as one likes (it took 2,000 to 12,000)."""
    rng = np.random.default_rng([J, T])
    g, t = np.divmod(np.arange(J * T), T)
    data = {"g": g, "t": t, "x": rng.normal(size=J * T), "y": rng.normal(size=(J, T)).cumsum(axis=1).ravel()}
    with pytest.warns(mme.MMEWarning, match="no maximum"):
        fit = mme.lmer("y ~ x", data, residual=mme.Unstructured("t", "g", equal_variances=equal_variances))
    assert fit.optimum.verdict == "no finite maximum"
    assert fit.optimum.evaluations < 100


def test_groups_with_some_occasions_alone_change_nothing_of_it():
    rng = np.random.default_rng(3)
    g, t = np.divmod(np.arange(12 * 5), 5)
    data = pd.DataFrame({"g": g, "t": t, "y": rng.normal(size=60)})
    data = data[(data["g"] < 4) | (data["t"] != data["g"] % 5)]  # four groups have all five
    fit = mme.lmer("y ~ 1", data, residual=mme.Unstructured("t", "g"))
    assert fit.optimum.verdict == "no finite maximum"
    assert fit.optimum.evaluations < 100
