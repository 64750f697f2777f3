r"""Marginal means of factors (least-squares means) and their pairwise comparisons.

A mean is l'beta with l the average of the rows of X over a reference grid: every combination of the levels of the
factors in the fixed part, with equal weights, and covariates at the means of their columns, a transform at f(mean(x))
(Searle, Speed and Milliken 1980, Amer. Statist. 34:216; Lenth's emmeans). Random effects and offsets are at zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri, stdtrit

from mme.errors import MMEError
from mme.evaluate import names_in
from mme.inference.contrasts import Reference, reference, t_table
from mme.inference.grid import all_cells, grid_rows
from mme.syntax import Node, deparse

if TYPE_CHECKING:
    import pandas as pd

    from mme.fit import Fit
    from mme.formula import Specification

_ADJUSTMENTS = ("tukey", "bonferroni", "none")


@dataclass(frozen=True, eq=False)
class Means:
    """Rows ``L`` (m, columns of X) of the marginal means, their levels, and which factors, of these the first by."""

    L: np.ndarray
    levels: tuple[tuple[str, ...], ...]
    names: tuple[str, ...]
    n_by: int


def means_table(fit: Fit, means: Means, ddf: str, level: float) -> pd.DataFrame:
    """``mean, se, df, lower, upper``, one row a combination of levels; NaN where the data do not determine it."""
    import pandas as pd

    if not 0.0 < level < 1.0:
        raise MMEError(f"level must lie between 0 and 1, got {level!r}")
    table = _tested(fit, means.L, reference(fit, ddf)).drop(columns=["t", "p"])
    df = table["df"].to_numpy()
    half = np.where(np.isinf(df), ndtri(0.5 + level / 2.0), stdtrit(df, 0.5 + level / 2.0)) * table["se"]
    table = table.rename(columns={"estimate": "mean"}).assign(
        lower=table["estimate"] - half, upper=table["estimate"] + half
    )
    if len(means.names) == 1:
        index: pd.Index = pd.Index([labels[0] for labels in means.levels], name=means.names[0])
    else:
        index = pd.MultiIndex.from_tuples(means.levels, names=means.names)
    return table.set_axis(index)


def pairs_table(fit: Fit, means: Means, ddf: str, adjust: str) -> pd.DataFrame:
    """``estimate, se, df, t, p`` of all differences of two means at the same levels of the by factors.

    ``adjust`` is for the differences of one family: Tukey's studentised range, Bonferroni's factor, or none.
    """
    import pandas as pd

    if adjust not in _ADJUSTMENTS:
        raise MMEError(f"adjust must be one of {', '.join(map(repr, _ADJUSTMENTS))}, got {adjust!r}")
    families: dict[tuple[str, ...], list[int]] = {}
    for row, labels in enumerate(means.levels):
        families.setdefault(labels[: means.n_by], []).append(row)
    pairs = [(by, i, j) for by, members in families.items() for i, j in combinations(members, 2)]
    if not pairs:
        raise MMEError(f"there are no two levels of {', '.join(means.names[means.n_by :])} to compare")
    differences = np.array([means.L[i] - means.L[j] for _, i, j in pairs])
    table = _tested(fit, differences, reference(fit, ddf))
    table["p"] = _adjusted(table, len(next(iter(families.values()))), adjust)
    names = [" - ".join(" ".join(means.levels[row][means.n_by :]) for row in pair) for _, *pair in pairs]
    if not means.n_by:
        return table.set_axis(pd.Index(names, name="contrast"))
    index = [(*by, name) for (by, _, _), name in zip(pairs, names, strict=True)]
    return table.set_axis(pd.MultiIndex.from_tuples(index, names=[*means.names[: means.n_by], "contrast"]))


def marginal_means(
    fit: Fit, factors: str | Sequence[str], by: str | Sequence[str], at: Mapping[str, float] | None
) -> Means:
    """Average the reference grid over all factors but these.

    Raises
    ------
    MMEError
        The fit is not by formula, a name is no factor of its fixed part, or a covariate's value is not known.
    """
    spec = fit.specification
    if spec is None:
        raise MMEError("marginal means need a fit by formula (mme.lmer), which knows the factors; see contrast()")
    wanted = [*_names(by), *_names(factors)]
    nodes = [_factor(spec, name) for name in wanted]
    if len(set(nodes)) < len(nodes) or not _names(factors):
        raise MMEError(f"name each factor once, and at least one: got {wanted}")
    codes = all_cells(spec)
    at = {str(name): float(value) for name, value in (at or {}).items()}
    _check_covariates(spec, at)
    X = grid_rows(spec, codes, at)
    labels = [spec.codings[node].labels for node in nodes]
    cell = np.ravel_multi_index([codes[node] for node in nodes], [len(one) for one in labels])
    levels = tuple(product(*labels))
    L = np.zeros((len(levels), X.shape[1]))
    np.add.at(L, cell, X)
    of_groups = fit.model.X[:, fit.model.p_given :].mean(axis=0)  # of unknown parents: covariates, at their mean
    L = np.hstack([L * (len(levels) / len(X)), np.tile(of_groups, (len(L), 1))])
    return Means(L, levels, tuple(wanted), len(_names(by)))


def _names(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _factor(spec: Specification, name: str) -> Node:
    """The factor of the fixed part that is written so, or the only one made of this column."""
    factors = [node for node in spec.fixed.variables if node in spec.codings]
    exact = [node for node in factors if deparse(node) == name]
    found = exact or [node for node in factors if name in names_in(node)]
    if len(found) != 1:
        known = ", ".join(f"'{deparse(node)}'" for node in factors) or "none"
        raise MMEError(f"'{name}' is not a factor of the fixed part; its factors are {known}")
    return found[0]


def _check_covariates(spec: Specification, at: Mapping[str, float]) -> None:
    covariates = [node for node in spec.fixed.variables if node not in spec.codings]
    known = {name for node in covariates for name in [deparse(node), *names_in(node)]} | set(spec.means)
    unknown = [name for name in at if name not in known]
    if unknown:
        listed = ", ".join(sorted(known)) or "none"
        raise MMEError(f"at: {', '.join(map(repr, unknown))} is no covariate of the fixed part; they are {listed}")


def _tested(fit: Fit, L: np.ndarray, to: Reference) -> pd.DataFrame:
    """The t tests of rows on all columns of X; NaN in rows that cannot be estimated."""
    known = fit.aliasing.estimable(L)
    table = t_table(to, L[known][:, fit.objective.basis.kept], 0.0, np.flatnonzero(known))
    return table.reindex(range(len(L)))


def _adjusted(table: pd.DataFrame, n_means: int, adjust: str) -> np.ndarray:
    p = table["p"].to_numpy()
    if adjust == "none" or n_means < 3:
        return p
    if adjust == "bonferroni":
        return np.minimum(p * (n_means * (n_means - 1) / 2), 1.0)
    from scipy.stats import studentized_range

    q = np.sqrt(2.0) * np.abs(table["t"].to_numpy())
    return np.asarray(studentized_range.sf(q, n_means, table["df"].to_numpy()))
