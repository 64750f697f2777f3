"""Variance as a power of the fitted mean, which depends on the variance: the two are iterated to a fixed point."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mme.errors import MMEError
from mme.numeric.scales import clipped_log_sd
from mme.residual.base import Column, Variance
from mme.residual.rstructure import RStructure

# Fitted values below this share of the largest have no power that could be told from none.
_NEAR_ZERO = 1e-12
# Moments may start a power at most this far off.
_FARTHEST = 4.0


@dataclass(frozen=True, eq=False)
class PowerOfMean(RStructure):
    r"""Residual standard deviation proportional to a power of the fitted value: sd(e_i) = sigma |mu_i|^power.

    The criterion is that of the weights |mu|^power at given mu, minimised over all parameters; mu are then the fitted
    values of that fit, and so on until they are those of the fit that they weigh. The likelihood that is reported, and
    all that follows (profiles, intervals, refits), is of these last weights held: nlme's ``varPower()`` of
    ``fitted(.)`` (Pinheiro & Bates, 2000, section 5.2), SAS ``LOCAL=POM``.

    Parameters
    ----------
    random : bool
        Whether mu has the random effects in it, x'beta + z'b, as in nlme's ``lme``; False: the population's x'beta.

    Examples
    --------
    >>> import mme
    >>> data = mme.load("Orthodont")
    >>> fit = mme.lmer("distance ~ age + (1 | Subject)", data, residual=PowerOfMean())
    >>> list(fit.residual)
    ['power']
    """

    random: bool = field(default=True, kw_only=True)

    def reads(self) -> tuple[object, ...]:
        """No column."""
        return ()

    def bind(self, column: Column, n: int) -> BoundPowerOfMean:
        """Nothing is to be read: the mean comes with the fit."""
        return BoundPowerOfMean(n, ("power",), np.zeros(n), self.random)


@dataclass(frozen=True, eq=False)
class BoundPowerOfMean(Variance):
    """PowerOfMean at the ``logs`` (n,) of fitted values, zeros before there are any."""

    logs: np.ndarray
    random: bool

    @property
    def of_mean(self) -> np.ndarray:
        """Its power."""
        return np.ones(1, dtype=bool)

    def about(self, fitted: np.ndarray, population: np.ndarray) -> BoundPowerOfMean:
        """The same at other fitted values."""
        mean = np.abs(fitted if self.random else population)
        if not mean.min() > _NEAR_ZERO * mean.max():
            raise MMEError(
                f"PowerOfMean: a fitted value is {mean.min():.3g} (the largest {mean.max():.3g}), where a power of it "
                "makes the variance zero or infinite; model the variance by a covariate, with PowerOfCovariate"
            )
        logs = np.log(mean)
        if np.ptp(logs) < 1e-8:
            raise MMEError("PowerOfMean: the fitted values do not vary, so that their power cannot be told from sigma")
        return replace(self, logs=logs)

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Half the slope of log r^2 on log mu; zero without residuals."""
        centred = self.logs - self.logs.mean()
        if residual is None or not np.abs(residual).min() > 0.0 or not centred.any():
            return np.zeros(1)
        return np.clip([centred @ np.log(np.abs(residual)) / (centred @ centred)], -_FARTHEST, _FARTHEST)

    def radius(self) -> np.ndarray:
        """Half, in standard deviations of log mu."""
        return np.array([0.5 / max(float(np.std(self.logs)), 0.1)])

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return the power."""
        return np.asarray(x, dtype=float)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Return the power."""
        return np.asarray(natural, dtype=float)

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """Return power log mu."""
        return clipped_log_sd(float(x[0]) * self.logs)

    def log_sd_slopes(self, x: np.ndarray) -> np.ndarray:
        """log mu (1, n)."""
        return self.logs[None, :]
