r"""Which variances the data determine, from the design alone: neither the response nor theta takes part.

In units of sigma^2, V = I + sum_t Z_t (K_t (x) H_t) Z_t' is known where its derivatives by the parameters are
independent: V_i = Z_t (K_t (x) D_i) Z_t' for a change D_i of H_t, and I itself for sigma^2, unless that is given. The
restricted likelihood depends on P V P alone, P = I - QQ': under REML the P V_i P must be independent.

Independence is tested on products with random vectors W: where sum_i c_i P V_i P W = 0 has no solution but c = 0, the
P V_i P are independent, and the other way round but for accidents of probability zero. A product is O(n).

H is taken in a basis of each unstructured term's columns in which they are orthonormal: an origin far from the data
does not make its covariances dependent. What is not determined is one of two things.

* P Z_a = 0: the fixed effects determine the column (:mod:`mme.engine.span`).
* Several terms describe the same variation, and V does not tell their variances apart.

A term without which all the V of the model are still there is held at zero: the fit is that of the model without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from mme.covariance.structures import Entries, Extended, Patterned, Structure, structure
from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.engine.span import held_within
from mme.errors import MMEError
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.factor import NotPositiveDefiniteError, Symbolic
from mme.numeric.sums import coding, picked

# Singular values of derivatives of unit length (their length before P) that are rounding.
_DEPENDENT = 1e-9
# The square of a singular value that no rounding reaches: these are then not computed.
_CLEAR = 1e-8
# A column that earlier ones leave no more than this share of is a combination of them.
_COMBINATION = 1e-13
# A coefficient below this share of the largest is rounding.
_NOTHING = 1e-6
# Part of a level's column that its earlier ones leave, as a share of the largest level's, far from any rounding.
_PLAIN = 0.03
# Vectors W for a verdict of dependence; independence needs one.
_VECTORS = 12
# Numbers in the products of one V_i, beyond which there are fewer vectors.
_MOST_NUMBERS = 200_000
# Records among which the variances of a large block's terms are told apart, if they are.
_RECORDS = 1000
# Related levels up to which their covariances are asked for without need.
_FEW_RELATED = 2000
# Columns of a term that a message names.
_SHOWN = 3
# Step of the derivatives of a structure that is not linear in its parameters, by differences of fourth order.
_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class Undetermined:
    """What the data do not determine of the variances.

    Attributes
    ----------
    sentences : tuple of str
        Each thing in words.
    parameters : (k,) bool
        Which natural parameters (standard deviations, correlations), in the order of theta, are not determined.
    sigma : bool
        Whether the residual variance is not.
    directions : int
        In how many directions the criterion is flat.
    held : tuple of (q,) bool, one a term
        Coefficients whose variances are held at zero, so that the rest is determined where that can be.
    unknown : tuple of int, one a term
        In how many directions the parameters of a term change nothing, those of the others as they are.
    """

    sentences: tuple[str, ...]
    parameters: np.ndarray
    sigma: bool
    directions: int
    held: tuple[np.ndarray, ...]
    unknown: tuple[int, ...] = ()

    @property
    def any_held(self) -> bool:
        """Whether anything is held at zero."""
        return any(columns.any() for columns in self.held)


def undetermined(objective: Objective, *, thorough: bool = False) -> Undetermined | None:
    """Say what the data do not determine; None where they determine all.

    Models are looked at whose pattern gives reason to (columns within X, terms on the same levels, levels that do not
    tell a term's columns apart), or where ``thorough`` asks for it.
    """
    model = objective.model
    if model.k == 0 or not (thorough or _suspicious(objective)):
        return None
    within = _held_within(objective)
    if any(columns.any() for columns in within):
        return _beside(objective, within, thorough)
    parts, rows = _parts(objective), _Rows.of(objective)
    if not _derivatives(rows, parts, 1, thorough).null.size:
        return None
    found = _derivatives(rows, parts, max(2, min(_VECTORS, model.n, _MOST_NUMBERS // model.n)), thorough)
    return _described(model, parts, found) if found.null.size else None


def _suspicious(objective: Objective) -> bool:
    """Whether the model has columns within X, terms on the same levels, or levels that do not tell a term's columns."""
    blocks = objective.blocks
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
    if not block.is_block_diagonal or objective.model.n <= 2 * most:
        return False
    levels = max(int(np.searchsorted(np.cumsum(np.bincount(block.codes)), most)), 1)
    some = np.flatnonzero(block.codes < levels)
    if some.size <= objective.system.p:
        return False
    Q = objective.basis.N[:-1, some]
    part = replace(block, codes=block.codes[some], columns=tuple(picked(block.columns, some)), J=levels)
    rows = _Rows((part,), np.linalg.qr(Q.T)[0].T if objective.constants.reml else Q[:0], objective.model.sigma is None)
    parts = [one for one in _parts(objective) if one.block == b]
    return not _derivatives(rows, [replace(one, block=0) for one in parts], 1, False).null.size


def _levels_tell(objective: Objective, b: int) -> bool:
    r"""Whether the ranks of the levels' Z_g show it for the absorbed block, each entry of whose H is a parameter.

    Where c_0 I + sum_i c_i V_i vanishes on all that is orthogonal to X, its rank is at most 2 p. It is at least n - J q
    unless c_0 = 0, as Z_g D Z_g', D = sum_i c_i D_i, has rank q at most; and then at least one for each level whose Z_g
    has rank q, unless D = 0.
    """
    block, p, q = objective.blocks[b], objective.system.p, objective.blocks[b].q
    if b != objective.plan.absorb or not all(isinstance(part, Entries) for part in block.structures):
        return False
    R = objective.system.absorbed.levels.R
    largest = np.sqrt(np.einsum("ajg,ajg->jg", R, R).max(axis=1))
    clear = (np.einsum("aag->ag", R) > _PLAIN * largest[:, None]).all(axis=0)
    return bool(objective.model.n - block.J * q > 2 * p and np.count_nonzero(clear) > 2 * p)


# -- a model without some of its coefficients ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reduced:
    """A model without some coefficients; ``thetas`` are the entries of the whole model's theta that it has."""

    whole: Model
    model: Model
    thetas: np.ndarray

    def embedded(self, values: np.ndarray, other: float) -> np.ndarray:
        """Values by theta, and what follows it, for the whole theta along every axis; ``other`` for what it lacks."""
        at = np.concatenate([self.thetas, np.arange(self.model.k, len(values)) + self.whole.k - self.model.k])
        out = np.full((len(values) + self.whole.k - self.model.k,) * values.ndim, other)
        out[np.ix_(*[at] * values.ndim)] = values
        return out


def reduced(model: Model, held: Sequence[np.ndarray]) -> Reduced:
    """The model without the coefficients that are held at zero."""
    terms, structures, thetas = [], [], [np.zeros(0, dtype=np.intp)]
    start = 0
    for term, part, columns in zip(model.terms, model.structures, held, strict=True):
        entries, start = start + np.arange(part.k), start + part.k
        if columns.all():
            continue
        if columns.any():
            inner = _inner(part)
            if isinstance(inner, Entries):
                gone = columns[inner.rows] | columns[inner.cols]
            else:  # one column is left of a pattern: its standard deviation
                gone = np.append(columns, np.ones(inner.k - inner.q, dtype=bool))
            gone = np.append(gone, np.zeros(part.k - inner.k, dtype=bool))
            entries, term = entries[~gone], term.with_columns(np.flatnonzero(~columns))
            smaller = structure(term.covariance, term.q, term.name)
            part = replace(part, inner=smaller) if isinstance(part, Extended) else smaller
        terms.append(term)
        structures.append(part)
        thetas.append(entries)
    return Reduced(model, replace(model, terms=tuple(terms), structures=tuple(structures)), np.concatenate(thetas))


def without_held(model: Model, held: np.ndarray) -> Reduced:
    """The model without the entries of theta (k,) that are held at zero."""
    columns, start = [], 0
    for part in model.structures:
        own, start = held[start : start + part.k], start + part.k
        inner = _inner(part)
        one = np.full(part.q, own.all())
        if own.any() and not own.all():
            sd = inner.rows[inner.diagonal] if isinstance(inner, Entries) else np.arange(part.q)
            one[sd] = own[: inner.k][inner.diagonal]
        columns.append(one)
    return reduced(model, columns)


def _inner(part: Structure) -> Structure:
    return part.inner if isinstance(part, Extended) else part


# -- columns within X ------------------------------------------------------------------------------------------------


def _held_within(objective: Objective) -> list[np.ndarray]:
    """The columns of each term within X under REML, where the model without them has a structure of the term's kind."""
    held = [np.zeros(part.q, dtype=bool) for part in objective.model.structures]
    if objective.within is None or not objective.constants.reml:
        return held
    for block, found in zip(objective.blocks, objective.within, strict=True):
        columns = held_within(block, found)
        for t, at in zip(block.terms, block.column_slices, strict=True):
            if columns[at].all() or _is_closed(_inner(objective.model.structures[t]), columns[at]):
                held[t] = columns[at]
    return held


def _is_closed(part: Structure, columns: np.ndarray) -> bool:
    """Whether a structure without some columns is one of its kind."""
    alone = isinstance(part, Patterned) and not part.homogeneous and np.count_nonzero(~columns) == 1
    return isinstance(part, Entries) or alone


def _beside(objective: Objective, within: list[np.ndarray], thorough: bool) -> Undetermined:
    """What is not determined: the columns within X, and what is not in the model without them."""
    model, rest = objective.model, reduced(objective.model, within)
    sentences = tuple(
        f"{name} is determined by the fixed effects: its variance cannot be estimated, and is held at zero"
        for term, columns in zip(model.terms, within, strict=True)
        for name in _names(term, columns)
    )
    gone = rest.embedded(np.zeros(rest.model.k), 1.0) > 0.0
    among = undetermined(Objective(rest.model, phi=objective.phi), thorough=thorough) if rest.model.k else None
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


# -- derivatives -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Part:
    """Derivatives ``D`` (m, q, q) of one term's H, its columns scaled, by theta or the entries of H.

    ``moved`` are the same in the columns ``at`` of the term's block. ``dependent`` (q,) are columns that earlier ones
    determine; ``rows`` is where its derivatives stand among all.
    """

    block: int
    at: slice
    D: np.ndarray
    moved: np.ndarray
    dependent: np.ndarray
    structure: Structure
    rows: slice


@dataclass(frozen=True, eq=False)
class _Rows:
    """Records of the blocks, an orthonormal basis Q' (p, n) of what is projected off, whether sigma^2 is unknown."""

    blocks: tuple[Block, ...]
    Q: np.ndarray
    sigma: bool

    @classmethod
    def of(cls, objective: Objective) -> _Rows:
        """All records of a model."""
        Q = objective.basis.N[:-1]
        return cls(objective.blocks, Q if objective.constants.reml else Q[:0], objective.model.sigma is None)


@dataclass(frozen=True, eq=False)
class _Derivatives:
    """vec(P V_i P W) over the length of vec(V_i P W), a row each, I last; those lengths; combinations that are zero."""

    values: np.ndarray
    lengths: np.ndarray
    null: np.ndarray


def _parts(objective: Objective) -> list[_Part]:
    parts: list[_Part] = []
    for t, one in enumerate(objective.model.structures):
        b = next(b for b, block in enumerate(objective.blocks) if t in block.terms)
        block, start = objective.blocks[b], parts[-1].rows.stop if parts else 0
        at = block.column_slices[block.terms.index(t)]
        free, axes = isinstance(_inner(one), Entries) and not _inner(one).diagonal.all(), objective.model.axes[t]
        dependent = np.zeros(one.q, dtype=bool)
        if free:
            dependent = _dependent(block, at) if axes is None else ~axes.own
        D = _changes(_inner(one), block, at, bool(dependent.any()))
        M = np.array([block.moved(column)[at] for column in np.eye(block.q)[at] / block.size[at, None]]).T
        parts.append(_Part(b, at, D, M @ D @ M.T, dependent, _inner(one), slice(start, start + len(D))))
    return parts


def _dependent(block: Block, at: slice) -> np.ndarray:
    """Which columns (q,) of a term are combinations of earlier ones in every record."""
    found, basis = [], np.zeros((0, block.codes.shape[-1]))
    for column in block.columns[at]:
        values = np.ones(basis.shape[1]) if column is None else column
        left = values - (basis @ values) @ basis
        left -= (basis @ left) @ basis
        size = float(np.linalg.norm(left))
        found.append(size <= _COMBINATION * float(np.linalg.norm(values)))
        if not found[-1]:
            basis = np.vstack([basis, left / size])
    return np.array(found)


def _changes(part: Structure, block: Block, at: slice, dependent: bool) -> np.ndarray:
    """Derivatives of H, scaled columns, by the parameters of a structure at a point like any other."""
    q, scale = part.q, block.size[at]
    if isinstance(part, Entries):
        root = np.eye(q) if dependent or part.diagonal.all() else _orthonormal(block, at)
        D = np.zeros((part.k, q, q))
        for one, i, j in zip(D, part.rows.tolist(), part.cols.tolist(), strict=True):
            one[i, j] = one[j, i] = 1.0
        return np.asarray(root @ D @ root.T)
    A = np.random.default_rng(1).standard_normal((q, 3 * q))
    H = A @ A.T / A.shape[1]
    theta = part.nearest(H / np.outer(scale, scale), 1e-3 / scale**2)
    steps = _STEP * np.diag(np.maximum(np.abs(theta), 0.1 * np.abs(theta).max()))

    def at_scale(x: np.ndarray) -> np.ndarray:
        T = part.T(x) * scale[:, None]
        return np.asarray(T @ T.T)

    def difference(step: np.ndarray) -> np.ndarray:
        return at_scale(theta + step) - at_scale(theta - step)

    return np.array([8.0 * difference(step) - difference(2.0 * step) for step in steps])


def _orthonormal(block: Block, at: slice) -> np.ndarray:
    """R^-1 of the QR of a term's columns, scaled, over all records; that of C serves where they have axes."""
    if block.C is not None:
        return np.asarray(np.linalg.inv(np.linalg.qr(block.C[at, at] / block.size[at], mode="r")))
    values = [np.ones(block.codes.shape[-1]) if column is None else column for column in block.columns[at]]
    R = np.linalg.qr(np.array(values).T, mode="r") / np.sqrt(len(values[0]))
    return np.asarray(np.linalg.inv(R))


def _derivatives(among: _Rows, parts: list[_Part], vectors: int, thorough: bool) -> _Derivatives:
    Q, n = among.Q, among.Q.shape[1]

    def project(rows: np.ndarray) -> np.ndarray:
        return rows - (rows @ Q.T) @ Q if len(Q) else rows

    W = project(np.random.default_rng(2).standard_normal((vectors, n)))
    inner = [_related(block, block.sums(W), thorough) for block in among.blocks]
    rows, lengths = [], []
    for part in parts:
        block = among.blocks[part.block]
        V_W = [_spread(block, part.at, D @ inner[part.block][:, part.at], n) for D in part.moved]
        sizes = np.nan_to_num([float(np.linalg.norm(one)) for one in V_W], nan=1.0)
        sizes[sizes <= _DEPENDENT * sizes.max()] = float(sizes.max()) or 1.0  # nothing but rounding
        rows += [project(one).ravel() / size for one, size in zip(V_W, sizes.tolist(), strict=True)]
        lengths += sizes.tolist()
    if among.sigma:
        lengths.append(float(np.linalg.norm(W)))
        rows.append(W.ravel() / lengths[-1])
    values = np.array(rows)
    return _Derivatives(values, np.array(lengths), _null(values))


def _related(block: Block, b: np.ndarray, thorough: bool) -> np.ndarray:
    """K b for b (J, q, vectors); NaN where K is not asked for, or has no inverse."""
    if block.relationship is None:
        return b
    theta = np.zeros(block.theta_slices[0].stop)
    if block.is_parametric:
        theta[theta.size - block.relationship.k :] = block.relationship.starts()[0]
    if block.J > _FEW_RELATED and not thorough:
        return np.full(b.shape, np.nan)
    relationship = block.relationship_at(theta)
    if not np.isfinite(relationship.diagonal).all():
        return np.full(b.shape, np.nan)
    lower = sp.csc_array(sp.tril(relationship.precision))
    lower.sort_indices()
    try:
        factor = Symbolic(lower).factor(lower.data)
    except NotPositiveDefiniteError:
        return np.full(b.shape, np.nan)
    return np.asarray(factor.solve(b.reshape(block.J, -1))).reshape(b.shape)


def _spread(block: Block, at: slice, b: np.ndarray, n: int) -> np.ndarray:
    """Z b (vectors, n) of some columns, for b (J, columns, vectors)."""
    out = np.zeros((b.shape[2], n))
    for a, effects in zip(range(at.start, at.stop), b.transpose(1, 2, 0), strict=True):
        column, values = block.columns[a], effects[:, coding(block.codes, a)]
        values = values if column is None else values * column
        out += values if block.records is None else np.array([np.bincount(block.records, row, n) for row in values])
    return out


def _null(values: np.ndarray) -> np.ndarray:
    """Combinations (f, rows) of the rows that are zero; a row that is not known is in none."""
    known = np.isfinite(values).all(axis=1)
    out = np.zeros((0, len(values)))
    if not known.any() or np.linalg.eigvalsh(values[known] @ values[known].T)[0] > _CLEAR:
        return out
    left, size, _ = np.linalg.svd(values[known], full_matrices=values.shape[1] < len(values))
    size = np.append(size, np.zeros(left.shape[1] - size.size))
    found = left[:, size <= _DEPENDENT]
    out = np.zeros((found.shape[1], len(values)))
    out[:, known] = found.T
    return out


# -- terms that describe the same variation --------------------------------------------------------------------------


def _described(model: Model, parts: list[_Part], found: _Derivatives) -> Undetermined:
    """Name what is not determined, and hold what can be."""
    held = _redundant(model, parts, found)
    parameters, sigma, sentences = np.zeros(model.k, dtype=bool), False, []
    gone = [name for term, columns in zip(model.terms, held, strict=True) for name in _held_names(term, columns)]
    for members in _components(found.null, parts):
        null = np.where(members, found.null, 0.0) / found.lengths
        null = null[np.abs(null * found.lengths).max(axis=1) > _NOTHING]
        open_, names = _touched(model, parts, null)
        of_sigma = model.sigma is None and bool(members[-1])
        parameters |= open_
        sigma |= of_sigma
        names += ["the residuals"] * of_sigma
        if not names:  # no variance is among them: a correlation of columns that never meet in a level
            alone = [name for name, is_open in zip(model.theta_names, open_.tolist(), strict=True) if is_open]
            sentences.append(f"the data do not determine {_listed(alone)}")
            continue
        zero = [name for name in gone if name in names]
        several = len(names) > 1
        which = f"variances of {_listed(names)}" if several else f"variance of {names[0]} and its correlations"
        rest = f": {_listed(zero)} {'is' if len(zero) == 1 else 'are'} held at zero" if zero else ""
        sentences.append(f"the {which} cannot be told apart{rest}")
    unknown = tuple(_within_alone(found.null, part.rows) for part in parts)
    return Undetermined(tuple(sentences), parameters, sigma, len(found.null), tuple(held), unknown)


def _within_alone(null: np.ndarray, rows: slice) -> int:
    """How many independent combinations of these rows alone are zero."""
    size = np.linalg.svd(np.delete(null, rows, axis=1), compute_uv=False)
    return len(null) - int((size > _NOTHING).sum())


def require_determined(model: Model, found: Undetermined) -> None:
    """Refuse an unstructured term with as many coefficients as levels whose covariances mostly mean nothing.

    Raises
    ------
    MMEError
        The data determine fewer than half of them.
    """
    for term, part, unknown in zip(model.terms, model.structures, found.unknown, strict=False):
        known = part.k - unknown
        if part.mixes and term.q >= term.n_levels and 2 * known < part.k:
            raise MMEError(
                f"term '{term.name}' has {part.k} variances and covariances of {term.q} coefficients from "
                f"{term.n_levels} levels, and the data determine {known} of them: no level tells its coefficients "
                f"apart. Leave the covariances out, diag({_written(term.columns)} | {term.name}), or use fewer columns"
            )


def _written(columns: Sequence[str]) -> str:
    """The columns of a term in a formula, the first few of many."""
    shown = ["1" if column == "(Intercept)" else column for column in columns]
    return " + ".join(shown if len(shown) <= _SHOWN else [*shown[:_SHOWN], "..."])


def _listed(names: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _held_names(term: Term, columns: np.ndarray) -> list[str]:
    return [f"{term.columns[j]} by {term.name}" for j in np.flatnonzero(columns).tolist()]


def _components(null: np.ndarray, parts: list[_Part]) -> Iterator[np.ndarray]:
    """Sets of rows, as bool, that no combination and no term ties to others; those in no combination left out."""
    tied = np.abs(null.T @ null) > _NOTHING
    left = tied.any(axis=1)
    for part in parts:
        tied[part.rows, part.rows] |= np.outer(left[part.rows], left[part.rows])
    while left.any():
        members = np.arange(len(left)) == np.argmax(left)
        while (more := tied[members].any(axis=0) | members).sum() > members.sum():
            members = more
        left &= ~members
        yield members


def _touched(model: Model, parts: list[_Part], null: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Natural parameters (k,) that change along combinations of the V_i, and whose variances are among them."""
    changes = [np.einsum("fi,iab->fab", null[:, part.rows], part.D) for part in parts]
    largest = max(float(np.abs(one).max(initial=0.0)) for one in changes)
    open_, names, start = np.zeros(model.k, dtype=bool), [], 0
    for term, whole, part, change in zip(model.terms, model.structures, parts, changes, strict=True):
        own, inner = slice(start, start + part.structure.k), part.structure
        start += whole.k
        if isinstance(inner, Entries):
            H = np.abs(change).max(axis=0) > _NOTHING * largest
            sd = np.diag(H)
            open_[own] = H[inner.rows, inner.cols] | ((inner.rows != inner.cols) & (sd[inner.rows] | sd[inner.cols]))
            among = sd if sd.any() else H.any(axis=0)
        else:
            open_[own] = np.abs(null[:, part.rows] * np.abs(part.D).max(axis=(1, 2))).max(axis=0) > _NOTHING * largest
            among = np.full(term.q, open_[own].any())
            if isinstance(inner, Patterned) and not inner.homogeneous:
                among = open_[own][: term.q]
        names += _held_names(term, among)
    return open_, names


def _redundant(model: Model, parts: list[_Part], found: _Derivatives) -> list[np.ndarray]:
    """Coefficients that may be held at zero one after the other: what is left has all the V that there were."""
    held = [np.zeros(term.q, dtype=bool) for term in model.terms]
    in_use = np.isfinite(found.values).all(axis=1)
    touched = np.abs(found.null).max(axis=0) > _NOTHING
    for part, columns in zip(parts, held, strict=True):
        inner = part.structure
        if isinstance(inner, Entries) and not inner.diagonal.all():
            columns |= part.dependent
            in_use[part.rows] &= ~(columns[inner.rows] | columns[inner.cols])
    for t, columns in _candidates(parts):
        own = _own_rows(parts[t], columns)
        own = own[in_use[own]]
        if own.size and touched[own].all():
            others = in_use.copy()
            others[own] = False
            if _holds(parts, found, parts[t], own, others):
                held[t] |= columns
                in_use[own] = False
    return held


def _candidates(parts: list[_Part]) -> Iterator[tuple[int, np.ndarray]]:
    """Terms whose absence leaves a model of the same kind, the smallest first and of these the last one."""
    found = []
    for t, part in enumerate(parts):
        inner, q = part.structure, part.structure.q
        if isinstance(inner, Entries) and inner.diagonal.all():
            found += [(1, -t, -j, np.arange(q) == j) for j in range(q)]
        elif isinstance(inner, Entries) or (isinstance(inner, Patterned) and inner.pattern == "diagonal"):
            found.append((inner.k, -t, 0, np.ones(q, dtype=bool)))
    yield from ((-t, columns) for _, t, _, columns in sorted(found, key=lambda one: one[:3]))


def _own_rows(part: _Part, columns: np.ndarray) -> np.ndarray:
    """The rows of a term's derivatives, or of one column of a diagonal one."""
    rows = np.arange(part.rows.start, part.rows.stop)
    return rows if len(rows) != columns.size or columns.all() else rows[columns]


def _holds(parts: list[_Part], found: _Derivatives, part: _Part, own: np.ndarray, others: np.ndarray) -> bool:
    """Whether whatever H a term has, the others can have it beside their own: coefficients within their cones.

    V_t(f f') = sum_i c_i V_i for directions f, the c_i of each other term a positive semi-definite matrix.
    """
    at = np.flatnonzero(others)
    if not at.size:
        return False
    solved = np.linalg.lstsq(found.values[at].T, found.values[own].T, rcond=_DEPENDENT)[0]
    if np.abs(found.values[at].T @ solved - found.values[own].T).max() > _NOTHING:
        return False
    solved[np.abs(solved) < _NOTHING * np.abs(solved).max(axis=0)] = 0.0
    c = np.zeros((len(found.lengths), len(own)))
    c[at] = solved * found.lengths[own] / found.lengths[at][:, None]
    for direction in _directions(part, len(own)):
        along = c @ direction
        if len(along) > parts[-1].rows.stop and along[-1] < 0.0:  # of I
            return False
        if not all(_within_cone(other, along[other.rows]) for other in parts):
            return False
    return True


def _directions(part: _Part, count: int) -> np.ndarray:
    """Coordinates (directions, count) of changes f f' of a term's H."""
    inner = part.structure
    if count == 1 or not isinstance(inner, Entries) or inner.diagonal.all():
        return np.eye(count)
    f = np.concatenate([np.eye(inner.q), np.random.default_rng(3).standard_normal((2 * inner.q, inner.q))])
    return f[:, inner.rows] * f[:, inner.cols]


def _within_cone(part: _Part, coefficients: np.ndarray) -> bool:
    """Whether a change of a term's H can be added to any: positive semi-definite, and within its structure."""
    D, inner = np.einsum("i,iab->ab", coefficients, part.D), part.structure
    size = float(np.abs(D).max(initial=0.0))
    if isinstance(inner, Entries) or (isinstance(inner, Patterned) and inner.pattern == "diagonal"):
        return bool(np.linalg.eigvalsh(D)[0] >= -_NOTHING * size)
    return size <= _NOTHING
