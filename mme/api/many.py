"""One model for many responses, by a formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mme.api.fitting import lmer
from mme.errors import FormulaError, MMEError
from mme.fitted.natural import natural_names
from mme.fitted.record import Fitted
from mme.formula.design import CodedRows
from mme.inference.fixed.methods import ddf_method
from mme.inference.responses.blocks import blocks_of
from mme.inference.responses.fits import ManyFits
from mme.inference.responses.fitter import ManyFitter, contrast_rows
from mme.numeric.bars import Progress, reporter
from mme.numeric.limits import limits
from mme.numeric.noise import noise
from mme.numeric.processors import processors
from mme.tables.arguments import count
from mme.tables.arrays import numbers, shown
from mme.tables.calls import explained
from mme.tables.frame import Frame

# Responses that are fitted before progress is told, and that an interruption loses at the most.
_TOGETHER = 2000


@explained
def lmer_many(
    formula: str,
    data: Any,
    responses: Any,
    *,
    method: str = "REML",
    REML: bool | None = None,
    ddf: str = "satterthwaite",
    contrasts: Mapping[str, Mapping[str, float]] | None = None,
    weights: Any = None,
    workers: int | None = None,
    progress: Progress = False,
    **options: Any,
) -> ManyFits:
    r"""Fit one mixed model to each of many responses: genes, voxels, metabolites, time points.

    What the responses share (levels, cross-products, the basis of X) is made once for each pattern of missing values;
    each response is then searched by compiled Newton steps to the optimum that :func:`mme.lmer` finds for it.

    Parameters
    ----------
    formula : str
        The right side of the model, ``"~ group + (1 | donor)"``.
    data : data frame or mapping
        Covariates and grouping factors, one row per sample.
    responses : (n, m) array, sparse matrix, frame, AnnData, iterator of these, or list of columns of ``data``
        One column per response, one row per sample in the order of ``data``; NaN where a value is missing. A mapping
        has one column per name. A memory map is read block by block. An interruption keeps what is done. An effect that
        the samples of a response do not determine (it misses a level) is NaN.
    method, REML
        As in :func:`mme.lmer`.
    ddf : str
        ``"satterthwaite"``, ``"kenward-roger"`` (each response then takes some milliseconds) or ``"none"``.
    contrasts : mapping, optional
        Combinations of fixed effects to be tested too: ``{"b - c": {"groupb": 1, "groupc": -1}}``.
    weights : str, (n,) array or (n, m) array, optional
        Prior weights: of the samples, or of each value (precision weights of counts; each response then takes some
        milliseconds).
    workers : int, optional
        Threads; None: one a processor. Results do not depend on it.
    progress : bool or callable
        True draws a bar on stderr; a callable gets (responses done, m), m None of an iterator.
    **options
        ``relationship``, ``contrasts`` of factors and others of :func:`mme.lmer` that all responses share.

    Returns
    -------
    ManyFits
        Tables with one row per response: ``estimate``, ``se``, ``df``, ``t``, ``p``, ``variances``, ``fits``;
        ``test(name)`` adjusts p-values over the responses, and squeezes variances by ``moderate=True``.

    Raises
    ------
    FormulaError
        The formula has a left side.
    MMEError
        Responses do not have one row per sample. A response that cannot be fitted is no error, but has a reason in
        ``failures``.

    Examples
    --------
    >>> import mme, numpy as np
    >>> rng = np.random.default_rng(1)
    >>> data = {"group": np.repeat(["a", "b"], 12), "donor": np.repeat(np.arange(8), 3)}
    >>> donors = rng.normal(size=(8, 500))[np.repeat(np.arange(8), 3)]
    >>> Y = donors + rng.normal(size=(24, 500))
    >>> Y[12:, :50] += 4.0
    >>> many = mme.lmer_many("~ group + (1 | donor)", data, Y)
    >>> many
    500 fits: 23 singular, 0 failed; tests of (Intercept), groupb by satterthwaite
    >>> found = many.test("groupb", moderate=True)
    >>> bool((found["p_adjusted"][:50] < 0.05).mean() > 0.9), bool((found["p_adjusted"][50:] < 0.05).mean() < 0.02)
    (True, True)
    """
    if not isinstance(formula, str) or formula.split("~")[0].strip():
        raise FormulaError(f"lmer_many takes the right side of a formula, '~ x + (1 | g)'; got {shown(formula)}")
    table = Frame(data)
    name = _unlike("response", table.names)
    columns = {one: table.raw(one) for one in table.names}
    by_value = weights is not None and not isinstance(weights, str) and np.ndim(weights) == 2
    shared = None if by_value else weights

    given = {"method": method, "REML": REML, "weights": shared, "na_action": "drop", **options}

    def fitted(there: np.ndarray, na_action: Any) -> Fitted:
        y = np.where(there, noise(table.n), np.nan)
        call = given | {"na_action": na_action}
        return lmer(f"`{name}` {formula.strip()}", columns | {name: y}, **call).internals

    whole = fitted(np.ones(table.n, dtype=bool), given["na_action"])
    coded = CodedRows.of(whole.rows, whole.specification) if given["na_action"] == "drop" else given["na_action"]
    if whole.model.held is not None or whole.model.bounds is not None or (whole.theta_given and whole.model.k > 0):
        raise MMEError("lmer_many estimates the variances of each response: leave theta=, hold= and bounds= out")
    threads = processors() if workers is None else count(workers, "workers")
    table.check_order(weights, "weights")
    each = _weights(weights, table.n) if by_value else None
    tests = contrast_rows(contrasts, whole)
    fitter = ManyFitter(lambda there: fitted(there, coded), whole, tests, ddf_method(ddf), threads, each)
    size = min(_TOGETHER, max(1, limits().response_numbers // table.n))
    responses = _named(responses, table)
    blocks = blocks_of(responses, table, size)
    found, names, failures = fitter.each(blocks, reporter("responses", _total(responses), progress))
    failures = {
        place: reason.replace(f"response '{name}'", f"response {shown(names[place])}")
        for place, reason in failures.items()
    }
    labels = (*whole.fixed_names, *(contrasts or {}))
    return ManyFits(names, labels, natural_names(whole.model), fitter.ddf, failures, found)


def _named(responses: Any, table: Frame) -> Any:
    """The columns of the data that a list of names stands for; anything else as it is."""
    if not (isinstance(responses, list | tuple) and responses and all(isinstance(one, str) for one in responses)):
        return responses
    for one in responses:
        if one not in table:
            raise MMEError(f"responses: there is no column '{one}' in the data ({', '.join(table.names)})")
    return {one: table.raw(one) for one in responses}


def _unlike(name: str, names: Any) -> str:
    return name if name not in names else _unlike(name + "_", names)


def _total(responses: Any) -> int | None:
    """Responses in all; None of an iterator, of which nobody knows."""
    shape = getattr(responses, "shape", None)
    return int(shape[1]) if shape is not None and len(shape) == 2 else None


def _weights(weights: Any, rows: int) -> np.ndarray:
    values = numbers(weights, "weights")
    if len(values) != rows or not (values[np.isfinite(values)] > 0.0).all():
        raise MMEError(f"weights must be positive, a row for each of the {rows} rows of the data, a column a response")
    return values
