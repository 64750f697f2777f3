"""What a file holds is tried before a user gets it.

Its terms must be those of the formula, its columns must be computed for a row, and its text must print.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from itertools import combinations
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.files.kinds import require_numbers
from mme.files.witness import typical_columns
from mme.fitted.common import Record
from mme.formula.algebra import expand
from mme.formula.apart import as_written, at_level
from mme.formula.bar import Bar, of_levels
from mme.formula.bars import split
from mme.formula.lattices import as_chain
from mme.formula.specification import Specification
from mme.formula.syntax import Name, deparse, names_in
from mme.model.problem import Model
from mme.residual.ar1 import BoundAR1
from mme.residual.base import Bound
from mme.residual.exponential import BoundExponential
from mme.residual.occasions import OverOccasions
from mme.residual.product import Product

_FEW = 500  # records whose covariance is looked at as well
# Arrays of a structure that count from zero.
_COUNTED = ("codes", "occasions", "order", "starts", "sizes", "level", "cells")
_DOT = "."  # all other columns, which the formula does not name


def require_specification(spec: Any, formula: Any, model: Model) -> None:
    """Refuse a specification that is not of this formula, or whose columns are not those of the model.

    Raises
    ------
    MMEError
        It is not.
    """
    if spec is None and (formula is None or isinstance(formula, str)):
        return
    if not isinstance(spec, Specification) or formula != spec.formula:
        raise MMEError("the formula and what was learned of it do not belong together")
    parsed = split(spec.formula)
    own = len(model.x_names) - sum(groups.columns.stop - groups.columns.start for groups in model.unknown_parents)
    if (
        not _are_of(spec.bars, parsed.bars)
        or spec.response != deparse(parsed.response)
        or len(spec.column_terms) != own
    ):
        raise MMEError("what was learned of the formula is not of this formula")
    dotted = parsed.fixed is not None and _DOT in names_in(parsed.fixed)
    if not dotted and set(spec.fixed.terms) - set(expand(parsed.fixed, spec.formula).terms):
        raise MMEError("the fixed terms are not those of the formula")
    for bar, term in zip(spec.bars, model.terms, strict=True):
        levels = spec.levels.get(bar.name, np.zeros(0))
        if levels.ndim != 1 or levels.size == 0:
            raise MMEError(f"the levels of term '{term.name}' are missing")
    _require_columns(spec, model, own)


def _are_of(learned: tuple[Bar, ...], written: tuple[Bar, ...]) -> bool:
    """Whether these are the terms that a formula has, ``dsum()`` one a level."""
    whole = [as_written(bar) for bar in learned]
    levels = Counter(bar for bar, one in zip(whole, learned, strict=True) if one.level is not None)
    known = [next((one for one in _read_as(bar) if one in whole), bar) for bar in written]
    return Counter(whole) == Counter(one for bar in known for one in [bar] * (levels[bar] or 1)) and all(
        one.level is None or at_level(bar, one.level) == one for bar, one in zip(whole, learned, strict=True)
    )


def _read_as(bar: Bar) -> Iterator[Bar]:
    """What a bar may turn out to be where columns are numbers: a chain of times, levels."""
    names = [node for node in bar.left.variables if isinstance(node, Name)]
    yield as_chain(bar)
    if bar.levels:
        yield from (of_levels(bar, some) for m in range(1, 1 + len(names)) for some in combinations(names, m))


def _require_columns(spec: Specification, model: Model, own: int) -> None:
    """Make the columns of rows at which all is typical; where they cannot be made nothing is learned."""
    made = typical_columns(spec)
    if made is None:
        return
    if made["X"].shape[1] != own:
        raise MMEError(f"the formula makes {made['X'].shape[1]} columns, the model has {own}")
    for (_, _, covariates), term in zip(made["groups"], model.terms, strict=True):
        if (1 if covariates is None else covariates.shape[1]) != term.q:
            raise MMEError(f"the formula makes other columns of term '{term.name}' than the model has")


def require_structure(residual: Bound, n: int) -> None:
    """Refuse a residual structure whose parts do not belong together, or are not for n records.

    With W of its start and any a, b: W^-1 W a = a and (W a)'b = a'(W'b).

    Raises
    ------
    MMEError
        They do not.
    """
    if type(residual).__module__.startswith("mme."):  # of a user's own class nothing is known
        arrays = [(name, getattr(residual, name, None)) for name in ("codes", "times", "occasions", "logs")]
        require_numbers([(name, one, (n,)) for name, one in arrays if one is not None], "residual structure")
        _require_once(residual, n)
        _require_sizes(residual, n)
    x = residual.start()
    if x.size != residual.k:
        raise MMEError(f"the residual structure has {residual.k} names and {x.size} parameters")
    a, b = np.cos(np.arange(1.0, n + 1)), np.sin(np.arange(1.0, n + 1))
    whitened = residual.whiten(x, a[None, :])
    one, other = float(whitened[0] @ b), float(a @ residual.whiten_transposed(x, b[None, :])[0])
    back = residual.colour(x, whitened)
    if n <= _FEW:
        residual.covariance(x, np.arange(n))
    if not (np.allclose(back, a, atol=1e-6) and np.isclose(one, other, atol=1e-6 * n)):
        raise MMEError("the residual structure does not undo what it does")


def _require_sizes(residual: Bound, n: int) -> None:
    """Refuse codes that are no whole numbers from zero on, and parts that are of more records than the structure is."""
    for field in fields(residual):
        held = getattr(residual, field.name)
        for part in held if isinstance(held, tuple) else (held,):
            if field.name in _COUNTED and isinstance(part, np.ndarray):
                if part.dtype.kind != "i" or (part.size and int(part.min()) < 0):
                    raise MMEError(f"{field.name} of the residual structure are not numbered from 0")
            elif isinstance(part, Bound):
                if not (part.n == n if isinstance(residual, Product) else 0 < part.n <= n):
                    raise MMEError(f"a part of the residual structure is for {part.n} records, the model has {n}")
                _require_sizes(part, part.n)


def _require_once(residual: Any, n: int) -> None:
    """Refuse two records of a group at one time, where the structure has each once."""
    if isinstance(residual, OverOccasions):
        within = residual.occasions
    elif type(residual) in (BoundAR1, BoundExponential):
        within = residual.times
    else:
        return
    if len(set(zip(residual.codes.tolist(), within.tolist(), strict=True))) < n:
        raise MMEError("two records of a group of the residual structure have one time")


def require_readable(fit: Record) -> None:
    """Make what every reader of a fit sees first.

    Raises
    ------
    Exception
        Something in it is not what it should be.
    """
    fit.rows.aligned(fit.estimates.fitted, "fitted")
    str(fit.optimum), fit.varcorr, fit.fixed_names, fit.theta_names, fit.relationships
