"""What was found for each of many responses, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class FoundMany:
    """Numbers of responses (B, ...): estimates, standard errors, degrees of freedom (B, tests), variances and more."""

    estimate: np.ndarray
    se: np.ndarray
    df: np.ndarray
    variances: np.ndarray
    theta: np.ndarray
    criterion: np.ndarray
    singular: np.ndarray
    converged: np.ndarray
    nobs: np.ndarray

    @classmethod
    def nothing(cls, B: int, tests: int, variances: int, k: int) -> FoundMany:
        """NaN everywhere."""
        estimate, se, df, sd, theta = (np.full((B, width), np.nan) for width in (tests, tests, tests, variances, k))
        criterion, singular, nobs = np.full(B, np.nan), np.zeros(B, bool), np.zeros(B, dtype=np.int64)
        return cls(estimate, se, df, sd, theta, criterion, singular, singular.copy(), nobs)

    def put(self, at: np.ndarray, other: FoundMany) -> None:
        """Write other's rows at these places."""
        for name, values in vars(other).items():
            getattr(self, name)[at] = values

    def among(self, told: np.ndarray) -> FoundMany:
        """The same among more tests, of which these (tests,) are told; the others are NaN."""

        def spread(values: np.ndarray) -> np.ndarray:
            every = np.full((len(values), told.size), np.nan)
            every[:, told] = values
            return every

        return replace(self, estimate=spread(self.estimate), se=spread(self.se), df=spread(self.df))

    @classmethod
    def together(cls, parts: list[FoundMany]) -> FoundMany:
        """The rows of all parts, one after another."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))
