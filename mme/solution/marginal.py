r"""V among the records of clusters that are independent of each other, batch by batch of one size, dense.

V_c = sum_t Z_t (I (x) G_t) Z_t' + sigma^2 R        among the records of a cluster c
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mme.errors import MMEError
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.memory import require
from mme.residual.dense import dense_by_group
from mme.solution.estimates import Estimates
from mme.tables.levels import varies_within

# Arrays of the size of all V_c that are alive at one time.
_COPIES = 6


def require_independent(model: Model, cluster: np.ndarray, title: str) -> None:
    """Refuse clusters (n,) between which records are correlated.

    Raises
    ------
    MMEError
        Levels of a term, or groups of the residual structure, have records in several clusters.
    """
    for term in model.terms:
        if term.relationship is not None or term.by_column or varies_within(cluster, term.codes):
            raise MMEError(
                f"records of different clusters must be independent, and the random term '{term.name}' joins levels of "
                f"{title}; name a cluster in which each of its levels lies whole, or use ddf='satterthwaite'"
            )
    group = None if model.residual is None else model.residual.group
    if group is not None and varies_within(cluster, np.unique(group, return_inverse=True)[1]):
        raise MMEError(
            f"records of different clusters must be independent, and the residual structure joins levels of {title}; "
            "name its own groups, or larger clusters"
        )


def by_cluster(of: Estimates, cluster: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the records (C, s) of the clusters of one size s, and their V (C, s, s)."""
    sizes, order = np.bincount(cluster), np.argsort(cluster, kind="stable")
    longest = int(sizes.max())
    require(_COPIES * 8 * longest * longest, f"a cluster of {longest:,} records needs")
    first, R = np.cumsum(sizes) - sizes, _Residuals(of)
    for s in np.unique(sizes).tolist():
        members = order[first[sizes == s, None] + np.arange(s)]
        V = R.among(members)
        for term, T in zip(of.objective.model.terms, of.objective.model.T(of.theta), strict=True):
            V += _of_term(term, of.sigma * T, members)
        yield members, V


def _of_term(term: Term, T: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Z (I (x) T T') Z' among the members (C, s, s)."""
    Z = np.ones((*members.shape, 1)) if term.covariates is None else term.covariates[members]
    half, codes = Z @ T, term.codes[members]
    return np.asarray((half @ half.transpose(0, 2, 1)) * (codes[:, :, None] == codes[:, None, :]))


class _Residuals:
    """sigma^2 R among records, from its blocks by the groups of the structure."""

    def __init__(self, of: Estimates) -> None:
        model, structure = of.objective.model, of.objective.model.residual
        self.sd = np.full(model.n, of.sigma) if model.weights is None else of.sigma / np.sqrt(model.weights)
        self.blocks: list[tuple[np.ndarray, np.ndarray]] = []
        if structure is not None:
            phi = of.objective.phi
            for members, W in dense_by_group(lambda rows: structure.whiten(phi, rows), structure.group, model.n):
                B = np.linalg.inv(W)
                self.blocks.append((members, B @ B.transpose(0, 2, 1)))

    def among(self, members: np.ndarray) -> np.ndarray:
        """The blocks (C, s, s) of clusters."""
        C, s = members.shape
        out = np.zeros((C, s, s))
        sd = self.sd[members]
        if not self.blocks:
            np.einsum("css->cs", out)[:] = sd**2
            return out
        of_cluster, place = np.full(self.sd.size, -1), np.zeros(self.sd.size, dtype=np.int64)
        of_cluster[members], place[members] = np.arange(C)[:, None], np.arange(s)
        for own, R in self.blocks:
            here = of_cluster[own[:, 0]] >= 0
            at = own[here]
            out[of_cluster[at][:, :, None], place[at][:, :, None], place[at][:, None, :]] = R[here]
        return out * sd[:, :, None] * sd[:, None, :]
