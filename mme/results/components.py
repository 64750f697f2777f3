r"""Variances by name, and how well they are known: the delta method on (theta, phi, log sigma).

    V_g, V_g.x     variance of the term g, of its coefficient x          V_res          sigma^2
    C_g.x.z        covariance of two coefficients of a term              V_res.b, C_res.a.b   of strata or occasions

beside all natural parameters by their own names (``sd_x|g``, ``rho``, ``sigma``). The criterion is profiled over sigma:
with H its Hessian at x = (theta, phi) and n' = n - p by REML, n by ML, (x, log sigma) has the covariance

    cov(x) = 2 H^-1,      log sigma = log sigma(x) + d,    var(d) = 1 / (2 n'),    d uncorrelated with x.

Where standard deviations are held in units of the response, sigma is not profiled out in closed form; of the Hessian by
(x, log sigma), with blocks H_xx, h, c,

    H = H_xx - h h' / c,    d log sigma(x) = -(h / c)' dx,    var(d) = 2 / c.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mme.derivatives.estimated import Estimated
from mme.derivatives.score import has_score, score
from mme.derivatives.uncertainty import Meetings
from mme.fitted.natural import natural_names, natural_values
from mme.fitted.record import Fitted
from mme.fitted.varcorr import components
from mme.model.problem import Model
from mme.numeric.delta import jacobian, parameter_covariance
from mme.numeric.differences import central
from mme.solution.estimates import Estimates

# Curvatures below this share of the largest are none.
_FLAT = 1e-10
_RATIO, _CORRELATION = re.compile(r"sd\.(.*)/sd\.(.*)"), re.compile(r"cor\.(.*)\.(.*)")


def named_components(fit: Fitted, theta: np.ndarray, phi: np.ndarray, sigma: float) -> dict[str, float]:
    """All variances, covariances and natural parameters by name, at these parameters of the model of a fit."""
    model, out = fit.model, random_components(fit.model, theta, sigma)
    out["V_res"] = sigma**2
    out |= zip(natural_names(model), natural_values(model, theta, sigma).tolist(), strict=True)
    if model.residual is not None:
        natural = dict(zip(model.residual.names, model.residual.natural(phi).tolist(), strict=True))
        out |= _of_residuals(natural, sigma**2) | natural
    return out | {"sigma": sigma}


def random_components(model: Model, theta: np.ndarray, sigma: float) -> dict[str, float]:
    """Variances and covariances of the random terms by name."""
    out = dict[str, float]()
    for term, one in zip(model.terms, components(model, theta, sigma).values(), strict=True):
        cov, several = one.cov, len(one.names) > 1
        for i, column in enumerate(one.names):
            out[f"V_{term.name}.{column}" if several else f"V_{term.name}"] = float(cov[i, i])
            out.setdefault(f"V_{term.group}.{column}", float(cov[i, i]))
            for j in range(i):
                other = one.names[j]
                out[f"C_{term.name}.{other}.{column}"] = out[f"C_{term.name}.{column}.{other}"] = float(cov[i, j])
    return out


def _of_residuals(natural: dict[str, float], variance: float) -> dict[str, float]:
    """Variances of strata or occasions from ratios of their standard deviations, and covariances of occasions."""
    sd = dict[str, float]()
    for name, value in natural.items():
        if (ratio := _RATIO.fullmatch(name)) is not None:
            sd |= {ratio[2]: 1.0, ratio[1]: value}
    out = {f"V_res.{label}": variance * value**2 for label, value in sd.items()}
    for name, value in natural.items():
        if (pair := _CORRELATION.fullmatch(name)) is not None:
            one, other = pair[1], pair[2]
            both = variance * value * sd.get(one, 1.0) * sd.get(other, 1.0)
            out[f"C_res.{one}.{other}"] = out[f"C_res.{other}.{one}"] = both
    return out


# Steps of second differences, in standard errors and as a share of sigma.
_STEP = 0.03
# What a standard error moves a function by, as a share of it, is rounding.
_ROUNDING = 1e-11


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How well the parameters of a fit are known."""

    fit: Fitted

    def standard_errors(self, f: Callable[[np.ndarray, np.ndarray, float], np.ndarray]) -> np.ndarray:
        """Standard errors (m,) of a function (m,) of theta, phi and sigma.

        NaN where nothing that was estimated moves it, where a variance of zero makes its derivatives vanish, and where
        the data leave it open.
        """
        slopes = jacobian(lambda x: f(*self._parameters(x)), self._at, self._spread)
        value = np.abs(f(*self._parameters(self._at)))[:, None]
        slopes[np.abs(slopes) * self._spread < _ROUNDING * value] = 0.0
        cov = self._covariance
        with np.errstate(invalid="ignore"):
            along = slopes[:, :-1] + slopes[:, -1:] * self._of_sigma
            known = np.where(slopes[:, -1:] != 0.0, self._own, 0.0)[:, 0] * slopes[:, -1] ** 2
            variance = np.einsum("ij,jk,ik->i", along, np.nan_to_num(cov), along) + known
        open_ = np.isnan(np.diag(cov))
        still = ~slopes[:, np.append(~self._fixed, self._own > 0.0)].any(axis=1)
        unknown = still | (slopes[:, :-1][:, open_] != 0.0).any(axis=1) | self._undetermined(slopes)
        return np.where(unknown, np.nan, np.sqrt(np.maximum(variance, 0.0)))

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Theta in the user's columns and phi, drawn from N(x, 2 H^-1).

        What was given stays, and so does what the data leave open. T and -T are one covariance: no draw is out of
        bounds.
        """
        x = self._at.copy()
        x[:-1] += self._root @ rng.standard_normal(self._root.shape[1])
        return self._parameters(x)[:2]

    @cached_property
    def _root(self) -> np.ndarray:
        """F with F F' = 2 H^-1 in the directions in which the criterion is curved."""
        H, free = self.fit.local.hessian, np.flatnonzero(~self._fixed)
        size = np.sqrt(np.abs(np.diag(H)[free]))
        size[size == 0.0] = 1.0
        values, vectors = np.linalg.eigh(H[np.ix_(free, free)] / np.outer(size, size))
        curved = values > _FLAT * values.max(initial=0.0)
        root = np.zeros((len(H), int(curved.sum())))
        root[free] = vectors[:, curved] * np.sqrt(2.0 / values[curved]) / size[:, None]
        return root

    @cached_property
    def _at(self) -> np.ndarray:
        """(theta, phi, log sigma), theta as :class:`mme.fitted.local.Local` has it."""
        return np.append(self.fit.local.parameters, np.log(self.fit.sigma))

    def _parameters(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Theta in the user's columns, phi and sigma."""
        model = self.fit.model
        theta, phi = np.split(x[:-1], [model.k])
        theta, sigma = model.coordinates.outer(theta) if self.fit.local.inside else theta, float(np.exp(x[-1]))
        if self._beside_sigma is not None and model.held is not None:
            theta = np.where(model.held.in_units, theta * self.fit.sigma / sigma, theta)
        return theta, phi, sigma

    @cached_property
    def _fixed(self) -> np.ndarray:
        """Which of (theta, phi) were given."""
        return ~np.isfinite(np.diag(self.fit.local.hessian))

    @cached_property
    def _covariance(self) -> np.ndarray:
        hessian = self.fit.local.hessian
        if self._beside_sigma is not None:
            h, c = self._beside_sigma
            hessian = hessian - np.outer(h, h) / c
        return parameter_covariance(hessian)

    @cached_property
    def _beside_sigma(self) -> tuple[np.ndarray, float] | None:
        """h and c, of sigma that was estimated beside what is held."""
        fit, local = self.fit, self.fit.local
        objective = fit.objective.in_axes if local.inside else fit.objective
        theta, phi = np.split(local.parameters, [fit.model.k])
        parameters = Estimated(Estimates(objective.at(phi), theta), ~self._fixed)
        if not parameters.sigma_too:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.sqrt(2.0 / np.diag(local.hessian)[~self._fixed])
        step = _STEP * np.append(np.where(np.isfinite(spread), spread, 1.0), 1.0)

        def values(x: np.ndarray) -> np.ndarray:
            return np.array([parameters.moved(x * step).criterion])

        second = central(values, step.size, 1)[1] / np.outer(step, step)
        h = np.zeros(local.parameters.size)
        h[~self._fixed] = second[-1, :-1]
        return h, float(second[-1, -1])

    @cached_property
    def _spread(self) -> np.ndarray:
        spread = np.sqrt(np.append(np.diag(self._covariance), self._own))
        return np.where(np.isfinite(spread), spread, 0.0)

    @property
    def _own(self) -> float:
        """Variance of log sigma about what theta and phi make of it; none where sigma is known."""
        if self._beside_sigma is not None:
            return 2.0 / self._beside_sigma[1]
        constants = self.fit.objective.constants
        return 0.0 if constants.sigma is not None else 0.5 / constants.n_effective

    @cached_property
    def _of_sigma(self) -> np.ndarray:
        """d log sigma / d(theta, phi) along the profile."""
        fit, local = self.fit, self.fit.local
        if self._beside_sigma is not None:
            return -self._beside_sigma[0] / self._beside_sigma[1]
        if fit.objective.constants.sigma is not None or self._fixed.all():
            return np.zeros(local.parameters.size)
        objective = fit.objective.in_axes if local.inside else fit.objective
        theta, k = local.parameters[: fit.model.k], fit.model.k
        found = score(objective, theta, Meetings()) if has_score(objective) else None
        if found is not None:  # y'P V_i P y / sigma^2 is what y has in the slope
            of_y = replace(found, share=0.0).gradient - found.gradient
            return np.where(self._fixed, 0.0, -0.5 * of_y / objective.constants.n_effective)

        def log_sigma(x: np.ndarray) -> np.ndarray:
            return np.array([np.log(Estimates(objective.at(x[k:]), x[:k]).sigma)])

        return np.where(self._fixed, 0.0, jacobian(log_sigma, local.parameters, self._spread[:-1])[0])

    def _undetermined(self, slopes: np.ndarray) -> np.ndarray:
        """Which functions depend on parameters that the design does not determine."""
        found = self.fit.optimum.open
        if not self.fit.optimum.undetermined or not found.any():
            return np.zeros(len(slopes), dtype=bool)
        theta = (slopes[:, : found.size - 1] != 0.0)[:, found[:-1]].any(axis=1)
        return np.asarray(theta | (slopes[:, -1] != 0.0) & found[-1])


def accuracy(fit: Fitted) -> Accuracy:
    """How well the parameters of a fit are known, kept with it."""
    return Accuracy(fit)
