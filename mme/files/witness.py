"""What a record says at a few rows: kept in its file, made again from what is read, and compared.

The table of a fit is not in its file, so that nothing else could tell whether a spline's knots, a factor's labels or
the codes of a residual structure are still those of the fit. A witness is what comes of them: the columns of rows at
which all is typical, whitened numbers, a few covariances, the natural parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.formula.specification import Specification
from mme.formula.syntax import Name, names_in
from mme.residual.base import Bound

_ROWS = 12  # labels of a factor that are looked at
_FEW = 500  # records whose covariance is looked at


def witness(fit: Record) -> dict[str, Any]:
    """What the formula makes of typical rows, and what the residual structure does to numbers."""
    model = fit.model
    spec, residual = fit.specification, model.residual
    return {
        "columns": typical_columns(spec) if isinstance(spec, Specification) else None,
        "residual": None if residual is None else _of_structure(residual, np.asarray(fit.optimum.phi, dtype=float)),
    }


def typical_columns(spec: Specification) -> dict[str, Any] | None:
    """The columns of rows at which all is typical; None where a column can be no number that is known."""
    rows = typical_rows(spec)
    if _unlearned(spec, rows):
        return None
    for given in (rows | _of_calls(spec, rows), rows):
        try:
            return _columns(spec, given)
        except MMEError:
            continue
    return None


def _columns(spec: Specification, rows: dict[str, list[Any]]) -> dict[str, Any]:
    made = spec.rows(rows)
    X = made.X.toarray() if hasattr(made.X, "toarray") else made.X
    groups = [[factor.codes.astype(np.int64), len(factor.categories), covariates] for factor, covariates in made.groups]
    return {"X": np.asarray(X, dtype=float), "offset": made.offset, "groups": groups}


def _of_calls(spec: Specification, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Labels, as the numbers that they spell, of columns that a function makes a factor of: ``factor(year)``."""
    most, found = max(map(len, rows.values()), default=1), dict[str, list[Any]]()
    for node, coding in (spec.codings | spec.bar_codings).items():
        names = names_in(node)
        if not isinstance(node, Name) and len(names) == 1 and coding.labels:
            labels = [_number(label) for label in coding.labels[:_ROWS]]
            most = max(most, len(labels))
            found[next(iter(names))] = labels
    longest = {name: [values[i % len(values)] for i in range(most)] for name, values in (rows | found).items()}
    return longest if found else {}


def _number(label: str) -> Any:
    try:
        return float(label)
    except ValueError:
        return label


def typical_rows(spec: Specification) -> dict[str, list[Any]]:
    """Rows of the columns that the formula names: each factor's first labels in turn, means, ones."""
    nodes = [*spec.fixed.variables, *spec.fixed.offsets]
    for bar in spec.bars:
        nodes += [*bar.left.variables, *bar.factors, *([] if bar.time is None else [bar.time])]
    names = set[str]().union(*map(names_in, nodes)) | {spec.offset_column, spec.exposure_column} - {None}
    row: dict[str, list[Any]] = {str(name): [spec.means.get(str(name), 1.0)] for name in sorted(map(str, names))}
    labelled = {node: coding.labels[:_ROWS] for node, coding in (spec.codings | spec.bar_codings).items()}
    row |= {node.value: list(first) for node, first in labelled.items() if isinstance(node, Name) and first}
    for bar in spec.bars:
        for part, levels in zip(bar.factors, spec.parts.get(bar.name, (spec.levels[bar.name],)), strict=False):
            if isinstance(part, Name):
                row[part.value] = list(levels[:_ROWS])
    most = max(map(len, row.values()), default=1)
    return {name: [values[i % len(values)] for i in range(most)] for name, values in row.items()}


def _unlearned(spec: Specification, rows: dict[str, list[Any]]) -> bool:
    """Whether a fixed column is neither a number whose mean is known nor a factor: several columns under one name."""
    labelled = set[str]().union(*map(names_in, spec.codings))
    fixed = set[str]().union(*map(names_in, spec.fixed.variables)) & set(rows)
    return bool(fixed - set(spec.means) - labelled)


def _of_structure(residual: Bound, phi: np.ndarray) -> dict[str, Any]:
    """W and R applied to numbers that no two records share, in a few numbers."""
    x, n = np.where(np.isfinite(phi), phi, 0.0), residual.n
    a, b = np.cos(np.arange(1.0, n + 1)), np.sin(np.arange(1.0, n + 1))
    whitened = residual.whiten(x, a[None, :])[0]
    return {
        "natural": np.asarray(residual.natural(x), dtype=float),
        "whitened": np.append(whitened[:_ROWS], whitened @ b),
        "logdet": float(residual.logdet(x)),
        "covariance": residual.covariance(x, np.arange(n)) @ a if n <= _FEW else None,
    }
