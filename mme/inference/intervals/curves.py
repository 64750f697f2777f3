"""Profiles as they are kept: zeta of each parameter at its knots, and what is read off them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from mme.errors import MMEError
from mme.numeric.interpolate import first_reached, monotone
from mme.tables.arguments import check_level
from mme.tables.names import unlike

if TYPE_CHECKING:
    import pandas as pd

# Zeta falls where it is smaller than before by more than this.
_TURNS = 1e-4


@dataclass(frozen=True, eq=False)
class Curve:
    """Zeta of one parameter at knots, in increasing order of the value.

    Attributes
    ----------
    name : str
        The parameter.
    estimate : float
        Where zeta is zero: the ML estimate.
    bounds : (float, float)
        What values it can take.
    values, zeta : (m,) arrays
        The knots.
    parameters : (m, P) array
        All parameters there, in the order of the profile.
    complete : (bool, bool)
        Whether each side was followed to its bound; where that is infinite, until nothing changed any more.
    lower : (bool, bool)
        Whether each side ends where the likelihood is higher than at the estimate, which is then no maximum.
    """

    name: str
    estimate: float
    bounds: tuple[float, float]
    values: np.ndarray
    zeta: np.ndarray
    parameters: np.ndarray
    complete: tuple[bool, bool]
    lower: tuple[bool, bool] = (False, False)

    @property
    def turns(self) -> bool:
        """Whether the likelihood rises again further out, so that values beyond a limit can be as likely as within."""
        return bool((np.diff(self.zeta) < -_TURNS).any())

    def limit(self, zeta: float) -> float:
        """The value at which zeta is reached first; the bound where it is not, NaN where the likelihood rises first."""
        if not self.values.size or not self.zeta.min() <= zeta <= self.zeta.max():
            side = int(zeta > 0.0)
            return np.nan if self.lower[side] else self.bounds[side]
        first = first_reached(self.zeta)
        return float(monotone(self.zeta[first], self.values[first], np.array([zeta]))[0])

    def zeta_at(self, values: np.ndarray) -> np.ndarray:
        """Zeta at other values, between the first and the last knot; NaN outside."""
        values = np.asarray(values, dtype=float)
        inside = (values >= self.values[0]) & (values <= self.values[-1])
        within = np.clip(values, self.values[0], self.values[-1])
        return np.where(inside, monotone(self.values, self.zeta, within), np.nan)


@dataclass(frozen=True, eq=False)
class Profile:
    """Profiles of the likelihood (ML), a :class:`Curve` a parameter.

    Attributes
    ----------
    curves : dict
        By name: ``sd_x|g``, ``cor_x2.x1|g``, ``sigma``, those of a residual structure, then the fixed effects.
    names : tuple of str
        All parameters of the model, profiled or not: the columns of a curve's ``parameters``.
    estimates : (P,) array
        Their ML estimates.
    deviance : float
        The ML deviance there.
    """

    curves: dict[str, Curve]
    names: tuple[str, ...]
    estimates: np.ndarray
    deviance: float

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """``lower, upper``: where zeta reaches the normal quantile of ``level``.

        A bound of the parameter (zero for a standard deviation) stands where the likelihood does not fall so far
        before it, NaN where it rises above that of the fit first.
        """
        import pandas as pd

        z = quantile(level)
        short = [curve.name for curve in self.curves.values() if _ends_before(curve, z)]
        if short:
            raise MMEError(
                f"the profile of {', '.join(short)} ends before zeta = {z:.3g}; profile with level={level!r}"
            )
        limits = [(curve.limit(-z), curve.limit(z)) for curve in self.curves.values()]
        return pd.DataFrame(limits, index=list(self.curves), columns=["lower", "upper"], dtype=float)

    def to_frame(self) -> pd.DataFrame:
        """One row per knot: ``parameter, value, zeta``, then all parameters at that point."""
        import pandas as pd

        own = unlike(("parameter", "value", "zeta"), self.names)
        parts = [
            pd.concat(
                [
                    pd.DataFrame(dict(zip(own, (curve.name, curve.values, curve.zeta), strict=True))),
                    pd.DataFrame(curve.parameters, columns=list(self.names)),
                ],
                axis=1,
            )
            for curve in self.curves.values()
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*own, *self.names])


def quantile(level: float) -> float:
    """The normal quantile z of a two-sided interval at this level: |zeta| = z at its limits."""
    check_level(level)
    return float(ndtri(0.5 + level / 2.0))


def _ends_before(curve: Curve, z: float) -> bool:
    """Whether a side of a curve ends, not at its bound, before zeta."""
    if not curve.values.size:
        return False
    low, high = np.logical_or(curve.complete, curve.lower)
    return bool((curve.zeta.min() > -z and not low) or (curve.zeta.max() < z and not high))
