"""Planning of studies: responses of assumed models, and the power of tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from mme.api.face import Fit
from mme.api.generalised import GeneralisedFit
from mme.api.planned_family import FamilyPlan, family_design
from mme.api.planned_linear import LinearPlan, linear_template
from mme.errors import MMEError, MMEWarning
from mme.family.base import Family
from mme.family.words import family_of
from mme.inference.fixed.methods import ddf_method
from mme.inference.power import SimulatedTests, extended, interval, sizes_of
from mme.numeric.bars import Progress, reporter
from mme.numeric.processors import processors
from mme.plot.power_curve import PowerCurve
from mme.results.assumed import assumed
from mme.results.simulate import GeneralisedSimulator
from mme.tables.arguments import check_level, count, entropy, random_numbers
from mme.tables.calls import explained
from mme.tables.frame import Frame


@explained
def simulate_model(
    formula: str,
    data: Any,
    *,
    beta: Any,
    varcorr: Mapping[str, Any] | None = None,
    sigma: float | None = None,
    family: str | Family | None = None,
    parameters: Any = None,
    weights: Any = None,
    nsim: int = 1,
    seed: int | np.random.Generator | None = None,
) -> Any:
    r"""Draw responses of a model whose parameters are assumed: y = X beta + Z b + e, or of a family at X beta + Z b.

    Parameters
    ----------
    formula : str
        As of :func:`mme.lmer` or :func:`mme.glmer`; a left side names a response that need not be there.
    data : data frame or mapping
        The design: covariates and grouping factors.
    beta : mapping by name, or sequence
        Fixed effects.
    varcorr : mapping by term
        Of each random term the standard deviations of its columns, or their covariance matrix.
    sigma : float, optional
        Residual standard deviation of a linear model; 1 by default.
    family : str or Family, optional
        That of a generalised model, as of :func:`mme.glmer`; beta and varcorr are on the scale of its link.
    parameters : mapping by name, or sequence, optional
        The family's own, on the scale of :attr:`mme.GeneralisedFit.dispersion`: ``{"dispersion": 0.5}``,
        ``{"size": 2}``; thresholds of an ordinal family in their order, whose draws are codes from 0.
    weights : column name or array, optional
        Prior weights; of a binomial family numbers of trials, of which draws are the share of successes.
    nsim : int
        Responses.
    seed : int or Generator, optional
        Makes the same responses again.

    Returns
    -------
    DataFrame
        (rows, nsim), one column per response.

    Raises
    ------
    MMEError
        A parameter is missing, or is none of the model's; the message has the names.

    Examples
    --------
    >>> import mme, numpy as np
    >>> design = {"subject": np.repeat(np.arange(2000), 5), "x": np.tile(np.arange(5.0), 2000)}
    >>> y = mme.simulate_model("~ x + (x | subject)", design, beta={"(Intercept)": 1, "x": 0.5},
    ...                        varcorr={"subject": [[1.0, 0.2], [0.2, 0.25]]}, sigma=2.0, seed=1)
    >>> fit = mme.lmer("y ~ x + (x | subject)", {**design, "y": y[0]})
    >>> round(fit.sigma, 1), round(float(fit.beta["x"]), 1)
    (2.0, 0.5)
    >>> seen = mme.simulate_model("~ x + (1 | subject)", design, family="poisson", beta=[0.5, 0.2],
    ...                           varcorr={"subject": 0.6}, seed=1)
    >>> fit = mme.glmer("y ~ x + (1 | subject)", {**design, "y": seen[0]}, "poisson")
    >>> fit.varcorr["subject"].sd.round(1)
    array([0.6])
    """
    nsim = count(nsim, "nsim")
    of_family = _family(family, sigma, parameters)
    if of_family is not None:
        problem, at, rows = family_design(formula, data, of_family, weights, beta, varcorr, parameters)
        return rows.aligned(GeneralisedSimulator(problem, at)(random_numbers(seed), nsim), "simulated")
    template = linear_template(formula, data, weights=weights)
    truth = assumed(template.model, template.fixed_names, beta, varcorr, 1.0 if sigma is None else sigma)
    return template.rows.aligned(truth.draws(nsim, seed), "simulated")


@explained
def power(
    model: Fit | GeneralisedFit | str,
    data: Any = None,
    *,
    test: str | Mapping[str, float] | Callable[[Any], float],
    beta: Any = None,
    varcorr: Mapping[str, Any] | None = None,
    sigma: float | None = None,
    family: str | Family | None = None,
    parameters: Any = None,
    weights: Any = None,
    extend: Mapping[str, int | Sequence[int]] | None = None,
    nsim: int = 1000,
    alpha: float = 0.05,
    ddf: str = "satterthwaite",
    seed: int | None = None,
    workers: int | None = None,
    progress: Progress = False,
) -> PowerCurve:
    """Simulate how often a test finds an assumed effect, for one design or for several sizes of it.

    Parameters
    ----------
    model : Fit or str
        A fit, whose parameters are assumed where no others are given, or a formula.
    data : data frame or mapping, optional
        The design. Of a fit it is needed for ``extend``; of a generalised fit it has its response too.
    test : str, mapping or callable
        A fixed effect, or weights of a contrast of fixed effects, tested by t (of generalised models by z); or a
        function of a fit that gives a p-value.
    beta : mapping or sequence
        Fixed effects: of a formula all of them, of a fit those that are to be changed, by name.
    varcorr, sigma, family, parameters, weights
        As of :func:`simulate_model`; of a fit its own, of which no other family or weights can be assumed.
    extend : mapping, optional
        Sizes of grouping factors, ``{"subject": [20, 40, 60]}``: a further level has the rows of one that is there, and
        levels of its own of the factors nested in it. Several factors make a grid.
    nsim : int
        Responses of each design.
    alpha : float
        Level of the test.
    ddf : str
        Degrees of freedom of t, as of :meth:`mme.Fit.coefficients`.
    seed : int, optional
        Makes the same responses again.
    workers : int, optional
        Threads; None: one a processor.
    progress : bool or callable
        True draws a bar on stderr; a callable gets (designs done, designs).

    Returns
    -------
    PowerCurve
        ``table`` with one row per design: its sizes, ``n`` records, ``nsim``, ``power`` with the ends ``lower`` and
        ``upper`` of its 95 % interval, the share of ``singular`` fits, the number of ``failed`` ones. ``plot()``
        draws it.

    Raises
    ------
    MMEError
        A parameter, a tested effect or a factor of ``extend`` is missing, or is none of the model's.

    Examples
    --------
    >>> import mme
    >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    >>> found = mme.power(fit, mme.load("sleepstudy"), test="Days", beta={"Days": 4.0},
    ...                   extend={"Subject": [10, 40]}, nsim=200, seed=1)
    >>> found.table[["Subject", "n", "power"]]
       Subject    n  power
    0       10  100  0.395
    1       40  400  0.970
    """
    import pandas as pd

    nsim, origin = count(nsim, "nsim"), int(entropy(seed).entropy)
    check_level(alpha, "alpha")
    method, threads = ddf_method(ddf), processors() if workers is None else count(workers, "workers")
    grid = sizes_of(extend)
    formula, table = _design(model, data, bool(grid))
    plan = _plan(model, formula, method, {"beta": beta, "varcorr": varcorr}, sigma, family, parameters, weights)
    designs = [dict(zip(grid, sizes, strict=True)) for sizes in product(*grid.values())]
    factors = _factors(plan.groups(table)) if table is not None and grid else ()
    report, rows = reporter("power", len(designs), progress), list[dict[str, float]]()
    try:
        for i, sizes in enumerate(designs):
            rows_of = extended(table, sizes, factors) if sizes else table
            tested = plan.tested(rows_of, nsim, np.random.default_rng([origin, i]), test, threads)
            rows.append({**sizes, **_share(tested, alpha)})
            report(i + 1)
    except KeyboardInterrupt:
        if not rows:
            raise
        warnings.warn(f"interrupted: {len(rows)} of {len(designs)} designs are done", MMEWarning, stacklevel=2)
    return PowerCurve(pd.DataFrame(rows), _named(test), alpha, origin)


def _factors(groups: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that levels of the random effects are made of."""
    return tuple(dict.fromkeys(name for group in groups for name in group.split(":")))


def _share(tested: SimulatedTests, alpha: float) -> dict[str, float]:
    """How many of the p-values are below alpha, with an interval; NaN is a fit that failed."""
    p = tested.p
    there = np.isfinite(p)
    hits, n = int((p[there] < alpha).sum()), int(there.sum())
    lower, upper = interval(hits, n) if n else (np.nan, np.nan)
    share = hits / n if n else np.nan
    found = {"n": tested.records, "nsim": p.size, "power": share, "lower": lower, "upper": upper}
    return found | {"singular": float(tested.singular.mean()), "failed": p.size - n}


def _plan(
    model: Any, formula: str, ddf: str, assumes: dict[str, Any], sigma: Any, family: Any, parameters: Any, weights: Any
) -> LinearPlan | FamilyPlan:
    """The model on any design, and what is assumed of it."""
    if not isinstance(model, str) and (family is not None or weights is not None):
        raise MMEError("family= and weights= are those of the fit: leave them out, or give its formula instead")
    own = model.internals.family if isinstance(model, GeneralisedFit) else family
    of_family = _family(own, sigma, parameters)
    if of_family is None:
        return LinearPlan(model, formula, sigma=sigma, weights=weights, ddf=ddf, **assumes)
    return FamilyPlan(model, formula, of_family, parameters=parameters, weights=weights, **assumes)


def _family(family: Any, sigma: Any, parameters: Any) -> Family | None:
    """The family that is given; None: a linear model."""
    if family is None:
        if parameters is not None:
            raise MMEError("parameters= are those of a family=; a linear model has sigma=")
        return None
    if sigma is not None:
        raise MMEError("sigma= is of linear models; what a family has beside its mean is parameters=")
    return family_of(family)


def _design(model: Any, data: Any, extends: bool) -> tuple[str, Any]:
    """The formula, and the table that it is of; None for the rows of a fit as they are."""
    import pandas as pd

    if isinstance(model, Fit | GeneralisedFit):
        if data is None and not extends:
            return "", None
        if data is None or model.formula is None:
            raise MMEError("extend needs the formula of the fit and its data: mme.power(fit, data, ...)")
        return model.formula, pd.DataFrame({name: Frame(data).raw(name) for name in Frame(data).names})
    if not isinstance(model, str):
        raise MMEError(f"power is of a formula, or of a fit of mme.lmer or mme.glmer; got {type(model).__name__}")
    if data is None:
        raise MMEError("a formula needs the design: mme.power(formula, data, ...)")
    return model, pd.DataFrame({name: Frame(data).raw(name) for name in Frame(data).names})


def _named(test: Any) -> str:
    if isinstance(test, str):
        return test
    if isinstance(test, Mapping):
        return " + ".join(f"{weight:g} {name}" for name, weight in test.items())
    return str(getattr(test, "__name__", "a function"))
