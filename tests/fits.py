"""A fit moved to other parameters than those that its search found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

import mme
from mme.search.verdict import Optimum


def judged(fit: mme.Fit, optimum: Optimum) -> mme.Fit:
    """The fit with another optimum."""
    return replace(fit, internals=replace(fit.internals, optimum=optimum))


def at(fit: mme.Fit, x: np.ndarray) -> mme.Fit:
    """The fit at other theta, or at other (theta, phi)."""
    record = fit.internals
    theta, phi = np.split(np.asarray(x, dtype=float), [record.theta.size])
    objective = record.objective.at(phi) if phi.size else record.objective
    return replace(fit, internals=replace(record, optimum=replace(record.optimum, theta=theta), objective=objective))
