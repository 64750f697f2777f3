"""Whether the derivatives that a family gives are those of what it gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.family.base import Family, Observed
from mme.family.stencils import derivative, derivative_by

# Differences of functions that a user writes have six digits and more.
_AGREE = 1e-6
# A derivative that is a smaller share of its function is zero but for rounding.
_ROUNDING = 1e-4


def check_family(family: Family, y: Any, weights: Any = None, *, eta: Any = None, tau: Any = None) -> dict[str, float]:
    """Hold the derivatives that a family gives against differences of what they are derivatives of.

    Parameters
    ----------
    family : Family
        One's own, or any.
    y, weights : array
        Some records: a dozen of all kinds.
    eta : (n,) array, optional
        Linear predictors; else near ``family.first_eta``.
    tau : (r,) array, optional
        Coordinates of its parameters; else ``family.first_tau``.

    Returns
    -------
    dict
        For each derivative the largest difference over the records, as a share of the largest value.

    Raises
    ------
    MMEError
        Some differ; the message says which, and in which record most.

    Examples
    --------
    >>> from mme.family.poisson import Poisson
    >>> max(check_family(Poisson("sqrt"), [0, 1, 7]).values()) < 1e-9
    True
    """
    data = family.observe(y, weights, "y")
    eta = family.first_eta(data) + np.sin(np.arange(data.n)) / 4.0 if eta is None else np.array(eta, dtype=float)
    tau = family.first_tau(data, eta) if tau is None else np.array(tau, dtype=float)
    out, wrong = {}, []
    for name, got, want, of in _pairs(family, data, eta, tau):
        size = max(float(np.abs(want).max(initial=0.0)), _ROUNDING * float(np.abs(of).max(initial=0.0)), 1e-8)
        error = np.abs(np.asarray(got) - want) / size
        out[name] = float(error.max(initial=0.0))
        if not out[name] <= _AGREE:
            i = int(np.nanargmax(np.where(np.isnan(error), np.inf, error).ravel()))
            wrong.append(f"{name} (record {i}: {np.ravel(got)[i]:.8g}, by differences {np.ravel(want)[i]:.8g})")
    if wrong:
        raise MMEError(f"the family '{family.name}' contradicts itself in {'; '.join(wrong)}")
    return out


def _pairs(family: Family, data: Observed, eta: np.ndarray, tau: np.ndarray) -> Iterator[tuple[str, Any, Any, Any]]:
    """Name, what the family says, differences, and what these are of."""
    density = family.at(data, eta, tau)

    def part(name: str) -> Any:
        return lambda x: getattr(family.at(data, x, tau), name)

    yield "slope", density.slope, derivative(part("value"), eta), density.value
    yield "observed", density.observed, -derivative(part("slope"), eta), density.slope
    yield "observed_slope", density.observed_slope, derivative(part("observed"), eta), density.observed
    yield "expected_slope", density.expected_slope, derivative(part("expected"), eta), density.expected
    mean = family.mean(eta, tau)
    yield "mean_slope", family.mean_slope(eta, tau), derivative(lambda x: family.mean(x, tau), eta), mean
    for k, by in enumerate(density.by_parameters):
        for name in ("value", "slope", "observed", "expected"):

            def moved(at: np.ndarray, name: str = name) -> np.ndarray:
                return np.asarray(getattr(family.at(data, eta, at), name))

            yield f"{name} by tau[{k}]", getattr(by, name), derivative_by(moved, tau, k), moved(tau)
        natural = family.natural(tau)
        yield f"natural by tau[{k}]", family.natural_slope(tau)[:, k], derivative_by(family.natural, tau, k), natural
