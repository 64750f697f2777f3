"""Parameters of a fit of which some are not determined: what is asked of the rest is asked of the fit without them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.errors import warn
from mme.fitted.natural import parameter_bounds, parameter_names
from mme.fitted.record import Fitted


@dataclass(frozen=True, eq=False)
class AllParameters:
    """All parameters of a fit, by name, in the order of :func:`mme.fitted.natural.parameter_names`.

    Attributes
    ----------
    names : tuple of str
    open : (P,) bool
        Which are not determined.
    places : array of int
        Where the parameters of ``fit.determined`` stand among them.
    bounds : tuple of (float, float)
        Of the natural parameters, and of sigma.
    """

    names: tuple[str, ...]
    open: np.ndarray
    places: np.ndarray
    bounds: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, fit: Fitted) -> AllParameters:
        """Describe a fit; one whose parameters are all determined is its own."""
        names = parameter_names(fit.model, fit.fixed_names)
        held = np.isnan(fit.optimum.gradient[: fit.model.k]) if fit.determined is not fit else np.zeros(fit.model.k)
        places = np.concatenate([np.flatnonzero(held == 0.0), np.arange(fit.model.k, len(names))])
        marked = fit.optimum.open[: fit.model.k + int(fit.model.estimates_sigma)]
        open_ = np.append(marked, np.zeros(len(names) - marked.size, dtype=bool))
        return cls(names, open_, places, parameter_bounds(fit.model))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values (..., P of the determined fit) for all names, NaN for those that are not determined."""
        out = np.full((*values.shape[:-1], len(self.names)), np.nan)
        out[..., self.places] = values
        out[..., self.open] = np.nan
        return out

    def warn(self, fit: Fitted, what: str) -> None:
        """Say which parameters have no value, in the words of the optimum."""
        if self.open.any():
            names = ", ".join(name for name, is_open in zip(self.names, self.open.tolist(), strict=True) if is_open)
            warn(f"{what} {names}: {'; '.join(fit.optimum.undetermined)}")
