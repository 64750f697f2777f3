"""Variance as a power of the fitted mean, which depends on the variance: the two are iterated to a fixed point."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mme.errors import MMEError
from mme.residual.base import Column
from mme.residual.rstructure import RStructure
from mme.residual.variance import FARTHEST_FROM_ONE, BoundPowerOfCovariate

# Fitted values below this share of the largest have no power that could be told from none.
_NEAR_ZERO = 1e-12
# Logarithms of fitted values that vary less than this are constant but for rounding.
_CONSTANT = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class PowerOfMean(RStructure):
    r"""Residual standard deviation proportional to a power of the fitted value: sd(e_i) = sigma |mu_i|^power.

    Sigma is the standard deviation where mu is 1, as nlme's. Where mu varies so little about its geometric mean m that
    this would leave the range of doubles (|log m| beyond 50 standard deviations of log |mu|), it is that at m:
    sd(e_i) = sigma |mu_i / m|^power, the same model.

    The criterion is that of the weights at given mu, minimised over all parameters; mu are then the fitted values of
    that fit, and so on until they are those of the fit that they weigh: a fixed point. The likelihood that is reported,
    and all that follows (profiles, intervals, refits), is of these last weights held: nlme's ``varPower()`` of
    ``fitted(.)`` (Pinheiro & Bates, 2000, section 5.2), SAS ``LOCAL=POM``. It is no maximum over mu, and weights of
    other fitted values may have a higher likelihood. Of several fixed points that with the highest one is taken: they
    are looked for from the equal variances, and from the other maxima of the likelihood at the last weights.

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
        return BoundPowerOfMean(n, ("power",), np.zeros(n), 1.0, self.random)


@dataclass(frozen=True, eq=False)
class BoundPowerOfMean(BoundPowerOfCovariate):
    """PowerOfMean at the ``logs`` (n,) of fitted values: zeros before there are any, or where all are alike."""

    random: bool

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """None: its valleys are those of the whole sequence of fits."""
        return []

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
        if np.ptp(logs) < _CONSTANT:
            return replace(self, logs=np.zeros(self.n), spread=1.0)
        middle, spread = float(logs.mean()), float(np.std(logs))
        is_far = abs(middle) > FARTHEST_FROM_ONE * spread
        return replace(self, logs=logs - middle if is_far else logs, spread=spread)

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Half the slope of log r^2 on log mu; zero without residuals, and before there are fitted values."""
        return super().start(residual if self.logs.any() else None)
