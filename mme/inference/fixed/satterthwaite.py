r"""Satterthwaite's degrees of freedom, as lmerTest computes them.

The estimated variance v of a contrast c'beta-hat is taken for a multiple of chi-square on df degrees of freedom that
has its mean and variance: df = 2 v^2 / var(v-hat) (Satterthwaite 1946, Biometrics Bulletin 2:110; Giesbrecht and Burns
1985, Biometrics 41:477). By the delta method on (theta, phi, sigma) and twice the inverse Hessian A of the criterion,

    1 / df = 1 / n_eff + g'A g / 2,        g = d log v / d(theta, phi)                                            (1)

with sigma profiled out of both v and the criterion; n_eff is n - p by REML and n by ML, and the first term is what
sigma-hat adds at given (theta, phi): none where sigma is known, or is itself a parameter, beside variances that are
held. This is lmerTest's formula on (theta, sigma), whose Hessian it inverts by blocks (Kuznetsova, Brockhoff and
Christensen 2017, J. Stat. Softw. 82(13)).

A component at zero contributes nothing: v is even in it, so that its slope is zero. The degrees of freedom of a
singular fit are those of the fit without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mme.derivatives.variance_derivatives import ProfileDerivatives, profile_derivatives
from mme.engine.objective import Objective
from mme.errors import warn
from mme.fitted.record import Fitted
from mme.inference.fixed.reference import FTest, Reference, independent, reciprocal
from mme.numeric.newton import ACCEPTED
from mme.numeric.panels import inner
from mme.solution.estimates import Estimates

# Eigenvalues of the Hessian, scaled to a unit diagonal, that its differences cannot tell from zero.
_FLAT = 1e-6
# A slope of log v along a flat direction, in the parameter's natural unit, that is more than rounding.
_SLOPE = 1e-5
# A Newton step longer than this, in the parameters' natural units, moves degrees of freedom by as large a share.
_STATIONARY = 3e-7


@dataclass(frozen=True, eq=False)
class Satterthwaite(Reference):
    """Tests whose degrees of freedom are those of (1).

    ``relative`` (p, p) turns a contrast into coordinates where cov(beta) is sigma^2 I, ``slopes`` (k, p, p) are those
    of the relative covariance there, ``A`` (k, k) is the covariance of what was estimated
    (:mod:`mme.derivatives.estimated`), ``flat`` (k, f) spans what the
    data do not determine of them, ``share`` is 1 / n_eff, and ``units`` (k,) are the parameters'.
    """

    relative: np.ndarray
    slopes: np.ndarray
    A: np.ndarray
    flat: np.ndarray
    share: float
    units: np.ndarray

    def df(self, L: np.ndarray) -> np.ndarray:
        """Degrees of freedom (m,) of the rows of L (m, p); NaN where the data do not determine them."""
        return self._df(self.relative @ L.T)

    def _df(self, z: np.ndarray) -> np.ndarray:
        """Degrees of freedom (m,) of contrasts z (p, m) in the coordinates of ``slopes``."""
        with np.errstate(invalid="ignore", divide="ignore"):
            z = z / np.linalg.norm(z, axis=0)
        moved = np.tensordot(self.slopes, z, 1)  # (k, p, m)
        return self.df_of(np.einsum("iam,am->im", moved, z))

    def df_of(self, g: np.ndarray) -> np.ndarray:
        """Degrees of freedom (m,) of variances by the slopes (k, m) of their logarithms; NaN where not determined."""
        return self.df_in_pieces([g])

    def df_in_pieces(self, slopes: Iterable[np.ndarray]) -> np.ndarray:
        """Degrees of freedom as :meth:`df_of`, from slopes that come for some variances at a time, in their order."""
        found, undetermined = [np.zeros(0)], False
        for g in slopes:
            df = self._of_slopes(g)
            if self.flat.size:
                along = (np.abs(self.flat.T @ g) > _SLOPE).any(axis=0)
                df[along] = np.nan
                undetermined = undetermined or bool(along.any())
            found.append(df)
        if undetermined:
            warn(
                "degrees of freedom are not determined: the likelihood is flat, or has no minimum, along a direction "
                "of the variances on which the standard error depends; they are NaN. Simplify the random part"
            )
        return np.concatenate(found)

    def _of_slopes(self, g: np.ndarray) -> np.ndarray:
        inverse = inner(self.A @ g, g)
        inverse *= 0.5
        inverse += self.share
        return reciprocal(inverse)

    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """F with the denominator of Fai and Cornelius (1996, J. Stat. Comput. Simul. 54:363)."""
        along = independent(L, difference, self.half)
        return FTest(along.F, along.sd.size, _pooled(self._df(self.relative @ L.T @ along.weights.T)))


def satterthwaite(fit: Fitted) -> Satterthwaite:
    """Make the tests of a fit: in closed form, or by some 3 k (k + 1) evaluations for k variance parameters.

    The search ends within 1e-4 standard errors of the minimum, which shows in the fifth digit of degrees of freedom:
    where it does, they are those of the minimum, a Newton step away.
    """
    origin = fit.estimates.in_axes
    objective, parameters = origin.objective, np.concatenate([origin.theta, origin.objective.phi])
    free = np.isfinite(fit.optimum.gradient)
    profile = profile_derivatives(origin, free)
    A, flat, newton = _inverse(profile)
    far = newton.size == free.sum() and (np.abs(newton) > _STATIONARY * profile.units).any()
    if far and 0.0 < -0.5 * float(profile.gradient @ newton) < ACCEPTED:
        parameters[free] += newton
        theta, phi = np.split(parameters, [fit.theta.size])
        profile = profile_derivatives(Estimates(objective.at(phi), theta), free)
        A, flat, _ = _inverse(profile)
    return Satterthwaite(
        fit.estimates.beta, fit.estimates.half, profile.half, profile.slopes, A, flat, _share(objective), profile.units
    )


def of_profile(fit: Fitted, profile: ProfileDerivatives) -> Satterthwaite:
    """What gives degrees of freedom by slopes, from the derivatives of the criterion."""
    A, flat, _ = _inverse(profile)
    none, half, slopes = np.array([]), profile.half, profile.slopes
    return Satterthwaite(none, half, half, slopes, A, flat, _share(fit.objective), profile.units)


def is_off(profile: ProfileDerivatives) -> np.ndarray | None:
    """The Newton step to the minimum, where it shows in degrees of freedom."""
    newton = _inverse(profile)[2]
    return newton if _STATIONARY < -0.5 * float(profile.gradient @ newton) < ACCEPTED else None


def _share(objective: Objective) -> float:
    """1 / n_eff: what sigma-hat adds at given (theta, phi)."""
    return 1.0 / objective.constants.n_effective if objective.model.sigma is None else 0.0


def _inverse(profile: ProfileDerivatives) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twice the inverse Hessian on what the data determine, a basis of the rest, and the Newton step."""
    H, units = profile.hessian, profile.units
    size = np.sqrt(np.maximum(np.abs(np.diag(H)), _FLAT / units**2))
    values, vectors = np.linalg.eigh(H / np.outer(size, size))
    curved = values > _FLAT
    V = vectors[:, curved] / size[:, None]
    inverse = (V / values[curved]) @ V.T
    flat = vectors[:, ~curved] / size[:, None]
    return 2.0 * inverse, flat, -inverse @ profile.gradient


def _pooled(df: np.ndarray) -> float:
    """Denominator of F from those of its q uncorrelated t's: E[F] = (1/q) sum df / (df - 2) is F's mean."""
    if df.size == 0 or np.isnan(df).any():
        return float("nan")
    if np.isinf(df).all() or np.ptp(df) < 1e-8:
        return float(df.mean())
    if (df <= 2.0).any():
        return 2.0
    finite = df[np.isfinite(df)]
    mean = float((finite / (finite - 2.0)).sum()) + (df.size - finite.size)
    return 2.0 * mean / (mean - df.size)
