"""Models with many fixed effects: the same design dense and sparse, and limits at which the sparse one stays so."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

import mme
from mme.numeric.limits import Limits

# X stays sparse whatever its size.
SPARSE = Limits(dense_fixed=2, dense_fixed_operations=1.0)


def indicators(codes: np.ndarray, J: int) -> np.ndarray:
    """A column a level (n, J)."""
    return (codes[:, None] == np.arange(J)).astype(float)


class Records:
    """Pupils in schools, of which most have several, at occasions with a covariate."""

    def __init__(self, seed: int, n: int = 240, schools: int = 40, pupils: int = 30) -> None:
        rng = np.random.default_rng(seed)
        self.n, self.schools, self.pupils = n, schools, pupils
        self.school, self.pupil = rng.integers(0, schools, n), rng.integers(0, pupils, n)
        self.school[:schools] = np.arange(schools)
        self.rater, self.x, self.z = rng.integers(0, 8, n), rng.standard_normal(n), rng.standard_normal(n)
        self.constant = rng.standard_normal(schools)[self.school]
        self.weights = rng.uniform(0.5, 2.0, n)
        effects = rng.standard_normal((pupils, 2)) @ np.array([[0.9, 0.0], [0.3, 0.4]]).T
        self.y = 3.0 + self.x + rng.standard_normal(schools)[self.school] + effects[self.pupil, 0]
        self.y += effects[self.pupil, 1] * self.z + 0.5 * rng.standard_normal(8)[self.rater] + rng.standard_normal(n)

    def X(self, kind: str) -> np.ndarray:
        """Model matrices with columns of schools, some of lower rank."""
        one, school = np.ones((self.n, 1)), indicators(self.school, self.schools)
        x, rater = self.x[:, None], indicators(self.rater, 8)
        return {
            "factor": np.hstack([one, x, school[:, 1:]]),
            "all levels": np.hstack([one, x, school]),
            "constant within": np.hstack([one, self.constant[:, None], school[:, 1:], x]),
            "constant behind": np.hstack([school, x, self.constant[:, None]]),
            "two factors": np.hstack([school, rater, x]),
            "interaction": np.hstack([one, school[:, 1:], school * x]),
            "zeros and twins": np.hstack([one, school[:, 1:], 0.0 * x, school[:, [5]], x, 2.0 * x]),
        }[kind]

    def terms(self, kind: str) -> list[mme.Term]:
        """Random parts."""
        pupil = mme.Term(self.pupil, name="pupil")
        return {
            "intercept": [pupil],
            "slope": [mme.Term(self.pupil, np.column_stack([np.ones(self.n), self.z]), name="pupil")],
            "crossed": [pupil, mme.Term(self.rater, name="rater")],
            "pedigree": [mme.Term(self.pupil + 1, name="animal", relationship=self._pedigree())],
        }[kind]

    def _pedigree(self) -> mme.Pedigree:
        animals = np.arange(1, self.pupils + 1)
        sire, dam = np.where(animals > 8, animals % 4 + 1, 0), np.where(animals > 8, animals % 4 + 5, 0)
        return mme.Pedigree(animals, sire, dam)


def sparse(X: np.ndarray) -> sp.csr_array:
    """The same matrix."""
    return sp.csr_array(X)
