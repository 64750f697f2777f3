"""Random designs: hypothesis draws sizes, ratios and a seed, NumPy fills the arrays; the oracle's answer to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from dense import DenseFit, dense_fit, design
from hypothesis import strategies as st

from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.model.problem import Model, build_model
from mme.model.term import Term
from mme.solution.estimates import Estimates

seeds = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class RandomPart:
    """One random-effect term: labels (n,), columns of its basis (n, q) or None for ones, and its T (q, q)."""

    groups: np.ndarray
    covariates: np.ndarray | None
    T: np.ndarray
    covariance: str = "unstructured"

    @property
    def q(self) -> int:
        return self.T.shape[0]

    @property
    def theta(self) -> np.ndarray:
        """The entries of T that are parameters, in lme4's order."""
        return self.T.T[np.triu_indices(self.q)] if self.covariance == "unstructured" else np.diag(self.T)


@dataclass(frozen=True)
class Problem:
    """Arrays of a model with its theta; ``independent`` are the columns of X that no earlier ones determine."""

    y: np.ndarray
    X: np.ndarray
    parts: tuple[RandomPart, ...]
    independent: tuple[int, ...]
    method: str = "REML"
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    sigma: float | None = None

    @property
    def theta(self) -> np.ndarray:
        return np.concatenate([np.zeros(0), *(part.theta for part in self.parts)])

    @property
    def terms(self) -> list[Term]:
        return [
            Term(part.groups, part.covariates, name=f"g{t}", covariance=part.covariance)
            for t, part in enumerate(self.parts)
        ]

    @property
    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("method", "weights", "offset", "sigma")}

    @property
    def model(self) -> Model:
        return build_model(self.y, self.X, self.terms, **self.options)

    @property
    def blocks(self) -> list[tuple[np.ndarray, np.ndarray, None]]:
        """The random part as the oracle wants it."""
        return [(design(part.groups, part.covariates), part.T, None) for part in self.parts]

    @cached_property
    def dense(self) -> DenseFit:
        """The oracle's answer."""
        y = self.y if self.offset is None else self.y - self.offset
        return dense_fit(y, self.X[:, list(self.independent)], self.blocks, self.weights, self.method, self.sigma)

    def with_(self, **changes: Any) -> Problem:
        return replace(self, **changes)


def objective(problem: Problem, plan: Plan | None = None) -> Objective:
    """The library's criterion of a problem, by the engine asked for."""
    return Objective.of(problem.model, plan=plan)


def estimates(problem: Problem, plan: Plan | None = None) -> Estimates:
    """The library's estimates at the problem's theta, by the engine asked for."""
    return Estimates(objective(problem, plan), problem.theta)


def plans(problem: Problem) -> Iterator[Plan]:
    """Every engine there is for a problem: absorb each grouping factor or none, factorise the rest either way."""
    factors = len(objective(problem).blocks)
    for absorb in (None, *range(factors)):
        yield Plan(absorb=absorb, dense=True, reasons=("asked for",))
        if factors - (absorb is not None):
            yield Plan(absorb=absorb, dense=False, reasons=("asked for",))
            if absorb is not None:
                yield Plan(absorb=absorb, dense=True, reasons=("asked for",), summed=True)


def disagreement(problem: Problem, plan: Plan | None = None) -> dict[str, float]:
    """How far the library is from the oracle, each number on its own scale.

    The criterion's scale is one (a likelihood ratio) or its size, an estimate's its standard error or its size, a
    random effect's its standard deviation.
    """
    own, oracle = estimates(problem, plan), problem.dense
    se = np.sqrt(np.diag(oracle.beta_cov))
    out = {
        "objective": _distance(objective(problem, plan)(problem.theta), oracle.criterion, 1.0),
        "criterion": _distance(own.criterion, oracle.criterion, 1.0),
        "sigma": _distance(own.sigma, oracle.sigma, 0.0),
        "beta": _distance(own.beta, oracle.beta, se),
        "beta_cov": _distance(own.beta_cov, oracle.beta_cov, np.outer(se, se)),
    }
    first = 0
    for t, part in enumerate(problem.parts):
        J, q = np.unique(part.groups).size, part.q
        at = np.arange(first, first + J * q).reshape(J, q)
        pairs = at[:, :, None], at[:, None, :]
        first += J * q
        sd = np.sqrt(np.diag(oracle.G))[at]
        scale = sd[:, :, None] * sd[:, None, :]
        out[f"b of term {t}"] = _distance(own.b[t], oracle.b[at], sd)
        out[f"condvar of term {t}"] = _distance(own.condvar[t], oracle.condvar[pairs], scale)
        out[f"pev of term {t}"] = _distance(own.pev[t], oracle.pev[pairs], scale)
    return out


def _distance(own: Any, oracle: Any, scale: Any) -> float:
    own, oracle = np.asarray(own), np.asarray(oracle)
    assert own.shape == oracle.shape
    # a difference of zero on a scale of zero is no difference
    return float(np.max(np.abs(own - oracle) / (scale + np.abs(oracle) + 1e-300), initial=0.0))


# -- filling the arrays ----------------------------------------------------------------------------------------------


def ratings(seed: int) -> dict[str, np.ndarray]:
    """2,500 ratings of 210 items by 260 users, each of any item, with a covariate."""
    rng = np.random.default_rng(seed)
    n = 2500
    user, item, x = rng.integers(260, size=n), rng.integers(210, size=n), rng.standard_normal(n)
    y = 1.0 + 0.4 * x + 0.7 * rng.standard_normal(260)[user] + 0.5 * rng.standard_normal(210)[item]
    return {"y": y + rng.standard_normal(n), "x": x, "user": user, "item": item}


def labels(rng: np.random.Generator, n: int, J: int) -> np.ndarray:
    """J labels over n records, unbalanced: some levels have one row, some many; all J occur."""
    share = rng.dirichlet(np.full(J, 0.7))
    codes = np.concatenate([np.arange(J), rng.choice(J, size=n - J, p=share)])
    return rng.permutation(codes)


def random_T(rng: np.random.Generator, q: int, covariance: str = "unstructured") -> np.ndarray:
    """A relative covariance factor: regular over three decades, with zero variances, or of rank one."""
    T = np.tril(rng.normal(size=(q, q))) * 10.0 ** rng.uniform(-1.5, 1.5)
    kind = rng.integers(5)
    if kind == 0:
        T[rng.integers(q)] = 0.0  # a variance of zero
    elif kind == 1:
        T[:, 1:] = 0.0  # all correlations plus or minus one
    elif kind == 2 and q == 1:
        T[:] = 0.0
    return np.diag(np.diag(T)) if covariance == "diagonal" else T


def random_columns(rng: np.random.Generator, groups: np.ndarray, q: int) -> np.ndarray | None:
    """A term's basis: None, or columns of ones, numbers, numbers constant within a level, indicators (empty cells)."""
    n = groups.size
    if q == 1 and rng.integers(2):
        return None
    makers: list[Callable[[], np.ndarray]] = [
        lambda: np.ones(n),
        lambda: rng.normal(size=n),
        lambda: rng.normal(loc=3.0, size=n),
        lambda: rng.normal(size=groups.max() + 1)[groups],
        lambda: (rng.integers(3, size=n) == 0).astype(float),
    ]
    return np.column_stack([makers[kind]() for kind in rng.permutation(len(makers))[:q]])


def random_part(rng: np.random.Generator, groups: np.ndarray, q: int) -> RandomPart:
    covariance = "diagonal" if q > 1 and rng.integers(3) == 0 else "unstructured"
    return RandomPart(groups, random_columns(rng, groups, q), random_T(rng, q, covariance), covariance)


def random_X(rng: np.random.Generator, groups: np.ndarray, p: int, deficient: bool) -> tuple[np.ndarray, list[int]]:
    """p independent columns (an intercept first, half of the time), one constant within levels; maybe copies after."""
    n = groups.size
    X = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-2, 3, size=p)
    if p and rng.integers(2):
        X[:, 0] = 1.0
    if p > 1 and groups.max() > 1:
        X[:, 1] = rng.normal(size=groups.max() + 1)[groups]
    if not (deficient and p):
        return X, list(range(p))
    combination = X @ rng.normal(size=p)
    at = int(rng.integers(1, p + 1)) if p > 1 else 1
    # a copy of the first column after column `at`, a combination of all columns at the end
    X = np.column_stack([X[:, :at], 2.0 * X[:, 0], X[:, at:], combination])
    return X, [j for j in range(p + 1) if j != at]


def simulate(rng: np.random.Generator, problem: Problem) -> np.ndarray:
    """A response drawn from the problem's own model, offset included, with coefficients of order one."""
    w = np.ones(problem.X.shape[0]) if problem.weights is None else problem.weights
    y = problem.X @ rng.normal(size=problem.X.shape[1]) + rng.normal(size=w.size) / np.sqrt(w)
    for Z, T, _ in problem.blocks:
        y += Z @ (rng.normal(size=(Z.shape[1] // T.shape[0], T.shape[0])) @ T.T).ravel()
    y *= 1.0 if problem.sigma is None else problem.sigma
    return y if problem.offset is None else y + problem.offset


# -- layouts: how the grouping factors lie to each other ---------------------------------------------------------------

Layout = Callable[[np.random.Generator, int, int], list[np.ndarray]]

LAYOUTS: dict[str, Layout] = {
    "one factor": lambda rng, n, J: [labels(rng, n, J)],
    "two terms on one factor": lambda rng, n, J: [labels(rng, n, J)] * 2,
    "nested": lambda rng, n, J: _nested(labels(rng, n, J)),
    "nested, coarse factor first": lambda rng, n, J: _nested(labels(rng, n, J))[::-1],
    "crossed": lambda rng, n, J: [labels(rng, n, J), labels(rng, n, max(2, J // 2))],
    "crossed, two terms on the first": lambda rng, n, J: [g := labels(rng, n, J), labels(rng, n, 3), g],
    "three crossed": lambda rng, n, J: [labels(rng, n, size) for size in (J, 4, 3)],
    "nested beside crossed": lambda rng, n, J: [*_nested(labels(rng, n, J)), labels(rng, n, 3)],
    "two factors and their cells": lambda rng, n, J: _cells(labels(rng, n, min(J, 4)), labels(rng, n, 3)),
}


def _nested(fine: np.ndarray) -> list[np.ndarray]:
    return [fine, np.minimum(fine // 2, max(fine.max() // 2, 1))]


def _cells(a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    return [np.unique(a * 10 + b, return_inverse=True)[1], a, b]


@st.composite
def problems(draw: Any, layout: str, weighted: bool | None = None, fixed_sigma: bool | None = None) -> Problem:
    """A random problem on a layout: n up to 60, q up to 4, p up to 4, singular T, weights over eight decades."""
    n, J = draw(st.integers(24, 60)), draw(st.integers(3, 7))
    q, p = draw(st.integers(1, 4)), draw(st.integers(0, 4))
    deficient = draw(st.booleans())
    method = draw(st.sampled_from(["REML", "ML"]))
    weighted = draw(st.booleans()) if weighted is None else weighted
    offset = draw(st.booleans())
    fixed_sigma = draw(st.booleans()) if fixed_sigma is None else fixed_sigma
    rng = np.random.default_rng(draw(seeds))
    factors = LAYOUTS[layout](rng, n, J)
    parts = []
    for t, groups in enumerate(factors):
        most = (n - 1) // (groups.max() + 1)  # a term must leave records for the residual variance
        parts.append(random_part(rng, groups, max(1, min(q if t == 0 else 1 + t % 2, most))))
    X, independent = random_X(rng, factors[0], p, deficient)
    problem = Problem(
        y=np.zeros(n),
        X=X,
        parts=tuple(parts),
        independent=tuple(independent),
        method=method,
        weights=10.0 ** rng.uniform(-4, 4, size=n) if weighted else None,
        offset=rng.normal(scale=10.0, size=n) if offset else None,
        sigma=10.0 ** rng.uniform(-1, 1) if fixed_sigma else None,
    )
    return problem.with_(y=simulate(rng, problem))
