"""A formula and a table in chunks -> a fit of their sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any

from mme.api.searching import fit_model
from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.model.problem import build_model
from mme.search.progress import Progress
from mme.streaming.compress import compress
from mme.streaming.layout import Options
from mme.streaming.opening import source_of
from mme.streaming.passes import printed
from mme.streaming.source import Again, TableSource
from mme.streaming.sums import Sums
from mme.tables.arrays import shown
from mme.tables.rows import Rows


def options_of(
    weights: Any = None, offset: Any = None, subset: Any = None, na_action: Any = "drop", contrasts: Any = None
) -> Options:
    """What is said of the data beside the formula.

    Raises
    ------
    MMEError
        An array is given where a column is needed: it has a value for each row of a table that is never whole.
    """
    for what, given in (("weights", weights), ("offset", offset), ("subset", subset)):
        if given is not None and not isinstance(given, str):
            raise MMEError(
                f"{what} of a table in chunks must be the name of a column, or an expression of columns; got "
                f"{shown(given)}"
            )
    if isinstance(na_action, Options):  # those of a fit whose records are asked for
        return Options(weights, offset, subset, na_action.na_action, contrasts, na_action.beside)
    if na_action not in ("drop", "raise"):
        raise MMEError(f'na_action must be "drop" or "raise", got {shown(na_action)}')
    return Options(weights, offset, subset, na_action, contrasts)


def opened(data: Any) -> TableSource | Sums | None:
    """Data in chunks, or the sums of some; None of a table that is there as a whole."""
    sums = getattr(data, "sums", None)
    return sums if isinstance(sums, Sums) else source_of(data)


def fit_in_chunks(
    chunks: TableSource | Sums, formula: str, options: Mapping[str, Any], progress: Progress, **how: Any
) -> Fitted:
    """Sum the chunks and fit the sums; fitted values and residuals stream over the chunks again."""
    began = perf_counter()
    _refuse_residual(how.pop("residual", None))
    if isinstance(chunks, Sums):
        _check_formula(formula, chunks)
        return fit_sums(chunks, progress=progress, **how)
    sums = chunks.sums(formula, options_of(**options), printed(began) if progress is True else None)
    fitted = fit_sums(sums, progress=progress, seconds=perf_counter() - began, **how)
    return replace(fitted, source=Again(chunks, sums.layout))


def _check_formula(formula: str, sums: Sums) -> None:
    if "".join(formula.split()) != "".join(sums.layout.formula.split()):
        raise MMEError(
            f"the cross-products are of '{sums.layout.formula}', and the formula is '{formula}': sum the chunks by it, "
            "mme.CrossProducts.from_chunks"
        )


def fit_sums(
    sums: Sums,
    *,
    method: str = "REML",
    REML: bool | None = None,
    relationship: Any = None,
    sigma: float | None = None,
    theta: Any = None,
    start: Any = None,
    phi: Mapping[str, float] | None = None,
    hold: Mapping[str, float] | None = None,
    bounds: Any = None,
    search: str = "auto",
    engine: str = "auto",
    progress: Progress = False,
    seconds: float = 0.0,
) -> Fitted:
    """Fit the model whose rows are the triangles of the sums."""
    began = perf_counter()
    made, layout = compress(sums, relationship), sums.layout
    model = build_model(
        made.y,
        made.X,
        made.terms,
        method=method,
        REML=REML,
        sigma=sigma,
        phi=phi,
        hold=hold,
        bounds=bounds,
        engine=engine,
        x_names=layout.x_names,
        response=made.spec.response,
        compressed=made.compressed,
    )
    rows = replace(Rows.all(model.n), dropped=sums.counts.dropped)
    seconds += perf_counter() - began
    described = rows, layout.formula, made.spec
    return fit_model(model, theta, start, progress, *described, formula_seconds=seconds, search=search)


def _refuse_residual(residual: Any) -> None:
    if residual is not None:
        raise MMEError(
            "residual= of a table in chunks is not there: a structure relates a record to others, that may be in "
            "another chunk, so that records do not add up by level; fit it to a table in memory"
        )
