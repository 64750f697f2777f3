"""Which variances the data determine, from the design alone: neither the response nor theta takes part.

The derivatives of V by the variance parameters must be independent where the likelihood sees them
(:mod:`mme.identifiability.independence`). What is not determined is one of two things.

* P Z_a = 0: the fixed effects determine the column (:mod:`mme.engine.span`).
* Several terms describe the same variation, and V does not tell their variances apart.

A term without which all the V of the model are still there is held at zero (:mod:`mme.identifiability.redundant`): the
fit is that of the model without it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mme.engine.objective import Objective
from mme.engine.span import held_within
from mme.identifiability.independence import ProjectedRows, derivatives_of_terms, products
from mme.identifiability.one_record import beside_one_record
from mme.identifiability.reduced import reduced
from mme.identifiability.undetermined import Undetermined, described
from mme.model.term import Term
from mme.numeric.sums import picked

# Part of a level's column that its earlier ones leave, as a share of the largest level's, far from any rounding.
_PLAIN = 0.03
# Vectors W for a verdict of dependence; independence needs one.
_VECTORS = 12
# Numbers in the products of one V_i, beyond which there are fewer vectors.
_MOST_NUMBERS = 200_000
# Records among which the variances of a large block's terms are told apart, if they are.
_RECORDS = 1000


def undetermined(objective: Objective, *, thorough: bool = False) -> Undetermined | None:
    """Say what the data do not determine; None where they determine all.

    Models are looked at whose pattern gives reason to (columns within X, terms on the same levels, levels that do not
    tell a term's columns apart), or where ``thorough`` asks for it.
    """
    model = objective.model
    if model.k == 0 or not (thorough or _suspicious(objective)):
        return None if model.k == 0 else beside_one_record(objective)
    within = _held_within(objective)
    if any(columns.any() for columns in within):
        return _beside(objective, within, thorough)
    parts, rows = derivatives_of_terms(objective), ProjectedRows.of(objective)
    if not products(rows, parts, 1, thorough).null.size:
        return beside_one_record(objective)
    found = products(rows, parts, max(2, min(_VECTORS, model.n, _MOST_NUMBERS // model.n)), thorough)
    return described(model, parts, found) if found.null.size else beside_one_record(objective)


def _suspicious(objective: Objective) -> bool:
    """Whether the model has columns within X, terms on the same levels, or levels that do not tell a term's columns."""
    blocks = objective.random
    if objective.within is not None or not all(_has_rank(objective, b) for b in range(len(blocks))):
        return True
    if any(len(block.terms) > 1 and not _told_apart(objective, b) for b, block in enumerate(blocks)):
        return True
    alike = [(one, other) for b, one in enumerate(blocks) for other in blocks[:b] if one.J == other.J]
    return any(one.cells(other).count <= one.J for one, other in alike)


def _has_rank(objective: Objective, b: int) -> bool:
    """Whether some level of a block tells its columns apart, as far as absorption has seen them."""
    if objective.blocks[b].q == 1 or b != objective.plan.absorb or objective.blocks[b].is_spherical:
        return True
    return bool((np.einsum("aag->ag", objective.system.absorbed.levels.R) > 0.0).all(axis=0).any())


def _told_apart(objective: Objective, b: int) -> bool:
    """Whether some levels of a block alone tell its variances apart: their records are enough where there are many.

    With w a combination of these records that is orthogonal to X, V_i w is of the same records.
    """
    if _levels_tell(objective, b):
        return True
    block, most = objective.blocks[b], _RECORDS + 10 * objective.system.p
    if not block.is_block_diagonal or objective.fixed is not None or objective.model.n <= 2 * most:
        return False
    levels = max(int(np.searchsorted(np.cumsum(np.bincount(block.codes)), most)), 1)
    some = np.flatnonzero(block.codes < levels)
    if some.size <= objective.system.p:
        return False
    Q = objective.basis.N[:-1, some]
    part = replace(block, codes=block.codes[some], columns=tuple(picked(block.columns, some)), J=levels)
    rows = ProjectedRows(
        (part,), np.linalg.qr(Q.T)[0].T if objective.constants.reml else Q[:0], objective.model.sigma is None
    )
    parts = [one for one in derivatives_of_terms(objective) if one.block == b]
    return not products(rows, [replace(one, block=0) for one in parts], 1, False).null.size


def _levels_tell(objective: Objective, b: int) -> bool:
    r"""Whether the ranks of the levels' Z_g show it for the absorbed block, each entry of whose H is a parameter.

    Where c_0 I + sum_i c_i V_i vanishes on all that is orthogonal to X, its rank is at most 2 p. It is at least n - J q
    unless c_0 = 0, as Z_g D Z_g', D = sum_i c_i D_i, has rank q at most; and then at least one for each level whose Z_g
    has rank q, unless D = 0.
    """
    block, p, q = objective.blocks[b], objective.constants.p, objective.blocks[b].q
    if b != objective.plan.absorb or any(part.entries is None for part in block.structures):
        return False
    R = objective.system.absorbed.levels.R
    largest = np.sqrt(np.einsum("ajg,ajg->jg", R, R).max(axis=1))
    clear = (np.einsum("aag->ag", R) > _PLAIN * largest[:, None]).all(axis=0)
    return bool(objective.model.n_records - block.J * q > 2 * p and np.count_nonzero(clear) > 2 * p)


def _held_within(objective: Objective) -> list[np.ndarray]:
    """The columns of each term within X under REML, where the model without them has a structure of the term's kind."""
    held = [np.zeros(part.q, dtype=bool) for part in objective.model.structures]
    if objective.within is None or not objective.constants.reml:
        return held
    for block, found in zip(objective.blocks, objective.within, strict=True):
        columns = held_within(block, found)
        for t, at in zip(block.terms, block.column_slices, strict=True):
            if columns[at].all() or objective.model.structures[t].lost_with(columns[at]) is not None:
                held[t] = columns[at]
    return held


def _beside(objective: Objective, within: list[np.ndarray], thorough: bool) -> Undetermined:
    """What is not determined: the columns within X, and what is not in the model without them."""
    model, rest = objective.model, reduced(objective.model, within)
    sentences = tuple(
        f"{name} is determined by the fixed effects: its variance cannot be estimated, and is held at zero"
        for term, columns in zip(model.terms, within, strict=True)
        for name in _names(term, columns)
    )
    gone = rest.embedded(np.zeros(rest.model.k), 1.0) > 0.0
    among = undetermined(Objective.of(rest.model, phi=objective.phi), thorough=thorough) if rest.model.k else None
    if among is None:
        return Undetermined(sentences, gone, False, int(gone.sum()), tuple(within))
    left, held = iter(among.held), [columns.copy() for columns in within]
    for columns in held:
        if not columns.all():
            columns[~columns] = next(left)
    return Undetermined(
        (*sentences, *among.sentences),
        rest.embedded(among.parameters.astype(float), 1.0) > 0.0,
        among.sigma,
        int(gone.sum()) + among.directions,
        tuple(held),
    )


def _names(term: Term, columns: np.ndarray) -> list[str]:
    """The term, where all its columns are meant, else each of them."""
    if columns.all():
        return [term.name]
    return [f"{term.columns[j]} by {term.name}" for j in np.flatnonzero(columns).tolist()]
