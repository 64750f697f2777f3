"""Pooled, separate and partially pooled estimates of every level of a generalised model, on the scale of the link."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.effects import Effects, effects
from mme.fitted.generalised import GeneralisedFitted
from mme.numeric.sums import coding, level_sums, own_sums
from mme.results.shrinkage import columns_of, of_each, population_values, table_of

if TYPE_CHECKING:
    import pandas as pd

# Steps of scoring, what a step may change of eta, and the step of a level's eta beyond which it still goes.
_STEPS, _LONGEST, _GOES = 100, 3.0, 0.1


def generalised_shrinkage(fit: GeneralisedFitted, by: str) -> dict[str, pd.DataFrame]:
    """One row per level, by name of the factor or term."""
    return {one.name: _table(fit, one) for one in effects(fit.model, by)}


def _table(fit: GeneralisedFitted, of: Effects) -> pd.DataFrame:
    """As :func:`mme.results.shrinkage.shrinkage_table`; W and G = Z_g'W Z_g have the working weights of the mode."""
    model, estimates = fit.model, fit.estimates
    if any(kept is not None for kept in of.kept):
        raise MMEError(f"term '{of.name}' has several levels a record: no level has an estimate from its own alone")
    terms, b = [model.terms[t] for t in of.terms], of.beside(estimates.b)
    E = [column for t in of.terms for column in columns_of(model, t)]
    C, inverse = (of.together(of_each(model, which)) for which in ("C", "inverse"))
    level = _Levels(fit, terms[0].codes, len(b), E)
    c = b @ C.T
    own = level.alone(c, inverse)
    T = C @ of.together(model.T(fit.theta))
    H, G = T @ T.T, level.information(estimates.eta)
    W = inverse @ (H @ np.linalg.inv(np.eye(of.q) + G @ H) @ G) @ C
    pooled = population_values(model, fit.problem.basis.kept, estimates.beta, of.fixed)
    return table_of(model, of, pooled, own, b, np.einsum("gii->gi", W))


class _Levels:
    """The records of each level, with columns E of their own coefficients c (J, q)."""

    def __init__(self, fit: GeneralisedFitted, codes: np.ndarray, J: int, E: list[np.ndarray]) -> None:
        self.fit, self.codes, self.J, self.E = fit, codes, J, E

    def alone(self, c: np.ndarray, inverse: np.ndarray) -> np.ndarray:
        """The effects of the highest likelihood in the user's columns, all others held; infinite where there are none.

        Fisher scoring of all levels at once, a level's step halved while it would lose.
        """
        base = self.fit.estimates.eta - self._eta(c)
        value, step = self._value(base + self._eta(c)), np.zeros_like(c)
        for _ in range(_STEPS):
            step, gain = self._step(base + self._eta(c))
            best = self._value(base + self._eta(c + step))
            for _ in range(30):
                worse = ~(best >= value - 1e-12 * np.abs(value))
                if not worse.any():
                    break
                step[worse] *= 0.5
                best = self._value(base + self._eta(c + step))
            step[~(best >= value - 1e-12 * np.abs(value))] = 0.0
            c, value = c + step, self._value(base + self._eta(c + step))
            if gain.max(initial=0.0) < 1e-14:
                break
        step[
            (self._reach(step) <= _GOES)[:, None] | (np.abs(step) <= 1e-3 * np.abs(step).max(axis=1, keepdims=True))
        ] = 0.0
        along = step @ inverse.T
        goes = np.abs(along) > 1e-3 * (np.abs(step) @ np.abs(inverse.T))
        return np.where(goes, np.copysign(np.inf, along), c @ inverse.T)

    def information(self, eta: np.ndarray) -> np.ndarray:
        """Z_g'W Z_g (J, q, q), W expected."""
        weights = self._density(eta).expected
        return own_sums(self.codes, self.J, self.E, [weights * column for column in self.E])

    def _density(self, eta: np.ndarray) -> Any:
        problem = self.fit.problem
        return problem.family.at(problem.data, eta, self.fit.estimates.tau)

    def _step(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A step (J, q), and twice what it should gain (J,)."""
        density = self._density(eta)
        score = level_sums(self.codes, self.J, self.E, [density.slope])[:, :, 0]
        step = (np.linalg.pinv(self.information(eta), rcond=1e-10, hermitian=True) @ score[:, :, None])[:, :, 0]
        step *= np.minimum(1.0, _LONGEST / np.maximum(self._reach(step), 1e-300))[:, None]
        return step, (step * score).sum(axis=1)

    def _value(self, eta: np.ndarray) -> np.ndarray:
        """log f of each level (J,)."""
        found = np.bincount(coding(self.codes, 0), self._density(eta).value, minlength=self.J)
        return np.where(np.isfinite(found), found, -np.inf)

    def _eta(self, c: np.ndarray) -> np.ndarray:
        """Z c (n,)."""
        return np.sum([column * c[coding(self.codes, a), a] for a, column in enumerate(self.E)], axis=0)

    def _reach(self, step: np.ndarray) -> np.ndarray:
        """The largest change of eta in each level (J,)."""
        out = np.zeros(self.J)
        np.maximum.at(out, coding(self.codes, 0), np.abs(self._eta(step)))
        return out
