"""Planning of studies: responses of assumed models, and the power of tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from mme.api.face import Fit
from mme.api.fitting import lmer
from mme.errors import FormulaError, MMEError, MMEWarning
from mme.fitted.record import Fitted
from mme.fitted.refit import refitted
from mme.inference.fixed.methods import ddf_method
from mme.inference.fixed.reference import two_sided
from mme.inference.intervals.refits import reporter
from mme.inference.power import extended, interval
from mme.inference.responses.fitter import ManyFitter, contrast_rows
from mme.numeric.noise import noise
from mme.numeric.processors import processors
from mme.plot.power_curve import PowerCurve
from mme.results.assumed import Assumed, assumed, read_beta
from mme.tables.arguments import check_level, count, entropy
from mme.tables.arrays import shown
from mme.tables.calls import explained
from mme.tables.frame import Frame

# Arguments of a fit that may have a value for each record.
_BY_RECORD = ("weights", "offset", "subset")


@explained
def simulate_model(
    formula: str,
    data: Any,
    *,
    beta: Any,
    varcorr: Mapping[str, Any] | None = None,
    sigma: float = 1.0,
    nsim: int = 1,
    seed: int | np.random.Generator | None = None,
) -> Any:
    r"""Draw responses y = X beta + Z b + e of a model whose parameters are assumed.

    Parameters
    ----------
    formula : str
        As of :func:`mme.lmer`; a left side names a response that need not be there.
    data : data frame or mapping
        The design: covariates and grouping factors.
    beta : mapping by name, or sequence
        Fixed effects.
    varcorr : mapping by term
        Of each random term the standard deviations of its columns, or their covariance matrix.
    sigma : float
        Residual standard deviation.
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
    """
    template = _template(formula, data)
    drawn = assumed(template.model, template.fixed_names, beta, varcorr, sigma).draws(count(nsim, "nsim"), seed)
    return template.rows.aligned(drawn, "simulated")


@explained
def power(
    model: Fit | str,
    data: Any = None,
    *,
    test: str | Mapping[str, float] | Callable[[Fit], float],
    beta: Any = None,
    varcorr: Mapping[str, Any] | None = None,
    sigma: float | None = None,
    extend: Mapping[str, int | Sequence[int]] | None = None,
    nsim: int = 1000,
    alpha: float = 0.05,
    ddf: str = "satterthwaite",
    seed: int | None = None,
    workers: int | None = None,
    progress: bool | Callable[[int, int], None] = False,
) -> PowerCurve:
    """Simulate how often a test finds an assumed effect, for one design or for several sizes of it.

    Parameters
    ----------
    model : Fit or str
        A fit, whose parameters are assumed where no others are given, or a formula.
    data : data frame or mapping, optional
        The design. Of a fit it is needed for ``extend``.
    test : str, mapping or callable
        A fixed effect, or weights of a contrast of fixed effects, tested by t; or a function of a fit that gives a
        p-value.
    beta : mapping or sequence
        Fixed effects: of a formula all of them, of a fit those that are to be changed, by name.
    varcorr, sigma
        As of :func:`simulate_model`; of a fit its own.
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
    check_level(alpha)
    method, threads = ddf_method(ddf), processors() if workers is None else count(workers, "workers")
    grid = {name: np.atleast_1d(np.asarray(sizes)).tolist() for name, sizes in (extend or {}).items()}
    formula, table = _design(model, data, bool(grid))
    designs = [dict(zip(grid, sizes, strict=True)) for sizes in product(*grid.values())]
    factors = _factors(_template(formula, table, model)) if table is not None and grid else ()
    report, rows = reporter(progress, len(designs)), list[dict[str, float]]()
    try:
        for i, sizes in enumerate(designs):
            at = {name: count(size, f"extend '{name}'") for name, size in sizes.items()}
            of = model.internals if isinstance(model, Fit) and table is None else None
            template = of or _template(formula, extended(table, at, factors) if at else table, model)
            truth = _truth(model, template, beta, varcorr, sigma)
            Y = truth.draws(nsim, np.random.default_rng([origin, i])).T
            rows.append({**at, **_share(template.model.n, *_tested(template, Y, test, method, threads), alpha)})
            report(i + 1)
    except KeyboardInterrupt:
        if not rows:
            raise
        warnings.warn(f"interrupted: {len(rows)} of {len(designs)} designs are done", MMEWarning, stacklevel=2)
    return PowerCurve(pd.DataFrame(rows), _named(test), alpha, origin)


def _factors(template: Fitted) -> tuple[str, ...]:
    """The columns that levels of the random effects are made of."""
    return tuple(dict.fromkeys(name for term in template.model.terms for name in term.group.split(":")))


def _share(records: int, p: np.ndarray, singular: np.ndarray, alpha: float) -> dict[str, float]:
    """How many of the p-values (nsim,) are below alpha, with an interval; NaN is a fit that failed."""
    there = np.isfinite(p)
    hits, n = int((p[there] < alpha).sum()), int(there.sum())
    lower, upper = interval(hits, n) if n else (np.nan, np.nan)
    share = hits / n if n else np.nan
    found = {"n": records, "nsim": p.size, "power": share, "lower": lower, "upper": upper}
    return found | {"singular": float(singular.mean()), "failed": p.size - n}


def _template(formula: Any, data: Any, model: Any = None) -> Fitted:
    """The model of a formula on a design, with a response of noise; fitted as ``model`` is, where that is a fit."""
    if not isinstance(formula, str) or "~" not in formula:
        raise FormulaError(f"a formula is needed, 'y ~ x + (1 | g)' or '~ x + (1 | g)'; got {shown(formula)}")
    table, right = Frame(data), formula.partition("~")[2]
    name = "response"
    while name in table:
        name += "_"
    columns = {one: table.raw(one) for one in table.names}
    formula, columns = f"{name} ~ {right}", columns | {name: noise(table.n)}
    if not isinstance(model, Fit):
        return lmer(formula, columns).internals
    if model.made_by is None:
        of = model.internals.model
        plain = of.weights is None and of.offset is None and of.residual is None
        if plain and all(term.relationship is None for term in of.terms):
            return lmer(formula, columns, method=of.method).internals
        raise MMEError("a fit from a file does not know how it was made, which power of other rows takes: fit it again")
    given = {key: value for key, value in model.made_by.arguments.items() if key in _BY_RECORD}
    for key, value in given.items():
        if np.ndim(value) and len(value) != table.n:
            raise MMEError(
                f"{key}= of the fit has {len(value)} values, the design {table.n} rows: name a column instead"
            )
    made: Fit = model.made_by.again(formula, data=columns)
    return made.internals


def _design(model: Any, data: Any, extends: bool) -> tuple[str, Any]:
    """The formula, and the table that it is of; None for the rows of a fit as they are."""
    import pandas as pd

    if isinstance(model, Fit):
        if data is None and not extends:
            return "", None
        if data is None or model.formula is None:
            raise MMEError("extend needs the formula of the fit and its data: mme.power(fit, data, ...)")
        return model.formula, pd.DataFrame({name: Frame(data).raw(name) for name in Frame(data).names})
    if not isinstance(model, str):
        raise MMEError(f"power is of a formula, or of a fit of mme.lmer; got {type(model).__name__}")
    if data is None:
        raise MMEError("a formula needs the design: mme.power(formula, data, ...)")
    return model, pd.DataFrame({name: Frame(data).raw(name) for name in Frame(data).names})


def _truth(model: Any, template: Fitted, beta: Any, varcorr: Any, sigma: float | None) -> Assumed:
    """The assumed parameters on a design."""
    names = template.fixed_names
    if not isinstance(model, Fit):
        return assumed(template.model, names, beta, varcorr, 1.0 if sigma is None else sigma)
    own = dict(zip(model.fixed_names, np.asarray(model.beta, dtype=float).tolist(), strict=True))
    if isinstance(beta, Mapping):
        unknown = set(beta) - set(own)
        if unknown:
            raise MMEError(f"beta has {shown(sorted(unknown)[0])}, which is none of {', '.join(map(repr, own))}")
        own |= beta
    elif beta is not None:
        own = dict(zip(names, read_beta(beta, names).tolist(), strict=True))
    if varcorr is not None:
        return assumed(template.model, names, own, varcorr, model.sigma if sigma is None else sigma)
    sd = model.sigma if sigma is None else sigma
    return Assumed(template.model, read_beta(own, names), model.internals.theta, sd, template.basis.kept)


def _tested(template: Fitted, Y: np.ndarray, test: Any, method: str, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """p-values (nsim,), NaN where a fit failed, and which fits are singular."""
    if callable(test):
        found = [_by_function(template, y, test) for y in Y]
        return np.array([p for p, _ in found]), np.array([singular for _, singular in found])
    weights = {test: 1.0} if isinstance(test, str) else test
    row = contrast_rows({"test": weights}, template)[-1:]
    whole = np.full((len(Y), template.rows.kept.size), np.nan)
    whole[:, template.rows.kept] = Y
    fitter = ManyFitter(lambda there: template, template, row, method, threads)
    found_all, _ = fitter(whole, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return two_sided(found_all.estimate[:, 0] / found_all.se[:, 0], found_all.df[:, 0]), found_all.singular


def _by_function(template: Fitted, y: np.ndarray, test: Callable[[Fit], float]) -> tuple[float, bool]:
    try:
        fit = Fit(refitted(template, y, True))
        return float(test(fit)), bool(fit.optimum.boundary)
    except (MMEError, ArithmeticError, np.linalg.LinAlgError):
        return float("nan"), False


def _named(test: Any) -> str:
    if isinstance(test, str):
        return test
    if isinstance(test, Mapping):
        return " + ".join(f"{weight:g} {name}" for name, weight in test.items())
    return str(getattr(test, "__name__", "a function"))
