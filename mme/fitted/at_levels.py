"""Variances of the random effects at levels that a user names: those of all may not be there, or not wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.effects import Effects, conditional_covariance, effects, error_covariance
from mme.fitted.record import Fitted
from mme.numeric.memory import require
from mme.solution.chosen import chosen_blocks, chosen_pairs
from mme.tables.arrays import shown
from mme.tables.labels import label_array
from mme.tables.spelling import label, places


def chosen_levels(fit: Fitted, by: str, levels: Any) -> list[tuple[Effects, np.ndarray]]:
    """The effects that ``levels={name: labels}`` names, and where these labels stand.

    Raises
    ------
    MMEError
        A name or a label is none of the fit's.
    """
    known = {one.name: one for one in effects(fit.model, by)}
    if not isinstance(levels, Mapping):
        raise MMEError(f"levels are given by grouping factor, levels={{'g': ['a', 'b']}}; got {shown(levels)}")
    found = []
    for name, given in levels.items():
        if name not in known:
            raise MMEError(f"levels: there is no term {shown(name)}; the fit has {', '.join(map(repr, known))}")
        one = known[name]
        labels = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
        at = places(label_array(labels), one.levels) if labels else np.zeros(0, dtype=np.int64)
        if (at < 0).any():
            odd = labels[int(np.flatnonzero(at < 0)[0])]
            some = ", ".join(repr(label(value)) for value in one.levels[:3].tolist())
            raise MMEError(f"levels: '{name}' has no level {label(odd)!r}; its levels are {some}, ...")
        found.append((one, at))
    return found


def covariance_at(fit: Fitted, of: Effects, g: np.ndarray, *, with_beta: bool) -> np.ndarray:
    """var(b | y), or var(b_hat - b), at these levels (levels, q, q)."""
    estimates, model = fit.estimates, fit.model
    if not estimates.objective.plan.iterative:
        whole = (error_covariance if with_beta else conditional_covariance)(estimates, of)
        return np.asarray(whole[g])
    blocks = estimates.objective.blocks
    b = next(b for b, block in enumerate(blocks) if of.terms[0] in block.terms)
    if not set(of.terms) <= set(blocks[b].terms):
        raise MMEError(
            f"the terms on '{of.group}' are searched apart, and the iterative engine has no covariances between them: "
            'by="term" has the variances of each'
        )
    H = chosen_blocks(estimates if with_beta else estimates.given_beta, b, g)
    H = estimates.sigma**2 * blocks[b].covariance(H, estimates.theta)
    place = dict(zip(blocks[b].terms, blocks[b].column_slices, strict=True))
    columns = np.concatenate([np.arange(place[t].start, place[t].stop) for t in of.terms])
    found = H[:, columns[:, None], columns]
    for one in model.unknown_parents:
        if one.term in of.terms:
            found[np.isin(g, one.groups)] = 0.0
    if with_beta:
        D = np.concatenate([estimates.along_beta[t][g] for t in of.terms], axis=1)
        found = found + estimates.sigma**2 * (D @ D.transpose(0, 2, 1))
    return np.asarray(found)


def error_between(fit: Fitted, t: int, g: np.ndarray) -> np.ndarray:
    """cov(b_hat - b) between each two of these levels of a term (levels, levels, q, q)."""
    estimates, blocks = fit.estimates, fit.estimates.objective.blocks
    b = next(b for b, block in enumerate(blocks) if t in block.terms)
    m, q = estimates.objective.system.rest.m, blocks[b].q
    require(16 * m * q * g.size + 24 * (q * g.size) ** 2, f"prediction errors among {g.size:,} levels would take")
    H = blocks[b].covariance(chosen_pairs(estimates, b, g), estimates.theta)
    columns = dict(zip(blocks[b].terms, blocks[b].column_slices, strict=True))[t]
    found = H[:, :, columns, columns]
    for one in fit.model.unknown_parents:
        if one.term == t:
            found[np.isin(g, one.groups)] = found[:, np.isin(g, one.groups)] = 0.0
    D = estimates.along_beta[t][g]
    return np.asarray(estimates.sigma**2 * (found + np.einsum("gap,hbp->ghab", D, D, optimize=True)))
