"""Theta and sigma as standard deviations and correlations, and how to hold one of these while the others vary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mme.covariance.axes import Axes
from mme.covariance.structures import Entries, Extended, Patterned, Structure, lower_factor
from mme.errors import MMEError
from mme.model.problem import Model, told_apart
from mme.numeric.lapack import triangular_solve
from mme.tables.names import unlike


def natural_names(model: Model) -> tuple[str, ...]:
    """lme4's names in the order of theta, then sigma: ``sd_x|g``, ``cor_x2.x1|g``, ``sigma``.

    ``sd|g`` is one standard deviation for all columns, ``rho|g`` the parameter of a pattern of correlations.
    """
    names = told_apart(model.terms, [partial(_names, part) for part in model.structures])
    return (*names, "sigma") if model.sigma is None else names


def natural_values(model: Model, theta: np.ndarray, sigma: float) -> np.ndarray:
    """The values of :func:`natural_names`; NaN for a correlation with a standard deviation of zero."""
    pieces = zip(model.terms, model.structures, model.split(theta), strict=True)
    values = [_values(term.name, part, piece, sigma) for term, part, piece in pieces]
    return np.concatenate([*values, [sigma] if model.sigma is None else []])


def parameter_names(model: Model, fixed_names: tuple[str, ...]) -> tuple[str, ...]:
    """All parameters: :func:`natural_names`, those of the residual structure, then the fixed effects.

    ``sigma`` and a parameter of the residual structure are ``rho|residual`` where a fixed effect has the name.
    """
    structure = () if model.residual is None else model.residual.names
    own = [f"{name}|residual" if name in fixed_names else name for name in (*natural_names(model), *structure)]
    return (*unlike(own, fixed_names), *fixed_names)


def parameter_bounds(model: Model) -> tuple[tuple[float, float], ...]:
    """What values the parameters of :func:`natural_names` can take."""
    found = []
    for part in model.structures:
        inner = part.inner if isinstance(part, Extended) else part
        lowest = inner.lowest if isinstance(inner, Patterned) and inner.n_sd < inner.k else -1.0
        found += [(0.0, np.inf) if is_sd else (lowest, 1.0) for is_sd in inner.diagonal.tolist()]
        found += part.extra.bounds if isinstance(part, Extended) else ()
    return (*found, (0.0, np.inf)) if model.sigma is None else tuple(found)


def residual_names(model: Model, fixed_names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the residual structure among :func:`parameter_names`."""
    names = parameter_names(model, fixed_names)
    count = 0 if model.residual is None else model.residual.k
    end = len(names) - len(fixed_names)
    return names[end - count : end]


def parameter_values(model: Model, theta: np.ndarray, phi: np.ndarray, sigma: float, beta: np.ndarray) -> np.ndarray:
    """The values of :func:`parameter_names`."""
    residual = np.zeros(0) if model.residual is None else model.residual.natural(phi)
    return np.concatenate([natural_values(model, theta, sigma), residual, beta])


def _names(part: Structure, term: str, columns: Sequence[str]) -> list[str]:
    if isinstance(part, Extended):
        return [*_names(part.inner, term, columns), *(f"{name}|{term}" for name in part.extra.names)]
    if isinstance(part, Patterned):
        sd = [f"sd|{term}"] if part.homogeneous else [f"sd_{column}|{term}" for column in columns]
        return [*sd, f"rho|{term}"][: part.k]
    places = _entries(part, term)
    return [
        f"sd_{columns[i]}|{term}" if i == j else f"cor_{columns[i]}.{columns[j]}|{term}"
        for i, j in zip(places.rows.tolist(), places.cols.tolist(), strict=True)
    ]


def _values(name: str, part: Structure, theta: np.ndarray, sigma: float) -> np.ndarray:
    """sd_i = sigma |T_i| and cor_ij = T_i'T_j / (|T_i| |T_j|)."""
    if isinstance(part, Extended):
        of_T = _values(name, part.inner, theta[: part.inner.k], sigma)
        return np.append(of_T, part.extra.natural(part.coordinates(theta)))
    if isinstance(part, Patterned):
        return np.concatenate([sigma * np.abs(theta[: part.n_sd]), [part.rho(w) for w in theta[part.n_sd :]]])
    places, T = _entries(part, name), part.T(theta)
    sd = np.sqrt(np.einsum("ia,ia->i", T, T))
    with np.errstate(invalid="ignore", divide="ignore"):
        cor = np.clip((T @ T.T) / np.outer(sd, sd), -1.0, 1.0)
    return np.asarray(np.where(places.diagonal, sigma * sd[places.rows], cor[places.rows, places.cols]))


def _entries(part: Structure, term: str) -> Entries:
    if isinstance(part, Entries) and (part.diagonal.all() or part.k == part.q * (part.q + 1) // 2):
        return part
    raise MMEError(
        f"term '{term}': theta of its covariance structure ({type(part).__name__}) is not known as standard deviations "
        "and correlations, which profiles and bootstraps are of"
    )


@dataclass(frozen=True, eq=False)
class Held:
    """One standard deviation or correlation of a term held, the rest of its T free.

    Of an unstructured T, with the rows that matter first, P T = T_ Q' for an orthogonal Q and a lower triangular T_, so
    that T_ serves as well: a standard deviation is its first entry, and a correlation r makes of its second row
    (r d, sqrt(1 - r^2) d), with d and the first entry positive: they are given by their roots, in which everything is
    even and smooth again.

    Attributes
    ----------
    start : array
        The free entries, at the theta of a fit.
    even : array of bool
        Which of them are zero only at the edge of the model.
    rooted : array of bool
        Which of them must not be negative.
    like : array of int
        The entry of the term's theta whose scale each has.
    theta : callable
        theta(free, value): the term's theta where sd / sigma, or the correlation, has this value.
    bounds : (float, float)
        Of the value.
    moved : array of bool
        Which of them are entries of T in orthonormal columns, and have no scale of a column of the term.
    """

    start: np.ndarray
    even: np.ndarray
    rooted: np.ndarray
    like: np.ndarray
    theta: Callable[[np.ndarray, float], np.ndarray]
    bounds: tuple[float, float]
    moved: np.ndarray | bool = False


def hold(part: Structure, theta: np.ndarray, at: int, axes: Axes | None = None) -> Held:
    """Hold the standard deviation, correlation or other parameter that stands at this place of a term's theta."""
    if isinstance(part, Extended):
        return _hold_beside(part, theta, at, axes) if at < part.inner.k else _hold_relationship(part, theta, at)
    if isinstance(part, Entries) and not part.diagonal.all():
        return _hold_rotated(part, part.T(theta), at, axes)
    others = np.delete(np.arange(part.k), at)
    bounds: tuple[float, float] = (0.0, np.inf)
    coordinate: Callable[[float], float] = float
    if isinstance(part, Patterned) and not part.diagonal[at]:
        bounds, coordinate = (part.lowest, 1.0), part.w
    even = part.diagonal[others]
    none = np.zeros(others.size, dtype=bool)
    return Held(theta[others], even, none, others, lambda x, value: np.insert(x, at, coordinate(value)), bounds)


def _hold_beside(part: Extended, theta: np.ndarray, at: int, axes: Axes | None) -> Held:
    """One parameter of T; those of the relationship are free."""
    held, x = hold(part.inner, theta[: part.inner.k], at, axes), part.coordinates(theta)
    first, free = held.start.size, np.zeros(x.size, dtype=bool)
    return Held(
        np.append(held.start, x),
        np.append(held.even, free),
        np.append(held.rooted, free),
        np.append(held.like, np.arange(part.inner.k, part.k)),
        lambda x, value: np.append(held.theta(x[:first], value), x[first:]),
        held.bounds,
        np.append(np.broadcast_to(held.moved, first), free),
    )


def _hold_relationship(part: Extended, theta: np.ndarray, at: int) -> Held:
    """One natural parameter of the relationship."""
    others, i = np.delete(np.arange(part.k), at), at - part.inner.k
    natural, none = part.extra.natural(part.coordinates(theta)), np.zeros(part.k - 1, dtype=bool)

    def moved(x: np.ndarray, value: float) -> np.ndarray:
        return np.insert(x, at, part.extra.coordinates(np.where(np.arange(natural.size) == i, value, natural))[i])

    return Held(theta[others], part.diagonal[others], none, others, moved, part.extra.bounds[i])


def _hold_rotated(part: Entries, T: np.ndarray, at: int, axes: Axes | None) -> Held:
    """One of an unstructured covariance, in T_.

    Its other rows are searched as those of L T_, lower triangular for Z P' = E L with E orthonormal, of which the first
    coefficient is b_i, scaled: where the origin of a covariate is far away, they are the ones that may be moved alone.
    """
    i, j = int(part.rows[at]), int(part.cols[at])
    first = [i] if i == j else [j, i]
    order = np.array(first + [row for row in range(part.q) if row not in first])
    rows, cols = np.tril_indices(part.q)
    free = ~((rows == 0) if i == j else (rows == 1) & (cols == 0))
    rows, cols = rows[free], cols[free]
    L = np.eye(part.q) if axes is None else _lower_change(axes.C[:, order])
    kept = len(first) if i != j else 0  # rows of T_ that are given themselves
    start = lower_factor(T[order])
    start[kept:] = (L @ start)[kept:]
    if i != j:
        start[1, 1] = np.hypot(start[1, 0], start[1, 1])  # d, the length of the row

    def theta(x: np.ndarray, value: float) -> np.ndarray:
        rotated = np.zeros((part.q, part.q))
        rotated[rows, cols] = x
        if i == j:
            rotated[0, 0] = L[0, 0] * value
            rotated = triangular_solve(L, rotated, transposed=False)
            rotated[0, 0] = value
        else:
            rotated[1, :2] = rotated[1, 1] * np.array([value, np.sqrt(max(1.0 - value * value, 0.0))])
            below = rotated[2:] - L[2:, :2] @ rotated[:2]
            rotated[2:] = triangular_solve(L[2:, 2:], below, transposed=False)
        back = np.empty_like(rotated)
        back[order] = rotated
        return np.asarray(lower_factor(back)[part.rows, part.cols])

    even = rows == cols
    like = np.flatnonzero(part.diagonal)[order[rows]]
    bounds = (0.0, np.inf) if i == j else (-1.0, 1.0)
    moved = (rows >= kept) & (axes is not None)
    return Held(start[rows, cols], even, even & (rows < 2) & (i != j), like, theta, bounds, moved)


def _lower_change(C: np.ndarray) -> np.ndarray:
    """The lower triangle L of C = Q L, with a positive diagonal."""
    L = np.asarray(np.linalg.qr(C[:, ::-1], mode="r"))[::-1, ::-1]
    return np.asarray(L * np.where(np.diag(L) < 0.0, -1.0, 1.0)[:, None])
