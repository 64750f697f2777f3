"""The joint moment equations against their definition, by whole matrices of the records."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import mme
from mme.engine.objective import Objective
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within
from mme.search.moments import moment_equations

SIGMA = 1.3


def three_factors(seed, widths, n=240):
    """Three crossed factors with so many columns each, and records enough for every level."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.standard_normal((n, 2))])
    Z = [np.column_stack([np.ones(n), rng.standard_normal((n, q - 1))]) for q in widths]
    codes = [rng.integers(0, J, n) for J in (24, 9, 6)]
    y = X @ [1.0, 2.0, -1.0] + rng.standard_normal(n)
    for own, code in zip(Z, codes, strict=True):
        y += np.einsum("ia,ia->i", own, rng.standard_normal((code.max() + 1, own.shape[1]))[code])
    return y, X, [mme.Term(code, own) for code, own in zip(codes, Z, strict=True)]


def by_definition(objective):
    """H of every block that solves the equations, with Z_g of each level and P as matrices."""
    Q, r = objective.basis.Q, objective.basis.r
    P, levels = np.eye(len(r)) - Q @ Q.T, []
    for block in objective.blocks:
        Z = np.column_stack([np.ones(len(r)) if column is None else column for column in block.columns])
        levels.append([Z * (block.codes == g)[:, None] for g in range(block.J)])
    ends = np.cumsum([0, *(block.q**2 for block in objective.blocks)])
    cuts = [slice(*pair) for pair in pairwise(ends)]
    matrix, target = np.zeros((ends[-1], ends[-1])), np.zeros(ends[-1])
    for t, of_t in enumerate(levels):
        for Z in of_t:
            E, z = np.linalg.inv(np.eye(Z.shape[1]) + Z.T @ Z), Z.T @ r
            target[cuts[t]] += (E @ (np.outer(z, z) / SIGMA**2 - Z.T @ P @ Z) @ E).ravel()
            for s, of_s in enumerate(levels):
                for other in of_s:
                    X = E @ Z.T @ P @ other
                    matrix[cuts[t], cuts[s]] += np.kron(X, X)
    H = np.linalg.solve(matrix, target)
    return [H[cut].reshape(block.q, block.q) for cut, block in zip(cuts, objective.blocks, strict=True)]


@pytest.mark.parametrize("panel", [37, 16_384])
@pytest.mark.parametrize("widths", [(1, 1, 1), (2, 1, 1), (1, 2, 3)])
def test_moments_solve_their_equations_whatever_the_panels(widths, panel):
    y, X, terms = three_factors(sum(widths), widths)
    with within(Limits(records_in_panel=panel)):
        objective = Objective.of(build_model(y, X, terms, sigma=SIGMA))
        blocks, solve = moment_equations(objective)
        found = solve(blocks)
    for H, defined in zip(found, by_definition(objective), strict=True):
        np.testing.assert_allclose(H, (defined + defined.T) / 2, rtol=1e-8, atol=1e-9)
