r"""sum_ij W_ij k'V_ij k of random terms whose covariances are not linear in their parameters.

V has a summand Z (K (x) G) Z' for each term, G = s T T' and s = sigma^2, which depends on the parameters psi of this
term alone: variances, correlations, loadings, ranges, as they are reported, standard deviations squared (SAS has its
parameters so). With M = k'Z (K (x) G) Z'k at fixed k, by the coordinates x = (theta_t, log s),

    M_psi = M_ij - sum_l c_l M_l,        c = (d psi)^-1 d^2 psi,       (psi, s) of as many entries as x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from mme.derivatives.adjusted import Adjusted
from mme.model.problem import Model
from mme.numeric.differences import slopes

# A parameter that moves nothing, as a standard deviation at zero does, has no share in the bend.
_SMALL = 1e-10


def curvature_of_terms(of: Adjusted, W: np.ndarray, terms: Sequence[int]) -> np.ndarray:
    """The sum over these terms (p, p); ``W`` is by (theta, phi), and by log s where that is estimated."""
    origin, p = of.score.uncertainty.estimates, of.P.shape[1]
    model, theta = origin.objective.model, origin.theta
    rows = origin.objective.whitening.transposed(of.score.uncertainty.rows[:p])
    ends = np.cumsum([part.k for part in model.structures])
    total = np.zeros((p, p))
    for t in terms:
        own = np.arange(ends[t] - model.structures[t].k, ends[t])
        at = np.append(own, len(W) - 1) if len(W) > len(of.P) else own
        total += _of_term(_values(model, t, rows), theta[own], p, W[np.ix_(at, at)])
    return total


def _values(model: Model, t: int, rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """M (p p), then psi (k), by (theta_t, log s)."""
    term, part = model.terms[t], model.structures[t]
    p, q = len(rows), part.q
    B = np.asarray(term.Z.T @ rows.T).reshape(-1, q * p)

    def among(related: Any) -> np.ndarray:
        """B'K B (q, p, q, p)."""
        KB = B if related is None else splu(sp.csc_matrix(related.precision)).solve(B)
        return np.asarray(B.T @ KB).reshape(q, p, q, p)

    known = None if part.relationship is not None else among(term.relationship)

    def values(x: np.ndarray) -> np.ndarray:
        own, sigma = x[:-1], float(np.exp(0.5 * x[-1]))
        T = part.T(own)
        S = among(part.related(term.relationship, own)) if known is None else known
        M = sigma**2 * np.einsum("ab,apbr->pr", T @ T.T, S, optimize=True)
        natural = part.natural(own, sigma)
        return np.concatenate([M.ravel(), np.where(part.diagonal, natural**2, natural)])

    return values


def _of_term(values: Callable[[np.ndarray], np.ndarray], theta: np.ndarray, p: int, W: np.ndarray) -> np.ndarray:
    """One sum (p, p), W by (theta_t, log s), or by theta_t alone where s is known."""
    k = theta.size
    unit = np.append(np.where(theta == 0.0, 1.0, np.abs(theta)), 1.0)

    def scaled(z: np.ndarray) -> np.ndarray:
        return values(z * unit)

    at = np.append(theta, 0.0) / unit
    first = slopes(scaled, at)
    second = slopes(lambda z: slopes(scaled, z).ravel(), at).reshape(k + 1, k + 1, -1)
    jacobian = np.column_stack([first[:, p * p :], np.eye(k + 1)[k]])  # by coordinate, of psi and s
    bend = np.concatenate([second[:, :, p * p :], np.zeros((k + 1, k + 1, 1))], axis=2)
    bend[k, k, k] = 1.0
    c = np.linalg.lstsq(jacobian.T, bend.reshape(-1, k + 1).T, rcond=_SMALL)[0].T.reshape(k + 1, k + 1, k + 1)
    M = second[:, :, : p * p] - np.einsum("ijl,lm->ijm", c, first[:, : p * p])
    m = len(W)
    W = W / np.outer(unit[:m], unit[:m])
    return np.asarray(np.einsum("ij,ijm->m", W, M[:m, :m]).reshape(p, p))
