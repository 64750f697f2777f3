r"""Responses for a bootstrap that takes less of the model for granted than draws from it.

``given``: X beta + Z b + e* with the predicted b as they are and e* drawn (the levels at hand, no others).

``residual``: levels and residuals resampled from their predictions, centred and inflated to the estimated covariances,
which shrinkage took from them (Carpenter, Goldstein & Rasbash 2003, Appl. Statist. 52:431): with S = b'b / J = L L' and
Sigma = sigma^2 T T' = M M', rows of b L^-T M' have covariance Sigma. Nothing need be normal.

``wild``: X beta + w_g (y - X beta) / (1 - h), one w of Mammen's two points (mean 0, variance 1, third moment 1) a
group, h the leverages: of fixed effects where variances differ between groups (Modugno & Giannerini 2015, Comm.
Statist. 44:4812).

``cases``: whole groups drawn with replacement, with their records, X and all (:mod:`mme.model.cases`); nothing of the
model is taken for granted but that groups are independent and alike (Davison & Hinkley 1997, section 3.8).
"""

from __future__ import annotations

import numpy as np

from mme.errors import MMEError
from mme.model.cases import outermost
from mme.numeric.panels import term_values
from mme.results.simulate import Simulator
from mme.solution.estimates import Estimates

# What responses may be drawn by.
DRAWS = ("parametric", "given", "residual", "wild", "cases")
_GOLDEN = (1.0 + np.sqrt(5.0)) / 2.0
# Directions in which predictions vary by less than this share of the most are none.
_NONE = 1e-10


def drawn_by(draws: str, estimates: Estimates) -> Simulator:
    """A generator of responses at the estimates, by the kind of draws.

    Raises
    ------
    MMEError
        The model is of a kind that these draws are not defined for.
    """
    if draws == "parametric":
        return Simulator(estimates)
    return {"given": GivenEffects, "residual": ResampledEffects, "wild": WildResiduals}[draws](estimates)


class GivenEffects(Simulator):
    """Draws of e alone, at the predicted random effects."""

    def __init__(self, estimates: Estimates) -> None:
        super().__init__(estimates)
        self._fitted = estimates.fitted

    def __call__(self, rng: np.random.Generator, nsim: int) -> np.ndarray:
        """(n, nsim) responses."""
        return self._fitted[:, None] + self.sigma * self.noise(rng, nsim)


class ResampledEffects(Simulator):
    """Levels and residuals resampled."""

    def __init__(self, estimates: Estimates) -> None:
        super().__init__(estimates)
        model = estimates.objective.model
        for term in model.terms:
            if term.relationship is not None:
                raise MMEError(
                    f"levels of term '{term.name}' are related, and cannot be exchanged: use draws='parametric'"
                )
        self._b = [_inflated(b, self.sigma * T) for b, T in zip(estimates.b, model.T(estimates.theta), strict=True)]
        e = estimates.whitened_residual()
        self._e = (e - e.mean()) / e.std()

    def levels_of(self, t: int) -> np.ndarray:
        """The predictions (J, q), inflated, that levels of a term are resampled from."""
        return self._b[t]

    def __call__(self, rng: np.random.Generator, nsim: int) -> np.ndarray:
        """(n, nsim) responses."""
        out = self._mean[:, None] + self.sigma * self._noise(rng.choice(self._e, (self.model.n, nsim)))
        for term, b in zip(self.model.terms, self._b, strict=True):
            for s in range(nsim):
                out[:, s] += term_values(term.codes, term.covariates, b[rng.integers(0, len(b), len(b))])
        return out


class WildResiduals(Simulator):
    """Marginal residuals of each group times one random number."""

    def __init__(self, estimates: Estimates) -> None:
        super().__init__(estimates)
        terms = estimates.objective.model.terms
        codes = outermost(terms)
        if codes is None:
            raise MMEError(
                "draws='wild' needs one grouping factor, or factors nested in it: "
                f"{', '.join(repr(term.name) for term in terms)} cross; use draws='residual'"
            )
        self._codes = codes
        leverage = np.minimum((estimates.objective.basis.N[:-1] ** 2).sum(axis=0), 1.0 - 1e-8)
        self._left = (estimates.objective.model.y - self._mean) / (1.0 - leverage)

    def __call__(self, rng: np.random.Generator, nsim: int) -> np.ndarray:
        """(n, nsim) responses."""
        below = rng.random((int(self._codes.max()) + 1, nsim)) < _GOLDEN / np.sqrt(5.0)
        return self._mean[:, None] + np.where(below, 1.0 - _GOLDEN, _GOLDEN)[self._codes] * self._left[:, None]


def _inflated(b: np.ndarray, T: np.ndarray) -> np.ndarray:
    """Predictions (J, q) centred, with covariance T T', which lies in the directions in which they vary.

    By symmetric roots: with own the eigenvectors of S, rows of b own S^-1/2 have covariance I, and those of its
    product with (own'T T'own)^1/2 own' that of T.
    """
    b = b - b.mean(axis=0)
    values, vectors = np.linalg.eigh(b.T @ b / len(b))
    varies = values > _NONE * max(values.max(initial=0.0), 1e-300)
    own = vectors[:, varies]
    U, size, _ = np.linalg.svd(own.T @ T)
    return np.asarray(b @ (own / np.sqrt(values[varies])) @ (own @ (U[:, : size.size] * size) @ U[:, : size.size].T).T)
