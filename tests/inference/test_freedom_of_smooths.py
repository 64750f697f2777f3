"""Degrees of freedom beside smooths, whose many coefficients have one variance: by dense matrices, as of any term."""

import numpy as np
import pytest
from oracles import kenward_roger, satterthwaite

import mme


def plots(seed):
    """Seventy plots of nine lines with a surface, and a covariate along which the mean bends."""
    rng = np.random.default_rng(seed)
    row, col = np.divmod(np.arange(70), 7)
    t, gen = np.sort(rng.uniform(0, 3, 70)), rng.integers(0, 9, 70)
    y = np.sin(row / 2) + 0.1 * (col - 3) ** 2 + np.sin(3 * t) + rng.normal(size=9)[gen] + 0.5 * rng.normal(size=70)
    return {"y": y, "row": row + 1.0, "col": col + 1.0, "t": t, "x": rng.normal(size=70), "gen": gen}


@pytest.fixture(
    scope="module",
    params=[
        (1, "s(t) + (1 | gen)"),
        (1, "s(row, col) + (1 | gen)"),
        (2, "ps(row, col, nseg = 4)"),
        (3, "ps(row, col)"),
    ],
    ids=lambda one: one[1],
)
def smooth(request):
    """A fit, its X, the Z of its terms, and which of their variances are not zero."""
    seed, bars = request.param
    fit = mme.lmer(f"y ~ x + {bars}", plots(seed))
    Z = [term.Z.toarray() for term in fit.internals.model.terms]
    return fit, fit.internals.model.X, Z, np.flatnonzero(fit.theta > 1e-6)


def test_satterthwaites_are_those_of_the_curvature_of_the_dense_criterion(smooth):
    fit, X, Z, told = smooth
    assert told.size

    def variance(sd):
        return np.eye(70) + sum(s**2 * Z[t] @ Z[t].T for s, t in zip(sd, told, strict=True))

    _, df = satterthwaite(variance, fit.internals.model.y, X, fit.theta[told], np.eye(X.shape[1]), "REML")
    np.testing.assert_allclose(fit.coefficients()["df"], df, rtol=2e-5)


def test_kenward_and_rogers_are_pbkrtests_with_the_expected_information(smooth):
    """Variances at zero count, as in pbkrtest."""
    fit, X, Z, _ = smooth
    parts = [np.eye(70), *(one @ one.T for one in Z)]
    V = fit.sigma**2 * (parts[0] + sum(s**2 * part for s, part in zip(fit.theta, parts[1:], strict=True)))
    found = fit.coefficients(ddf="kenward-roger")
    for j, L in enumerate(np.eye(X.shape[1])):
        adjusted, df, _ = kenward_roger(X, V, parts, L[None])
        assert found["se"].iloc[j] == pytest.approx(np.sqrt(adjusted[j, j]), rel=1e-5)
        assert found["df"].iloc[j] == pytest.approx(df, rel=1e-4)


def test_a_smooth_without_variance_is_named_once():
    data = plots(1)
    text = mme.lmer(
        "y ~ ps(x, nseg = 4) + (1 | gen)", data | {"y": data["x"] + np.resize([0.1, -0.1, 0.2], 70)}
    ).summary()
    assert "the variance of f(x) is zero" in " ".join(text.split())
    assert "5 coefficients" in text
