"""Every call on a fit of chunks gives what it gives on the fit of the table, or is refused by name."""

import numpy as np
import pandas as pd
import pytest

import mme

N = 140


def table(missing):
    rng = np.random.default_rng(21)
    g, h = rng.integers(0, 12, N), rng.integers(0, 4, N)
    a, b, t = (
        rng.choice(list("abc"), N, p=[0.5, 0.3, 0.2]),
        rng.choice(["x", "y"], N, p=[0.7, 0.3]),
        rng.integers(0, 2, N),
    )
    x, w = rng.standard_normal(N), rng.uniform(0.5, 2.0, N)
    y = 10.0 + x + (a == "b") + rng.standard_normal(12)[g] + 0.5 * rng.standard_normal(12)[g] * x
    y += 0.7 * rng.standard_normal(4)[h] + rng.standard_normal(N)
    data = pd.DataFrame({"y": y, "x": x, "w": w, "t": t, "a": a, "b": b, "g": [f"g{one}" for one in g], "h": h})
    data["k"] = data.a + np.where(rng.random(N) < 0.5, "1", "2")  # within a
    data["s"] = np.where(np.isin(g, [0, 3, 5, 6, 9]), "u", "v")  # between groups
    data.loc[rng.random(N) < missing, "y"] = None
    return data


def chunks_of(data):
    return [data[:11], data[11:12], data[12:90], data[90:]]


def numbers(value):
    """The numbers of a table, a mapping of tables, a series or an array."""
    if isinstance(value, dict):
        return np.concatenate([numbers(one) for one in value.values()] or [np.zeros(0)])
    if isinstance(value, pd.DataFrame):
        return value.select_dtypes("number").to_numpy(dtype=float).ravel()
    return np.asarray(value, dtype=float).ravel()


MODELS = [
    ("y ~ a + b + (1 | g / b)", {}, 0.1),
    ("y ~ 0 + a + x + (x | g)", {}, 0.0),
    ("y ~ a * b + t + (1 | g) + (1 | h)", {"method": "ML"}, 0.1),
    ("y ~ s * a + x + (x || g)", {"weights": "w"}, 0.0),
    ("y ~ x + (1 | g)", {"weights": "w"}, 0.0),
    ("y ~ poly(x, 2) + a + k + (x | g)", {}, 0.1),
    ("y ~ scale(x) + C(a, sum) + b + (1 | g)", {"offset": "t"}, 0.1),
]
FACTORS = ["a", "b", "s", "k", "t", "C(a, sum)"]

VALUES = """
    aic aicc beta beta_cov bic criterion criterion_contrasts dof fitted hessian loglik n_dropped nobs
    residuals se sigma theta
"""
METHODS = """
    anova coef coefficients condvar confint drop1 effective_dimensions eblup_mse icc joint_tests leverage pev
    ranef ranova reliability shrinkage tidy variances vif
"""
OTHERS = """
    augment average_difference bootstrap contrast cooks_distance correlation_curve cullis curves dfbeta diagnose draws
    dropped ebv engine fixed_names for_marginaleffects formula glance heritability internals kenward_roger loglik
    made_by method methods_text model optimum pev_matrix plot refit relationships report residual
    satterthwaite save scaled_residuals simulate singular step summary table theta_names variance_curve
    variance_shares vpredict
"""
CALLS = {
    **{name: lambda fit, name=name: getattr(fit, name) for name in VALUES.split()},
    **{name: lambda fit, name=name: getattr(fit, name)() for name in METHODS.split()},
    "anova of type 1": lambda fit: fit.anova(type=1),
    "anova of type 2": lambda fit: fit.anova(type=2, ddf="kenward-roger"),
    **{
        f"ddf={ddf}": lambda fit, ddf=ddf: fit.coefficients(ddf=ddf)
        for ddf in ("kenward-roger", "containment", "between-within", "none")
    },
    **{
        f"means of {factor}, {weights}": lambda fit, factor=factor, weights=weights: fit.means(factor, weights=weights)
        for factor in FACTORS
        for weights in ("equal", "proportional", "cells")
    },
    "means by": lambda fit: fit.means("a", by="b", pairs=True),
    "trends": lambda fit: fit.trends("x", by="a"),
    "test": lambda fit: fit.test("a").p,
    "piepho": lambda fit: fit.piepho("g"),
    "tidy variances": lambda fit: fit.tidy(effects="variance"),
    "r2": lambda fit: list(fit.r2()) if callable(fit.r2) else list(fit.r2),
    "predict": lambda fit: fit.predict(table(0.0)[:5], interval="confidence"),
    "update": lambda fit: fit.update("~ . - b").criterion,
}


# What takes the records, or counts of levels that no columns tell.
REFUSED = {"eblup_mse", "piepho"}
REFUSED |= {f"means of {factor}, {weights}" for factor in FACTORS for weights in ("proportional", "cells")}


def of(fit, call):
    try:
        return numbers(CALLS[call](fit))
    except mme.MMEError as error:
        return str(error)


def test_what_is_made_of_the_records_is_named_here():
    """A new call is compared, or stands among those that are refused or take more than the fit."""
    fit = mme.lmer("y ~ x + (1 | g)", chunks_of(table(0.0)))
    compared = {call.split()[0] for call in CALLS} | {"coefficients", "means", "profile", "varcorr"}
    assert {name for name in dir(fit) if not name.startswith("_")} <= compared | set(OTHERS.split())


@pytest.fixture(scope="module", params=MODELS, ids=lambda one: one[0])
def fits(request):
    formula, how, missing = request.param
    data = table(missing)
    return mme.lmer(formula, data, **how), mme.lmer(formula, chunks_of(data), **how)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_gives_what_it_gives_of_the_table_or_is_refused(fits, call):
    whole, summed = (of(fit, call) for fit in fits)
    if isinstance(summed, str):
        assert isinstance(whole, str) or (call in REFUSED and "sums" in summed)
        return
    largest = np.max(np.abs(whole), where=np.isfinite(whole), initial=1.0)
    np.testing.assert_allclose(summed, whole, rtol=2e-4, atol=2e-6 * largest)
