"""What the data do not determine of the variances: the record of it, and the sentences that say it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError
from mme.identifiability.independence import DerivativeProducts, TermDerivatives
from mme.identifiability.redundant import NOTHING, redundant
from mme.model.problem import Model
from mme.model.term import Term

# Columns of a term that a message names.
_SHOWN = 3


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


def described(model: Model, parts: list[TermDerivatives], found: DerivativeProducts) -> Undetermined:
    """Name what is not determined, and hold what can be."""
    held = redundant(model, parts, found)
    parameters, sigma, sentences = np.zeros(model.k, dtype=bool), False, []
    gone = [name for term, columns in zip(model.terms, held, strict=True) for name in _held_names(term, columns)]
    for members in _components(found.null, parts):
        null = np.where(members, found.null, 0.0) / found.lengths
        null = null[np.abs(null * found.lengths).max(axis=1) > NOTHING]
        open_, names = _touched(model, parts, null)
        of_sigma = model.sigma is None and bool(members[-1])
        parameters |= open_
        sigma |= of_sigma
        names += ["the residuals"] * of_sigma
        if not names:  # no variance is among them: correlations of columns that no levels, nor their relatives, share
            alone = [name for name, is_open in zip(_parameters_in_words(model), open_.tolist(), strict=True) if is_open]
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
    return len(null) - int((size > NOTHING).sum())


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
    """The names in a sentence: ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _held_names(term: Term, columns: np.ndarray) -> list[str]:
    return [f"{term.columns[j]} by {term.name}" for j in np.flatnonzero(columns).tolist()]


def _parameters_in_words(model: Model) -> list[str]:
    """The parameters of theta in a sentence: the correlation of two columns, or the name of what is none."""
    names = list(model.theta_names)
    start = 0
    for term, whole in zip(model.terms, model.structures, strict=True):
        for j, (row, col) in enumerate(zip(*whole.entries, strict=True) if whole.entries is not None else ()):
            if row != col:
                one, other = (term.columns[c] for c in sorted((row, col)))
                names[start + j] = f"the correlation of {one} and {other} by {term.name}"
        start += whole.k
    return names


def _components(null: np.ndarray, parts: list[TermDerivatives]) -> Iterator[np.ndarray]:
    """Sets of rows, as bool, that no combination and no term ties to others; those in no combination left out."""
    tied = np.abs(null.T @ null) > NOTHING
    left = tied.any(axis=1)
    for part in parts:
        tied[part.rows, part.rows] |= np.outer(left[part.rows], left[part.rows])
    while left.any():
        members = np.arange(len(left)) == np.argmax(left)
        while (more := tied[members].any(axis=0) | members).sum() > members.sum():
            members = more
        left &= ~members
        yield members


def _touched(model: Model, parts: list[TermDerivatives], null: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Natural parameters (k,) that change along combinations of the V_i, and whose variances are among them."""
    changes = [np.einsum("fi,iab->fab", null[:, part.rows], part.D) for part in parts]
    largest = max(float(np.abs(one).max(initial=0.0)) for one in changes)
    open_, names, start = np.zeros(model.k, dtype=bool), [], 0
    for term, whole, part, change in zip(model.terms, model.structures, parts, changes, strict=True):
        own, inner = slice(start, start + part.structure.k), part.structure
        start += whole.k
        if inner.entries is not None:
            (rows, cols), H = inner.entries, np.abs(change).max(axis=0) > NOTHING * largest
            sd = np.diag(H)
            open_[own] = H[rows, cols] | ((rows != cols) & (sd[rows] | sd[cols]))
            among = sd  # none where covariances alone are open
        else:
            open_[own] = np.abs(null[:, part.rows] * np.abs(part.D).max(axis=(1, 2))).max(axis=0) > NOTHING * largest
            among = inner.columns_of(open_[own])
        names += _held_names(term, among)
    return open_, names
