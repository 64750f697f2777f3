"""Bars, their columns and their grouping factors -> the random terms of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.algebra import Terms
from mme.formula.along import Sequences, in_sequence
from mme.formula.apart import column_names, term_name
from mme.formula.bar import Bar
from mme.formula.columns import INTERCEPT, Coded, Matrix, Variable, build, build_long
from mme.formula.groups import Groups
from mme.formula.nesting import called_as
from mme.formula.syntax import Node, deparse
from mme.model.term import Term, renamed
from mme.numeric.long_columns import LongColumns, whole_of
from mme.tables.frame import Factor


def random_terms(
    groups: Groups, variables: Mapping[Node, Variable], along: Sequences, made: dict[Terms, Matrix]
) -> tuple[Term, ...]:
    """The random terms; columns that are ``made``, as those of the fixed part may be, are taken as they are."""
    factors = groups.factors
    for name in groups.related:
        if name not in factors:
            known = ", ".join(f"'{factor}'" for factor in factors) or "none"
            raise MMEError(f"relationship is given for '{name}', but the formula's grouping factors are {known}")
    terms = []
    for bar in groups.bars:
        factor = factors[bar.name]
        basis = in_sequence(bar, _basis(bar.left, variables, factor.codes.shape[-1], made), along)
        basis = replace(basis, names=column_names(bar, basis.names))
        if bar.together:
            factor = Factor(np.repeat(factor.codes, len(basis.names), axis=0), factor.categories)
        term = Term(
            factor,
            side_by_side(basis, bar) if bar.together else covariates_of(basis),
            name=bar.name,
            covariance=_shared(bar, basis, variables),
            relationship=groups.related.get(bar.name),
            columns=_repeated_names(basis, bar) if bar.together else basis.names,
        )
        terms.append(term.renamed(term_name(bar)))
    return renamed(terms)


def _basis(left: Terms, variables: Mapping[Node, Variable], n: int, made: dict[Terms, Matrix]) -> Matrix:
    """The columns left of a bar; a constant alone takes no memory."""
    if left == Terms(True, ()):
        return Matrix(np.broadcast_to(1.0, (n, 1)), (INTERCEPT,), (INTERCEPT,))
    if left not in made:
        by_columns = [matrix for matrix in made.values() if isinstance(matrix.values, LongColumns)]
        if by_columns and not any(isinstance(variables[node], Coded) for node in left.variables):
            made[left] = build_long(left, variables, n, by_columns)
        else:
            made[left] = build(left, variables, n)
    return made[left]


def covariates_of(basis: Matrix) -> Any:
    """The columns of a basis (n, q), by columns where it is; None of a random intercept alone."""
    return None if basis.names == (INTERCEPT,) else basis.values


def side_by_side(basis: Matrix, bar: Bar) -> np.ndarray:
    """The basis (n, r) for each of the columns of ``str()``, side by side, times its weight."""
    return np.hstack([weight * whole_of(basis.values) for weight in bar.weights])


def _shared(bar: Bar, basis: Matrix, variables: Mapping[Node, Variable]) -> str:
    """The word of a covariance: of a product of two structures, and of columns that share coefficients."""
    r = len(basis.names)
    if bar.products:
        return _product(bar, variables)
    if len(set(bar.shares)) == len(bar.shares):
        return bar.covariance
    of = [share * r + b for share in bar.shares for b in range(r)]
    return f"shared {','.join(map(str, of))} {bar.covariance}"


def _product(bar: Bar, variables: Mapping[Node, Variable]) -> str:
    """``product 2 unstructured x 3 cs``: the columns of the first factor change fastest."""
    sizes = []
    for kind, node in bar.products:
        variable = variables[node]
        if not isinstance(variable, Coded):
            raise MMEError(
                f"'{bar.name}': '{deparse(node)}' holds numbers, and a product takes the levels of a factor; make its "
                "column text first"
            )
        sizes.append(f"{len(variable.coding.labels)} {kind}")
    return f"product {' x '.join(sizes)}"


def _repeated_names(basis: Matrix, bar: Bar) -> list[str]:
    """``animal``, ``dam`` for an intercept alone, else ``animal:x``."""
    alone = basis.names == (INTERCEPT,)
    called = [called_as(factor) for factor in bar.factors]
    if not any(bar.shares):  # overlay() alone: one coefficient, as of one column
        more = [f"{name}.{f}" for f in range(1, len(called)) for name in basis.names]
        return [*basis.names, *more]
    return [factor if alone else f"{factor}:{name}" for factor in called for name in basis.names]
