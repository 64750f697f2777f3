"""All parameters of a model by name: theta and sigma as standard deviations and correlations, phi or tau, beta."""

from __future__ import annotations

import numpy as np

from mme.model.named import natural_names as names_of_terms
from mme.model.problem import Model
from mme.tables.names import unlike


def natural_names(model: Model) -> tuple[str, ...]:
    """lme4's names in the order of theta, then sigma: ``sd_x|g``, ``cor_x2.x1|g``, ``sigma``.

    ``sd|g`` is one standard deviation for all columns, ``rho|g`` the parameter of a pattern of correlations.
    """
    names = _random_names(model)
    return (*names, "sigma") if model.estimates_sigma else names


def _random_names(model: Model) -> tuple[str, ...]:
    return names_of_terms(model.terms, model.structures)


def _random_values(model: Model, theta: np.ndarray, sigma: float) -> list[np.ndarray]:
    return [part.natural(piece, sigma) for part, piece in zip(model.structures, model.split(theta), strict=True)]


def generalised_names(model: Model, of_family: tuple[str, ...], fixed_names: tuple[str, ...]) -> tuple[str, ...]:
    """All parameters of a generalised model: of the random effects, of the family, then the fixed effects."""
    own = [f"{name}|family" if name in fixed_names else name for name in of_family]
    return (*unlike([*_random_names(model), *own], fixed_names), *fixed_names)


def generalised_values(model: Model, theta: np.ndarray, of_family: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """The values of :func:`generalised_names`, theta absolute."""
    return np.concatenate([*_random_values(model, theta, 1.0), of_family, beta])


def natural_values(model: Model, theta: np.ndarray, sigma: float) -> np.ndarray:
    """The values of :func:`natural_names`; NaN for a correlation with a standard deviation of zero."""
    return np.concatenate([*_random_values(model, theta, sigma), [sigma] if model.estimates_sigma else []])


def parameter_names(model: Model, fixed_names: tuple[str, ...]) -> tuple[str, ...]:
    """All parameters: :func:`natural_names`, those of the residual structure, then the fixed effects.

    ``sigma`` and a parameter of the residual structure are ``rho|residual`` where a fixed effect has the name.
    """
    structure = () if model.residual is None else model.residual.names
    own = [f"{name}|residual" if name in fixed_names else name for name in (*natural_names(model), *structure)]
    return (*unlike(own, fixed_names), *fixed_names)


def parameter_bounds(model: Model) -> tuple[tuple[float, float], ...]:
    """What values the parameters of :func:`natural_names` can take."""
    found = covariance_bounds(model)
    return (*found, (0.0, np.inf)) if model.estimates_sigma else found


def covariance_bounds(model: Model) -> tuple[tuple[float, float], ...]:
    """What values standard deviations and correlations can take."""
    return tuple(pair for part in model.structures for pair in part.natural_bounds)


def residual_names(model: Model, fixed_names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the residual structure's parameters, as :func:`parameter_names` has them."""
    names = parameter_names(model, fixed_names)
    count = 0 if model.residual is None else model.residual.k
    end = len(names) - len(fixed_names)
    return names[end - count : end]


def parameter_values(model: Model, theta: np.ndarray, phi: np.ndarray, sigma: float, beta: np.ndarray) -> np.ndarray:
    """The values of :func:`parameter_names`."""
    residual = np.zeros(0) if model.residual is None else model.residual.natural(phi)
    return np.concatenate([natural_values(model, theta, sigma), residual, beta])
