r"""Posterior draws of (beta, b) given theta: the joint normal distribution that Henderson's equations describe.

With beta flat a priori, (beta, b) given y, theta and sigma is N((beta_hat, b_hat), sigma^2 C^-1), C the coefficient
matrix of (H). With the factors of one evaluation (``pls.py``) a draw is a back substitution of standard normals z:

    gamma = R_X^-1 z_1,  u_2 = L^-T (z_2 - R_ZN gamma),  u_g = (I + A'A)^-1 A'Q_g'(-X gamma - Z_2 b_2) + C_g^-1 z_3  (D)

with C_g'C_g = I + A'A, all times sigma. The covariance is exact; all draws together cost a few evaluations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.engine.pls import absorbed_effects
from mme.engine.wide_basis import WideBasis
from mme.errors import MMEError
from mme.fitted.effects import effects
from mme.fitted.record import Fitted
from mme.numeric.lapack import triangular_solve
from mme.numeric.memory import require
from mme.solution.estimates import Estimates
from mme.tables.arguments import count, random_numbers
from mme.tables.spelling import labels_of

if TYPE_CHECKING:
    import pandas as pd

# Arrays of the size of the result that are alive at one time.
_COPIES = 4


@dataclass(frozen=True, eq=False)
class Draws:
    """``beta``: one row per draw, one column per fixed effect; ``b``: by factor (draws, levels, coefficients).

    ``labels`` names the levels and the coefficients of each factor.
    """

    beta: pd.DataFrame
    b: dict[str, np.ndarray]
    labels: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)

    def to_xarray(self) -> Any:
        """An xarray Dataset of one chain: ``beta`` by coefficient, and ``b_NAME`` by level and coefficient of a factor.

        Raises
        ------
        MMEError
            xarray is not installed.
        """
        try:
            import xarray
        except ImportError:
            raise MMEError("this needs xarray: pip install xarray (arviz brings it)") from None
        draw = ("chain", "draw")
        variables: dict[str, Any] = {"beta": ((*draw, "coefficient"), self.beta.to_numpy()[None])}
        coordinates: dict[str, Any] = {"chain": [0], "draw": np.arange(len(self)), "coefficient": list(self.beta)}
        for name, array in self.b.items():
            variables[f"b_{name}"] = ((*draw, name, f"{name}_coefficient"), array[None])
            coordinates[name], coordinates[f"{name}_coefficient"] = self.labels[name]
        return xarray.Dataset(variables, coordinates)

    def to_arviz(self) -> Any:
        """The draws as ArviZ takes them: a posterior of one chain, for its pictures and summaries.

        They are independent: effective sizes are near the number of draws, and ``r_hat`` says nothing.

        Raises
        ------
        MMEError
            ArviZ is not installed.
        """
        posterior = self.to_xarray()
        try:
            import arviz
        except ImportError:
            raise MMEError("this needs ArviZ: pip install arviz") from None
        if hasattr(arviz, "InferenceData"):
            return arviz.InferenceData(posterior=posterior)
        import xarray  # of ArviZ 1 it is the tree that was its InferenceData

        return xarray.DataTree.from_dict({"posterior": posterior})

    def __len__(self) -> int:
        return len(self.beta)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {array.shape[1]:,} levels x {array.shape[2]}" for name, array in self.b.items())
        return f"Draws({len(self):,} of {self.beta.shape[1]} fixed effects; {shapes})"


def draws(fit: Fitted, n: int = 1000, *, seed: int | np.random.Generator | None = None, by: str = "factor") -> Draws:
    """Draw (beta, b) from their joint distribution given the data, theta and sigma."""
    import pandas as pd

    n = count(n, "n", "of draws")
    estimates, keys = fit.estimates, effects(fit.model, by)
    require_memory(int(n), sum(b.size for b in estimates.b))
    beta, own = effects_drawn(estimates, fit.sigma, int(n), random_numbers(seed))
    drawn = [mean + one for mean, one in zip(estimates.effects, own, strict=True)]
    for one in fit.model.unknown_parents:
        drawn[one.term][:, one.groups] = estimates.effects[one.term][one.groups]  # nothing random
        drawn[one.term] += np.moveaxis(one.in_levels(fit.objective.basis.kept, beta.T), 2, 0)
    return Draws(
        beta=pd.DataFrame(estimates.beta + beta, columns=list(fit.fixed_names)),
        b={one.name: one.beside(drawn) for one in keys},
        labels={one.name: (list(labels_of(one.levels)), list(one.columns)) for one in keys},
    )


def effects_drawn(
    estimates: Estimates, sigma: float, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draws of beta - beta_hat (n, p) and of b - b_hat of each term (n, J, q), at theta and sigma."""
    objective = estimates.objective
    beta, blocks = _deviations(estimates, n, rng)
    by_term: dict[int, np.ndarray] = {}
    for block, values in zip(objective.blocks, blocks, strict=True):
        scaled = sigma * block.effects(values, estimates.theta)
        for t, columns in zip(block.terms, block.column_slices, strict=True):
            by_term[t] = scaled[:, :, columns]
    return sigma * beta, [by_term[t] for t in range(len(by_term))]


def _deviations(estimates: Estimates, n: int, rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """(D): beta - beta_hat (n, p), and b - b_hat of each block (n, J, q) with scaled columns, in units of sigma."""
    objective, at, theta = estimates.objective, estimates.at, estimates.theta
    system, T = objective.system, objective.factors(theta)
    p, m = system.p, system.rest.m
    gamma = triangular_solve(at.border[:p, :p], rng.standard_normal((p, n)), transposed=True)
    combinations = np.append(-gamma.T, np.zeros((n, 1)), axis=1)
    u_rest = at.rest.backward(at.R_ZN @ combinations.T + rng.standard_normal((m, n)))
    u_absorbed = absorbed_effects(system, at, T, combinations, u_rest)
    A = at.levels.A.transpose(2, 0, 1)
    J, q = A.shape[0], A.shape[2]
    # C_g by QR of [A; I]: squaring A would cost half of the digits where T is nearly singular
    C = np.linalg.qr(np.concatenate([A, np.broadcast_to(np.eye(q), (J, q, q))], axis=1), mode="r")
    u_absorbed += np.linalg.solve(C, rng.standard_normal((J, q, n))).transpose(2, 1, 0)
    b = objective.by_block(u_absorbed, u_rest, theta)
    beta, basis = (objective.basis.R_inverse @ gamma).T, objective.basis
    if isinstance(basis, WideBasis):
        a = b[-1][:, 0].T if objective.fixed is not None else np.zeros((n, 0))
        beta = basis.joined(beta, a)
    return beta, [block.transpose(2, 0, 1) for block in b]


def require_memory(n: int, effects: int) -> None:
    """Refuse draws that have no room."""
    require(
        _COPIES * 8 * n * effects,
        f"{n:,} draws of {effects:,} random effects need",
        ": draw fewer at a time, with other seeds",
    )
