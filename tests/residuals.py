"""Residual structures of every kind on random records, with R by its definition."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.linalg import toeplitz

from mme.errors import MMEWarning
from mme.residual import (
    AR1,
    ARMA,
    AnteDependence,
    Bound,
    ByGroup,
    CompoundSymmetry,
    Exponential,
    ExponentialOfCovariate,
    Heterogeneous,
    PowerOfCovariate,
    RStructure,
    Spatial,
    Toeplitz,
    Unstructured,
    bind,
)

seeds = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Records:
    """Groups of several sizes with times, occasions, strata and a covariate, in any order; every draw is identified."""

    rng: np.random.Generator
    group: np.ndarray
    step: np.ndarray  # whole-numbered times, with gaps
    time: np.ndarray  # times at any distances
    occasion: np.ndarray  # 0 .. T-1
    T: int
    stratum: np.ndarray
    covariate: np.ndarray

    @property
    def n(self) -> int:
        return self.group.size


def records(seed: int, J: int, T: int, shuffled: bool) -> Records:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, T + 1, J)
    sizes[:3] = T  # complete groups: all pairs of occasions and all lags are seen
    group = np.repeat(rng.permutation(J), sizes)
    step = np.concatenate([np.sort(rng.choice(4 * T, s, replace=False)) for s in sizes])
    step[:2] = step[0] + np.arange(2)  # one gap of one step: the sign of rho counts
    step[2:T] = step[1] + np.cumsum(rng.integers(1, 4, T - 2))
    time = np.concatenate([np.cumsum(rng.exponential(size=s) + 0.01) for s in sizes])
    occasion = np.concatenate([rng.permutation(T)[:s] for s in sizes])
    n = group.size
    stratum = np.append(["f", "m"], rng.choice(["f", "m"], n - 2))
    order = rng.permutation(n) if shuffled else np.arange(n)
    columns = [column[order] for column in (group, step, time, occasion)]
    return Records(rng, *columns, T, stratum[order], rng.normal(size=n) + 3.0)


@dataclass(frozen=True)
class Example:
    """A structure on some records, natural parameters within their bounds, and R by its definition."""

    structure: Any
    natural: np.ndarray
    R: np.ndarray


def same(data: Records) -> np.ndarray:
    return np.equal.outer(data.group, data.group)


def ar1(data: Records) -> Example:
    rho = data.rng.uniform(-0.95, 0.95)
    lag = np.abs(np.subtract.outer(data.step, data.step))
    return Example(AR1(data.step, data.group), np.array([rho]), same(data) * rho**lag)


def exponential(data: Records) -> Example:
    length = np.exp(data.rng.normal(0, 1.5))
    lag = np.abs(np.subtract.outer(data.time, data.time))
    return Example(Exponential(data.time, data.group), np.array([length]), same(data) * np.exp(-lag / length))


def exponential_nugget(data: Records) -> Example:
    length, nugget = np.exp(data.rng.normal(0, 1.5)), data.rng.uniform(0.01, 0.99)
    lag = np.abs(np.subtract.outer(data.time, data.time))
    R = same(data) * (1 - nugget) * np.exp(-lag / length)
    np.fill_diagonal(R, 1.0)
    return Example(Exponential(data.time, data.group, nugget=True), np.array([length, nugget]), R)


def compound_symmetry(data: Records) -> Example:
    lowest = -1 / (np.bincount(data.group).max() - 1)
    rho = data.rng.uniform(lowest + 0.02, 0.98)
    return Example(CompoundSymmetry(data.group), np.array([rho]), same(data) * rho + (1 - rho) * np.eye(data.n))


def random_correlation(data: Records) -> np.ndarray:
    factor = data.rng.normal(size=(data.T, data.T + 2))
    S = factor @ factor.T
    return S / np.sqrt(np.outer(np.diag(S), np.diag(S)))


def by_occasion(data: Records, S: np.ndarray) -> np.ndarray:
    return same(data) * S[np.ix_(data.occasion, data.occasion)]


def unstructured(data: Records) -> Example:
    C, sd = random_correlation(data), np.exp(np.append(0.0, data.rng.normal(size=data.T - 1)))
    natural = np.append(C.T[np.triu_indices(data.T, 1)], sd[1:])
    return Example(Unstructured(data.occasion, data.group), natural, by_occasion(data, np.outer(sd, sd) * C))


def unstructured_correlation(data: Records) -> Example:
    C = random_correlation(data)
    structure = Unstructured(data.occasion, data.group, equal_variances=True)
    return Example(structure, C.T[np.triu_indices(data.T, 1)], by_occasion(data, C))


def full_toeplitz(data: Records) -> Example:
    signal = data.rng.normal(size=30)  # its autocovariances are positive definite
    rho = np.array([signal[lag:] @ signal[: 30 - lag] for lag in range(data.T)]) / (signal @ signal)
    return Example(Toeplitz(data.occasion, data.group), rho[1:], by_occasion(data, toeplitz(rho)))


def banded_toeplitz(data: Records) -> Example:
    bands = int(data.rng.integers(1, data.T - 1)) if data.T > 2 else 1
    direction = np.concatenate([[0.0], data.rng.normal(size=bands), np.zeros(data.T - 1 - bands)])
    edge = -1 / np.linalg.eigvalsh(toeplitz(direction))[0]
    rho = np.eye(data.T)[0] + data.rng.uniform(0.05, 0.97) * edge * direction
    return Example(Toeplitz(data.occasion, data.group, bands), rho[1 : bands + 1], by_occasion(data, toeplitz(rho)))


def heterogeneous(data: Records) -> Example:
    ratio = np.exp(data.rng.normal())
    return Example(Heterogeneous(data.stratum), np.array([ratio]), np.diag(np.where(data.stratum == "m", ratio**2, 1)))


def power(data: Records) -> Example:
    delta = data.rng.normal()
    return Example(PowerOfCovariate(data.covariate), np.array([delta]), np.diag(np.abs(data.covariate) ** (2 * delta)))


def product(one: Callable[[Records], Example], *others: Callable[[Records], Example]) -> Callable[[Records], Example]:
    def build(data: Records) -> Example:
        C, variances = one(data), [other(data) for other in others]
        S = np.sqrt(np.prod([np.diag(v.R) for v in variances], axis=0))
        natural = np.concatenate([C.natural, *(v.natural for v in variances)])
        return Example([C.structure, *(v.structure for v in variances)], natural, np.outer(S, S) * C.R)

    return build


class Blocks(RStructure):
    """share exp(-lag^2) between different records of a group, share < 0.9: by its blocks, as a user writes it."""

    def __init__(self, time: Any, group: Any) -> None:
        self.time, self.group = time, group

    def bind(self, column: Any, n: int) -> BoundBlocks:
        codes = np.unique(column(self.group), return_inverse=True)[1]
        return BoundBlocks(n, ("share",), codes, np.asarray(column(self.time), dtype=float))


@dataclass(frozen=True, eq=False)
class BoundBlocks(ByGroup):
    times: np.ndarray

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        return np.zeros(1)

    def natural(self, x: np.ndarray) -> np.ndarray:
        return 0.45 * (1.0 + np.tanh(x))

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        return np.arctanh(natural / 0.45 - 1.0)

    def block(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        lag = np.subtract.outer(self.times[members], self.times[members])
        return np.where(np.equal.outer(members, members), 1.0, self.natural(x) * np.exp(-(lag**2)))


def by_blocks(data: Records) -> Example:
    share, lag = data.rng.uniform(0.05, 0.85), np.subtract.outer(data.time, data.time)
    R = same(data) * share * np.exp(-(lag**2))
    np.fill_diagonal(R, 1.0)
    return Example(Blocks(data.time, data.group), np.array([share]), R)


def exponential_variance(data: Records) -> Example:
    delta = data.rng.normal()
    sd = np.exp(delta * data.covariate)
    return Example(ExponentialOfCovariate(data.covariate), np.array([delta]), np.diag(sd**2))


def field(data: Records) -> Example:
    rho = data.rng.uniform(-0.95, 0.95, 2)
    lags = [np.abs(np.subtract.outer(place, place)) for place in (data.step, data.occasion)]
    R = same(data) * rho[0] ** lags[0] * rho[1] ** lags[1]
    return Example(AR1(data.step, data.group) * AR1(data.occasion, data.group), rho, R)


def volume(data: Records) -> Example:
    natural = np.append(data.rng.uniform(-0.95, 0.95, 2), np.exp(data.rng.normal()))
    one, two, three = (np.abs(np.subtract.outer(at, at)) for at in (data.step, data.occasion, data.time))
    R = same(data) * natural[0] ** one * natural[1] ** two * np.exp(-three / natural[2])
    factors = AR1(data.step) * AR1(data.occasion, data.group) * Exponential(data.time)
    return Example(factors, natural, R)


def ante_dependence(data: Records) -> Example:
    rho, sd = data.rng.uniform(-0.95, 0.95, data.T - 1), np.exp(np.append(0.0, data.rng.normal(size=data.T - 1)))
    C = np.array([[np.prod(rho[min(i, j) : max(i, j)]) for i in range(data.T)] for j in range(data.T)])
    R = by_occasion(data, np.outer(sd, sd) * C)
    return Example(AnteDependence(data.occasion, data.group), np.append(rho, sd[1:]), R)


def arma(data: Records) -> Example:
    phi, theta = data.rng.uniform(-0.9, 0.9, 2)
    weights = np.append(1.0, phi ** np.arange(4000) * (phi + theta))  # the moving average of infinite order
    moments = np.array([weights[: weights.size - lag] @ weights[lag:] for lag in range(4 * data.T + 4)])
    lag = np.abs(np.subtract.outer(data.step, data.step))
    return Example(ARMA(data.step, data.group), np.array([phi, theta]), same(data) * (moments / moments[0])[lag])


def spatial(kind: str, f: Callable[[np.ndarray], np.ndarray], **options: Any) -> Callable[[Records], Example]:
    def build(data: Records) -> Example:
        ranges = np.exp(data.rng.normal(0.5, 0.3, 1 if options.get("isotropic", True) else 2))
        between = [np.subtract.outer(one, one) for one in (data.time, data.covariate)]
        h = np.sqrt(sum((one / r) ** 2 for one, r in zip(between, np.resize(ranges, 2), strict=True)))
        natural, R = ranges, same(data) * f(h)
        if "nugget" in options:
            natural = np.append(ranges, data.rng.uniform(0.05, 0.9))
            R = (1 - natural[-1]) * R + natural[-1] * np.eye(data.n)
        return Example(Spatial(kind, [data.time, data.covariate], data.group, **options), natural, R)

    return build


def linear(data: Records) -> Example:
    """Along one coordinate, for in a plane it is no correlation, and within the range, where it has a kink."""
    distance = same(data) * np.abs(np.subtract.outer(data.time, data.time))
    reach = data.rng.uniform(1.3, 3.0, 1) * distance.max()
    return Example(Spatial("linear", [data.time], data.group), reach, same(data) * (1 - distance / reach))


def matern_searched(data: Records) -> Example:
    """A smoothness of 5/2, whose correlation has a closed form, among the parameters."""
    made = spatial("matern", lambda h: (1 + h + h**2 / 3) * np.exp(-h), smoothness=None)(data)
    return Example(made.structure, np.append(made.natural, 2.5), made.R)


def errors_beside(data: Records) -> Example:
    of, nugget = ar1(data), data.rng.uniform(0.05, 0.9)
    natural = np.append(of.natural, nugget)
    return Example(of.structure.with_nugget(), natural, (1 - nugget) * of.R + nugget * np.eye(data.n))


def traits_by_times(data: Records) -> Example:
    one, other = unstructured(data), ar1(data)
    return Example(one.structure * other.structure, np.append(one.natural, other.natural), one.R * other.R)


def by_level(one: Callable[[Records], Example]) -> Callable[[Records], Example]:
    """Parameters of its own for even and odd groups, of which the second has twice the standard deviation."""

    def build(data: Records) -> Example:
        odd = data.group % 2 == 1
        first, second = one(data), one(data)
        natural = np.concatenate([first.natural, second.natural, [2.0]])
        own = np.equal.outer(odd, odd)
        R = own * np.where(odd, 4.0 * second.R, first.R)
        return Example(first.structure.by(odd.astype(int)), natural, R)

    return build


STRUCTURES = {
    "AR1": ar1,
    "Exponential": exponential,
    "Exponential, nugget": exponential_nugget,
    "CompoundSymmetry": compound_symmetry,
    "Unstructured": unstructured,
    "Unstructured, equal variances": unstructured_correlation,
    "Toeplitz": full_toeplitz,
    "Toeplitz, bands": banded_toeplitz,
    "a user's, by its blocks": by_blocks,
    "Heterogeneous": heterogeneous,
    "PowerOfCovariate": power,
    "AR1 x Heterogeneous": product(ar1, heterogeneous),
    "nugget x power": product(exponential_nugget, power),
    "CompoundSymmetry x Heterogeneous x power": product(compound_symmetry, heterogeneous, power),
    "Unstructured x Heterogeneous": product(unstructured, heterogeneous),
    "Heterogeneous x power": product(heterogeneous, power),
    "AR1 * AR1": field,
    "AnteDependence": ante_dependence,
    "AR1 by level": by_level(ar1),
}
# These are held to fewer theorems at once.
MORE = {
    "ExponentialOfCovariate": exponential_variance,
    "AR1 * AR1 * Exponential": volume,
    "AR1 * AR1 x Heterogeneous": product(field, heterogeneous),
    "ARMA": arma,
    "Spatial exponential": spatial("exponential", lambda h: np.exp(-h)),
    "Spatial Gaussian, nugget": spatial("gaussian", lambda h: np.exp(-(h**2)), nugget=True),
    "Spatial spherical": spatial("spherical", lambda h: np.where(h < 1, 1 - 1.5 * h + 0.5 * h**3, 0)),
    "Spatial linear": linear,
    "Spatial rational quadratic": spatial("rational quadratic", lambda h: 1 / (1 + h**2)),
    "Spatial Matern, its smoothness": matern_searched,
    "Spatial Matern, a range a direction, nugget": spatial(
        "matern", lambda h: (1 + h) * np.exp(-h), isotropic=False, nugget=True
    ),
    "AR1, nugget": errors_beside,
    "Unstructured * AR1": traits_by_times,
    "ExponentialOfCovariate by level": by_level(exponential_variance),
}
every_structure = pytest.mark.parametrize("name", STRUCTURES)
designs = st.builds(records, seeds, J=st.integers(6, 12), T=st.integers(3, 5), shuffled=st.booleans())


def bound(example: Example) -> Bound:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MMEWarning)
        return bind(example.structure, np.asarray, example.R.shape[0])
