"""Theta as a user gives it: to be evaluated there, or for a search to begin there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.model.problem import Model
from mme.tables.arrays import numbers, shown


def given_theta(given: Any, model: Model, what: str) -> np.ndarray:
    """Theta (k,) from an array in the order of ``model.theta_names``, or from a mapping by these names.

    Raises
    ------
    MMEError
        A parameter is missing, there is one that the model has not, or a value is not finite; ``what`` is the argument.
    """
    names = model.theta_names
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise MMEError(
                f"{what} must have a number for each of {', '.join(map(repr, names))}, got {shown(list(given))}"
            )
        given = [given[name] for name in names]
    values = np.zeros(0) if given is None else np.atleast_1d(numbers(given, what))
    if values.shape != (model.k,) or not np.isfinite(values).all():
        raise MMEError(f"{what} must be {model.k} finite numbers ({', '.join(names)}), got {shown(values.tolist())}")
    return values
