r"""Minimise many smooth functions of as many parameters by BFGS, in step: :mod:`mme.numeric.quasi_newton` for each row.

A round evaluates one trial of every row that is not done; rows begin a new step, or shorten theirs, each by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

# As in mme.numeric.quasi_newton.
_NOISE, _SHORTER, _ROUNDS = 1e-14, 40, 2000

# Values (rows,) and gradients (rows, m) of the functions of these rows at points (rows, m); infinite without a value.
Functions = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(eq=False)
class DescentsInStep:
    """Where each row is: ``x`` (B, m), ``value`` (B,), gradient ``g`` (B, m), and the inverse Hessian ``H`` (B, m, m).

    Attributes
    ----------
    functions
        What is minimised.
    accepted
        Told which rows took the trial that was last evaluated, as places among the rows of that evaluation.
    begun : (B, m, m) array
        The inverse Hessian to begin with, and to begin again with; rows and columns of zeros hold a parameter.
    tolerance, most : float
        As of :func:`mme.numeric.quasi_newton.descend`.
    promised : (B,) array
        What a further step would gain: infinite without a value, or where rounds have ended the search.
    """

    functions: Functions
    accepted: Callable[[np.ndarray, np.ndarray], None]
    x: np.ndarray
    begun: np.ndarray
    tolerance: float
    most: float
    value: np.ndarray = field(init=False)
    g: np.ndarray = field(init=False)
    H: np.ndarray = field(init=False)
    promised: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        B, m = self.x.shape
        rows = np.arange(B)
        self.value, self.g = self.functions(rows, self.x)
        self.accepted(rows, rows)
        self.H, self.promised = self.begun.copy(), np.full(B, np.inf)
        self._d, self._slope, self._t, self._length = np.zeros((B, m)), np.zeros(B), np.ones(B), np.ones(B)
        self._fresh, self._tries, self._most = np.ones(B, dtype=bool), np.zeros(B, dtype=int), np.full(B, self.most)

    def descend(self, rows: np.ndarray) -> None:
        """Go down from where these rows are."""
        self.H[rows], self._fresh[rows], self._most[rows] = self.begun[rows], True, self.most
        alive = self._begin(rows[np.isfinite(self.value[rows])])
        for _ in range(_ROUNDS):
            if not alive.size:
                return
            trial = self.x[alive] + self._t[alive, None] * self._d[alive]
            new, g = self.functions(alive, trial)
            t, slope, gain = self._t[alive], self._slope[alive], new - self.value[alive]
            noise = _NOISE * (1.0 + np.abs(self.value[alive]))
            taken = gain <= 1e-4 * t * slope
            taken |= (t == 1.0) & (-slope <= noise) & (gain <= noise)
            self.accepted(alive, np.flatnonzero(taken))
            self._take(alive[taken], trial[taken], new[taken], g[taken])
            again = self._shorten(alive[~taken], gain[~taken])
            alive = np.sort(np.concatenate([self._begin(alive[taken]), again]))
        self.promised[alive] = np.inf

    def _begin(self, rows: np.ndarray) -> np.ndarray:
        """A new step of each row; which of them are not done."""
        d = -np.einsum("bij,bj->bi", self.H[rows], self.g[rows])
        slope = np.einsum("bi,bi->b", d, self.g[rows])
        up = ~(slope < 0.0)
        if up.any():
            at = rows[up]
            self.H[at], self._fresh[at] = self.begun[at], True
            d[up] = -np.einsum("bij,bj->bi", self.H[at], self.g[at])
            slope[up] = np.einsum("bi,bi->b", d[up], self.g[at])
        self.promised[rows], self._d[rows], self._slope[rows], self._tries[rows] = -0.5 * slope, d, slope, 0
        length = np.minimum(1.0, self._most[rows] / np.maximum(np.abs(d).max(axis=1, initial=0.0), 1e-300))
        self._t[rows] = self._length[rows] = length
        return rows[self.promised[rows] > self.tolerance]

    def _take(self, rows: np.ndarray, x: np.ndarray, value: np.ndarray, g: np.ndarray) -> None:
        """The trial is where these rows are; their inverse Hessians are mended by it."""
        wide = (self._length[rows] < 1.0) & (self._t[rows] == self._length[rows])
        self._most[rows[wide]] *= 2.0
        s, y, H = self._t[rows, None] * self._d[rows], g - self.g[rows], self.H[rows]
        y = np.where(np.einsum("bii->bi", H) > 0.0, y, 0.0)  # of what is held nothing is known
        self.x[rows], self.value[rows], self.g[rows], self._fresh[rows] = x, value, g, False
        sy, Hy = np.einsum("bi,bi->b", s, y), np.einsum("bij,bj->bi", H, y)
        told = sy > 1e-10 * np.sqrt(np.einsum("bi,bi->b", s, s) * np.einsum("bi,bi->b", y, y))
        rows, s, y, Hy, sy = rows[told], s[told], y[told], Hy[told], sy[told]
        cross = Hy[:, :, None] * s[:, None, :] / sy[:, None, None]
        scale = (np.einsum("bi,bi->b", y, Hy) / sy + 1.0) / sy
        self.H[rows] += scale[:, None, None] * (s[:, :, None] * s[:, None, :]) - cross - cross.transpose(0, 2, 1)

    def _shorten(self, rows: np.ndarray, gain: np.ndarray) -> np.ndarray:
        """A shorter step of each row, by the parabola through its gain; which of them are not done."""
        t, slope = self._t[rows], self._slope[rows]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            share = np.clip(-0.5 * slope * t / (gain - slope * t), 0.1, 0.5)
        self._t[rows] = t * np.where(np.isfinite(gain), share, 0.1)
        self._tries[rows] += 1
        ended = self._tries[rows] >= _SHORTER
        restart = rows[ended & ~self._fresh[rows]]
        self.H[restart], self._fresh[restart] = self.begun[restart], True
        return np.concatenate([rows[~ended], self._begin(restart)])

    def held(self, rows: np.ndarray, j: int) -> None:
        """Hold parameter j of these rows at zero, with the curvature that is known of the others."""
        self.x[rows, j] = 0.0
        self.begun[rows] = self.H[rows]
        self.begun[rows, j, :] = 0.0
        self.begun[rows, :, j] = 0.0
