"""The ways in: arrays, or a formula and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from mme.api.face import Fit
from mme.api.remembered import remembered
from mme.api.searching import fit_model
from mme.engine.objective import Objective
from mme.errors import MMEError
from mme.model.fields import beside_errors
from mme.model.problem import build_model
from mme.model.term import Term
from mme.numeric.memory import told
from mme.search.progress import Progress
from mme.tables.calls import explained
from mme.tables.rows import Rows


@explained
@told("the model was fitted")
def fit(
    y: Any,
    X: Any,
    terms: Sequence[Term],
    *,
    method: str = "REML",
    REML: bool | None = None,
    weights: Any = None,
    offset: Any = None,
    residual: Any = None,
    sigma: float | None = None,
    theta: Any = None,
    start: Any = None,
    phi: Mapping[str, float] | None = None,
    hold: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    search: str = "auto",
    engine: str = "auto",
    progress: Progress = False,
) -> Fit:
    r"""Fit y = X beta + sum_t Z_t b_t + offset + e by REML or ML.

    b_t has independent levels with covariance sigma^2 T_t T_t', e ~ N(0, sigma^2 / weights). The criterion is profiled
    over beta and sigma and minimised over theta, the entries of the T_t (Bates et al. 2015, J. Stat. Softw. 67(1)).

    Parameters
    ----------
    y : (n,) array
        Response.
    X : (n, p) array, DataFrame or sparse matrix
        Fixed-effect columns; give the column of ones yourself. Columns that depend on earlier ones are dropped.
    terms : sequence of Term
        Random effects.
    method : str
        ``"REML"`` or ``"ML"``, in any case.
    REML : bool, optional
        The same in lme4's words: ``REML=False`` is ``method="ML"``.
    weights : (n,) array, optional
        Prior weights, positive: var(e_i) = sigma^2 / weights_i.
    offset : (n,) array, optional
        Known part of the mean.
    residual : RStructure or list of RStructure, optional
        Covariance among the residuals: :class:`mme.AR1`, :class:`mme.Exponential`, :class:`mme.Unstructured`, ...;
        a list of a correlation and a variance function is their product. Columns are arrays.
    sigma : float, optional
        Known residual standard deviation (sampling variances: ``sigma=1, weights=1/variance``).
    theta : (k,) array or mapping by name, optional
        Evaluate there without a search; parameters of a residual structure are searched still, unless they are given.
        The order and the names are those of :attr:`Fit.theta_names`.
    start : (k,) array or mapping by name, optional
        Theta of a similar fit, where the search begins if the criterion is lower there than at the estimates of moments
        that it begins with otherwise. The optimum is the same, reached in fewer evaluations from a point that is near.
    phi : mapping, optional
        Parameters of the residual structure that are known, ``{"rho": 0.5}``, by the names of :attr:`Fit.residual`;
        the others are estimated.
    hold : mapping, optional
        Parameters held at a value, the others estimated: variances ``V_g``, ``V_g.x`` and ``V_res``, ``sigma``,
        any name of :meth:`Fit.confint` (``"sd_(Intercept)|g"``, ``"rho|g"``), of :attr:`Fit.theta_names` (a standard
        deviation over sigma) or of :attr:`Fit.residual`; of unstructured terms of several coefficients none alone.
    bounds : mapping, optional
        Parameters kept between a lower and an upper bound, None for no bound on a side: ``{"rho": (0, 0.9),
        "V_g": (None, 2)}``, by the names of ``hold``. One that ends at a bound is named by ``fit.optimum``; standard
        errors of the others are those beside it there.
    search : str
        How the variances are searched: ``"derivative-free"`` by values of the criterion, ``"average-information"`` by
        its exact slopes and average information; ``"auto"`` takes the first for up to six parameters, for three where
        an evaluation takes long. The optimum is the same.
    engine : str
        ``"exact"`` factorises what is left after the largest factor is absorbed; ``"iterative"`` solves it by conjugate
        gradients and averages traces over random probes, for crossed factors beyond time or memory: variances are then
        within a stated share of their standard errors of the exact ones (``fit.engine``), and variances of random
        effects are not there. ``"auto"`` is exact where that is forecast to end.
    progress : bool or callable
        True shows a bar on stderr, or where nobody watches (a file, a pipe) one line per evaluation; a callable gets
        (evaluation, criterion, theta).

    Returns
    -------
    Fit

    Raises
    ------
    MMEError
        The input cannot be used; the message names the column or level and says what to do.

    Examples
    --------
    >>> import mme, numpy as np
    >>> data = mme.load("Dyestuff")
    >>> fit = mme.fit(data["Yield"], np.ones((30, 1)), [mme.Term(data["Batch"], name="Batch")])
    >>> round(fit.sigma, 2), round(float(fit.varcorr["Batch"].sd[0]), 2), round(fit.criterion, 4)
    (49.51, 42.0, 319.6543)
    """
    terms, residual = beside_errors(terms, residual)
    model = build_model(
        y,
        X,
        terms,
        method=method,
        REML=REML,
        weights=weights,
        offset=offset,
        residual=residual,
        sigma=sigma,
        phi=phi,
        hold=hold,
        bounds=bounds,
        engine=engine,
    )
    return Fit(fit_model(model, theta, start, progress, search=search))


@remembered
@explained
@told("the model was fitted")
def lmer(
    formula: str,
    data: Any,
    *,
    method: str = "REML",
    REML: bool | None = None,
    weights: Any = None,
    offset: Any = None,
    residual: Any = None,
    relationship: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    subset: Any = None,
    na_action: str = "drop",
    sigma: float | None = None,
    theta: Any = None,
    start: Any = None,
    phi: Mapping[str, float] | None = None,
    hold: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    search: str = "auto",
    engine: str = "auto",
    progress: Progress = False,
) -> Fit:
    """Fit a linear mixed model given by an lme4 formula; one without random terms is fitted by least squares.

    Parameters
    ----------
    formula : str
        As in lme4: ``"Reaction ~ Days + (Days | Subject)"``, ``(x || g)``, ``(1 | a/b)``, ``(1 | a:b)``,
        ``poly(x, 2)``, ``factor(x)``, ``log(y) ~ ...``, ``offset(z)``. ``(1 | str(animal, dam))`` is a coefficient for
        each column, correlated, on common levels (direct and maternal effects); a dam may be missing.
        ``cbind(y1, y2) ~ x + (1 | g)`` are several traits: the long form with a factor ``trait`` within every term.
    data : DataFrame, Polars or Arrow table, mapping of arrays, or chunks of such tables
        The columns that the formula names. A path (Parquet, CSV), an Arrow dataset or reader, a lazy Polars frame, a
        DuckDB relation, a Dask data frame, a list or an iterator of tables are read in chunks, and need memory by the
        number of levels: :class:`mme.CrossProducts`. Strings are factors with sorted levels; an ordered categorical is
        coded by polynomials, as in R. A matrix in a mapping is several columns under one name.
    method : str
        ``"REML"`` or ``"ML"``, in any case.
    REML : bool, optional
        The same in lme4's words: ``REML=False`` is ``method="ML"``.
    weights, offset : column name or array, optional
        Prior weights (var(e) = sigma^2 / w) and a known part of the mean.
    residual : RStructure or list of RStructure, optional
        Covariance among the residuals, columns by name: ``AR1("time", "Subject")``; see :func:`mme.fit`.
    relationship : mapping, optional
        Covariance among the levels of a grouping factor, by its name (a pedigree alone is that of the one factor whose
        levels it has); for ``str(animal, dam)`` that is ``"animal"``.
    contrasts : mapping, optional
        Codings of factors in the fixed part, by the factor's name: ``"treatment"``, ``"sum"``, ``"helmert"``,
        ``"poly"``, ``"SAS"``, ``"sdif"``, or a matrix of your own, one row per level in their order, or by label in a
        table or a mapping: ``{"dose": "helmert", "arm": {"a": -0.5, "b": 0.5}}``. As in lme4 the random part keeps
        its own: ``(C(f, contr.sum) || g)``.
    subset : text or array of booleans, optional
        Which rows to use: ``"Days >= 2"``, or a truth value a row. The others are as if they were not there: levels
        and means of transforms are those of the rows used. What comes back by row has all rows, NaN for these.
    na_action : str
        ``"drop"`` leaves rows with missing values out and counts them; ``"raise"`` refuses them.
    sigma, theta, start, phi, hold, bounds, search, engine, progress
        As in :func:`mme.fit`.

    Returns
    -------
    Fit

    Raises
    ------
    MMEError
        The formula does not parse (with a caret under the place), a column is missing or unusable.

    Examples
    --------
    >>> import mme
    >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    >>> fit.beta.round(3).to_dict()
    {'(Intercept)': 251.405, 'Days': 10.467}
    """
    from mme.api.streamed import fit_in_chunks, opened
    from mme.formula.design import design
    from mme.formula.lattices import with_errors, with_field
    from mme.formula.residual_columns import columns_read
    from mme.formula.traits import has_traits

    of_rows = {"weights": weights, "offset": offset, "subset": subset, "na_action": na_action, "contrasts": contrasts}
    how = {"method": method, "REML": REML, "sigma": sigma, "residual": residual, "phi": phi, "hold": hold}
    how |= {"bounds": bounds, "engine": engine}
    if has_traits(formula):
        how |= {"relationship": relationship, "theta": theta, "start": start, "search": search, "progress": progress}
        return _of_traits(formula, data, of_rows, how)
    if (chunks := opened(data)) is not None:
        how |= {"relationship": relationship, "theta": theta, "start": start, "search": search}
        return Fit(fit_in_chunks(chunks, formula, of_rows, progress, **how))
    began = perf_counter()
    formula, how["residual"], beside = with_field(formula, residual)
    reads = columns_read(how["residual"])
    parts = design(formula, data, relationship=relationship, also=reads, wide=residual is None, **of_rows)
    model = build_model(
        parts.y,
        parts.X,
        parts.terms if beside is None else with_errors(parts.terms, beside),
        weights=parts.weights,
        offset=parts.offset,
        column=parts.column,
        x_names=parts.x_names,
        response=parts.spec.response,
        weights_name=f"weights '{weights}'" if isinstance(weights, str) else "weights",
        **how,
    )
    designed = perf_counter() - began
    described = Rows(parts.kept, parts.index, parts.outside), formula, parts.spec
    del parts  # its columns are as large as the model's own, which are copies
    return Fit(fit_model(model, theta, start, progress, *described, formula_seconds=designed, search=search))


def _of_traits(formula: str, data: Any, of_rows: dict[str, Any], how: dict[str, Any]) -> Fit:
    """Fit several responses in wide form by the long one."""
    from mme.formula.traits import long_form

    if how["residual"] is not None:
        raise MMEError(
            "beside cbind() residuals are unstructured across the traits of a record; for another structure write the "
            "long form, with a factor of the traits"
        )
    long = long_form(formula, data, **{name: of_rows[name] for name in ("weights", "offset", "subset")})
    return lmer(long.formula, long.data, **of_rows, **(how | {"residual": long.residual}))


@explained
def objective(y: Any, X: Any, terms: Sequence[Term], **options: Any) -> Objective:
    """The criterion of ``mme.fit(y, X, terms, ...)`` as a function of theta, for tests and benchmarks.

    Takes the arrays and the ``method``, ``weights``, ``offset`` and ``sigma`` of :func:`mme.fit`, and a ``residual``
    structure whose parameters ``phi`` gives.

    Examples
    --------
    >>> import numpy as np, mme
    >>> y, g = np.array([1.0, 2.0, 4.0, 6.0]), ["a", "a", "b", "b"]
    >>> f = mme.objective(y, np.ones((4, 1)), [mme.Term(g)], method="ML")
    >>> n, rss = 4, ((y - y.mean()) ** 2).sum()
    >>> bool(np.isclose(f([0.0]), n * (1 + np.log(2 * np.pi * rss / n))))  # theta = 0 is ordinary least squares
    True
    """
    model = build_model(y, X, terms, **options)
    if model.residual is None:
        return Objective.of(model)
    if model.phi is None or np.isnan(model.phi).any():
        raise MMEError(
            "the objective is a function of theta: give all parameters of the residual structure, "
            f"phi={{{', '.join(f'{name!r}: ...' for name in model.residual.names)}}}"
        )
    return Objective.of(model, phi=model.phi)
