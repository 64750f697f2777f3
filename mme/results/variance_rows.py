"""Standard deviations, correlations and other variance parameters as rows: estimates, standard errors, intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.fitted.natural import residual_names
from mme.fitted.record import Fitted
from mme.fitted.varcorr import components
from mme.model.problem import Model
from mme.numeric.delta import bounded, unbounded
from mme.results.components import accuracy

_SD, _CORRELATION = (0.0, np.inf), (-1.0, 1.0)


@dataclass(frozen=True, eq=False)
class VarianceRows:
    """One row per variance parameter: its group and term, estimate, standard error and interval, each (m,)."""

    group: np.ndarray
    term: np.ndarray
    estimate: np.ndarray
    std_error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def variance_rows(fit: Fitted, z: float) -> VarianceRows:
    """Rows of the random terms, of relationships with parameters, of the residual structure, and sigma.

    An interval is the estimate plus and minus ``z`` standard errors on the scale on which a parameter has no bounds:
    the logarithm of a standard deviation, Fisher's z of a correlation.
    """
    labels = _labels(fit)
    low, high = np.array([bounds for _, _, bounds in labels]).T

    def values(theta: np.ndarray, phi: np.ndarray, sigma: float) -> np.ndarray:
        return _values(fit.model, theta, phi, sigma)

    def scaled(theta: np.ndarray, phi: np.ndarray, sigma: float) -> np.ndarray:
        return unbounded(values(theta, phi, sigma), low, high)

    estimate = values(fit.theta, fit.optimum.phi, fit.sigma)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = fit.once(accuracy).standard_errors(values)
        half = z * fit.once(accuracy).standard_errors(scaled)
        middle = unbounded(estimate, low, high)
        lower, upper = bounded(middle - half, low, high), bounded(middle + half, low, high)
    group, term = (np.array([label[i] for label in labels], dtype=object) for i in (0, 1))
    return VarianceRows(group, term, estimate, error, lower, upper)


def _labels(fit: Fitted) -> list[tuple[str, str, tuple[float, float]]]:
    """Group, term and bounds of each row."""
    rows = random_labels(fit.model)
    if (structure := fit.model.residual) is not None:
        names = residual_names(fit.model, fit.fixed_names)
        rows += [("residual", name, pair) for name, pair in zip(names, structure.bounds, strict=True)]
    return [*rows, ("residual", "sd", _SD)]


def random_labels(model: Model) -> list[tuple[str, str, tuple[float, float]]]:
    """Labels of the rows of the random terms, and of relationships with parameters."""
    rows = list[tuple[str, str, tuple[float, float]]]()
    for t, (term, part) in enumerate(zip(model.terms, model.structures, strict=True)):
        names = model.coefficient_names(t)
        rows += [(term.name, f"sd {name}", _SD) for name in names]
        pairs = zip(*np.triu_indices(len(names), 1), strict=True) if part.correlated else ()
        rows += [(term.name, f"cor {names[j]}, {names[i]}", _CORRELATION) for j, i in pairs]
    for term, part in zip(model.terms, model.structures, strict=True):
        if (process := part.relationship) is not None:
            rows += [(term.name, name, pair) for name, pair in zip(process.names, process.bounds, strict=True)]
    return rows


def _values(model: Model, theta: np.ndarray, phi: np.ndarray, sigma: float) -> np.ndarray:
    """The values of all rows, in their order."""
    values = random_values(model, theta, sigma)
    if model.residual is not None:
        values += model.residual.natural(phi).tolist()
    return np.array([*values, sigma])


def random_values(model: Model, theta: np.ndarray, sigma: float = 1.0) -> list[float]:
    """The values of :func:`random_labels`."""
    values = list[float]()
    for one, part in zip(components(model, theta, sigma).values(), model.structures, strict=True):
        values += one.sd.tolist()
        if part.correlated:
            values += one.corr.T[np.triu_indices(len(one.names), 1)].tolist()
    for part, piece in zip(model.structures, model.split(theta), strict=True):
        if part.relationship is not None:
            values += part.relationship.natural(part.coordinates(piece)).tolist()
    return values
