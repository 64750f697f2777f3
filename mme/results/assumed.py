"""Responses of a model whose parameters are assumed, not estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.covariance.triangle import lower_factor
from mme.errors import MMEError
from mme.model.problem import Model
from mme.results.simulate import RandomPart
from mme.tables.arguments import random_numbers
from mme.tables.arrays import numbers, shown


@dataclass(frozen=True, eq=False)
class Assumed:
    """A model at assumed beta (p,), of the columns of X that are ``kept``, theta (k,) and sigma."""

    model: Model
    beta: np.ndarray
    theta: np.ndarray
    sigma: float
    kept: np.ndarray

    def draws(self, nsim: int, seed: int | np.random.Generator | None) -> np.ndarray:
        """(n, nsim) responses X beta + Z b + e."""
        rng, model = random_numbers(seed), self.model
        mean = model.X[:, self.kept] @ self.beta
        mean = mean if model.offset is None else mean + model.offset
        z = rng.standard_normal((model.n, nsim))
        noise = z if model.root_weights is None else z / model.root_weights[:, None]
        out = mean[:, None] + self.sigma * noise
        return RandomPart(model, self.theta, self.sigma).add(out, rng)


def assumed(model: Model, names: tuple[str, ...], beta: Any, varcorr: Any, sigma: Any) -> Assumed:
    """Read assumed parameters: beta by ``names`` or in their order, covariances by term.

    Raises
    ------
    MMEError
        A fixed effect or a term has no value, or one that there is not has one.
    """
    if model.residual is not None:
        raise MMEError("responses of assumed parameters have independent residuals: leave residual= out")
    sd = numbers(sigma, "sigma")
    if sd.ndim or not (np.isfinite(sd) and sd > 0.0):
        raise MMEError(f"sigma must be a positive number, got {shown(sigma)}")
    kept = np.array([model.x_names.index(name) for name in names], dtype=np.int64)
    return Assumed(model, read_beta(beta, names), read_theta(model, varcorr, float(sd)), float(sd), kept)


def read_beta(given: Any, names: tuple[str, ...]) -> np.ndarray:
    """Read fixed effects (p,), given by name or in their order."""
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise MMEError(
                f"beta must have a value for each of {', '.join(map(repr, names))}; got {shown(list(given))}"
            )
        given = [given[name] for name in names]
    values = np.atleast_1d(numbers([] if given is None else given, "beta"))
    if values.shape != (len(names),) or not np.isfinite(values).all():
        raise MMEError(f"beta must be {len(names)} numbers ({', '.join(names)}), got {shown(values.tolist())}")
    return values


def read_theta(model: Model, varcorr: Any, sigma: float) -> np.ndarray:
    """Theta (k,) of covariances by term, in units of sigma."""
    given = {} if varcorr is None else varcorr
    names = [term.name for term in model.terms]
    if not isinstance(given, Mapping) or set(given) != set(names):
        raise MMEError(
            f"varcorr must have a value for each of {', '.join(map(repr, names)) or 'no term'}; got {shown(given)}"
        )
    pieces = []
    for term, part in zip(model.terms, model.structures, strict=True):
        if part.entries is None or part.q * (part.q + 1) // 2 < part.k:
            raise MMEError(f"term '{term.name}' is {part.kind}: assume unstructured or diagonal covariances")
        H = _covariance(given[term.name], term.name, term.columns) / sigma**2
        values, vectors = np.linalg.eigh(H)
        T = lower_factor(vectors * np.sqrt(np.maximum(values, 0.0)))
        rows, cols = part.entries
        theta = T[rows, cols]
        made = part.T(theta)
        if not np.allclose(made @ made.T, H, rtol=1e-8, atol=1e-10 * max(float(np.abs(H).max()), 1e-300)):
            raise MMEError(f"term '{term.name}' is {part.kind}, which has no such covariance")
        pieces.append(theta)
    return np.concatenate([np.zeros(0), *pieces])


def _covariance(given: Any, name: str, columns: tuple[str, ...]) -> np.ndarray:
    """The covariance matrix (q, q), which is given whole or by one standard deviation per column."""
    values, q = numbers(given, f"varcorr of '{name}'"), len(columns)
    if values.ndim == 0 and q == 1:
        values = values[None]
    if values.shape == (q,) and (values >= 0.0).all():
        return np.diag(values**2)
    square = values.shape == (q, q) and np.allclose(values, values.T)
    if not square or np.linalg.eigvalsh(values)[0] < -1e-9 * np.abs(values).max():
        raise MMEError(
            f"varcorr of '{name}' must be {q} standard deviations, at least 0 ({', '.join(columns)}), or their "
            f"covariance matrix, got {shown(values.tolist())}"
        )
    return values
