"""From a checked model to a function of theta: condition, absorb, assemble once; then one evaluation a call."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from mme.basis import Basis, orthonormalise
from mme.blocks import build_blocks
from mme.criterion import Constants, criterion
from mme.engine import Engine, Plan, plan, require_dense_memory
from mme.errors import MMEError
from mme.factor import NotPositiveDefiniteError
from mme.model import Model, build_model
from mme.pls import Evaluation, Factors, System, assemble, evaluate
from mme.terms import Term

# The relative covariance factor of a block without levels.
_NO_FACTOR = np.zeros((1, 1))


class Objective:
    """The criterion as a function of theta: ``objective(theta)`` is -2 log (restricted) likelihood.

    Attributes
    ----------
    model : Model
        The checked problem.
    basis : Basis
        Orthonormal basis of X, its rank and the OLS residual of y.
    blocks : tuple of Block
        Terms by grouping factor.
    constants : Constants
        What of the criterion theta does not change.
    engine : Engine
        What is absorbed, how the rest is factorised, and why.
    """

    def __init__(self, model: Model, *, engine: Plan | None = None) -> None:
        started = perf_counter()
        self.model = model
        root = None if model.weights is None else np.sqrt(model.weights)
        y = model.y if model.offset is None else model.y - model.offset
        X = model.X
        if root is not None:
            y, X = y * root, X * root[:, None]
        self.sqrt_weights = root
        self.basis = _conditioned(X, y, model)
        self.constants = _constants(model, self.basis)
        self.blocks = build_blocks(model.terms, model.structures, root)
        conditioned = perf_counter()
        names = tuple("/".join(dict.fromkeys(model.terms[t].name for t in block.terms)) for block in self.blocks)
        self.plan = plan(self.blocks, names) if engine is None else engine
        self.rest = tuple(block for b, block in enumerate(self.blocks) if b != self.plan.absorb)
        self.absorbing = None if self.plan.absorb is None else self.blocks[self.plan.absorb]
        self.system = self._assemble()
        seconds = {"conditioning": conditioned - started, "cross-products": perf_counter() - conditioned}
        self.engine = self._describe(names, seconds)

    def __call__(self, theta: Any) -> float:
        """The criterion at theta; infinite where the model would fit the response exactly."""
        try:
            at = self.evaluate(np.asarray(theta, dtype=float))
        except NotPositiveDefiniteError:
            return inf
        return criterion(self.constants, at.logdet_M, at.logdet_X, at.pwrss)

    def evaluate(self, theta: np.ndarray, *, merged: bool = True) -> Evaluation:
        """The factors of one evaluation."""
        return evaluate(self.system, self.factors(theta), merged=merged)

    def factors(self, theta: np.ndarray) -> Factors:
        """The scaled T of the absorbed block and of the others."""
        absorbed = _NO_FACTOR if self.absorbing is None else self.absorbing.T(theta)
        return Factors(absorbed, [block.T(theta) for block in self.rest])

    def by_block(self, u_absorbed: np.ndarray, u_rest: np.ndarray, theta: np.ndarray) -> list[np.ndarray]:
        """b = T u of every block as (J, q, combinations), scaled columns, from what :func:`mme.pls.effects` returns."""
        T = self.factors(theta)
        out = [
            np.matmul(factor, u_rest[start : start + block.J * block.q].reshape(block.J, block.q, -1))
            for block, factor, start in zip(self.rest, T.rest, self.system.rest.offsets[:-1].tolist(), strict=True)
        ]
        if self.plan.absorb is not None:
            out.insert(self.plan.absorb, np.matmul(T.absorbed, u_absorbed.transpose(2, 1, 0)))
        return out

    @property
    def theta_scale(self) -> np.ndarray:
        """Multiplies theta into coordinates of order one: the mean square of each entry's column of Z."""
        scale = np.ones(self.model.k)
        for block in self.blocks:
            for part, thetas, columns in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
                scale[thetas] = block.scale[columns][part.rows]
        return scale

    def _assemble(self) -> System:
        sparse = bool(self.rest) and not self.plan.dense
        if not sparse:
            require_dense_memory(sum(block.J * block.q for block in self.rest))
        N = np.column_stack([self.basis.Q, self.basis.r])
        system = assemble(self.absorbing, self.rest, N, sparse=sparse)
        if system.symbolic is not None:
            system.symbolic.require_memory("the random effects of this model")
        return system

    def _describe(self, names: tuple[str, ...], seconds: dict[str, float]) -> Engine:
        m, symbolic = self.system.rest.m, self.system.symbolic
        kind, nnz, size = "dense Cholesky" if m else "none", m * (m + 1) // 2, 8 * m * m
        if symbolic is not None:
            kind = f"CHOLMOD, {'supernodal' if symbolic.supernodal else 'simplicial'}, AMD order"
            nnz, size = symbolic.nnz_L, symbolic.bytes
        return Engine(
            absorbed=None if self.plan.absorb is None else names[self.plan.absorb],
            remainder=kind,
            reasons=self.plan.reasons,
            n_random=sum(block.J * block.q for block in self.blocks),
            n_remainder=m,
            nnz_L=nnz,
            bytes=size,
            seconds=seconds,
        )


def objective(y: Any, X: Any, terms: Sequence[Term], **options: Any) -> Objective:
    """The criterion of ``mme.fit(y, X, terms, ...)`` as a function of theta, for tests and benchmarks.

    Takes the arrays and the ``method``, ``weights``, ``offset`` and ``sigma`` of :func:`mme.fit`.

    Examples
    --------
    >>> import numpy as np, mme
    >>> y, g = np.array([1.0, 2.0, 4.0, 6.0]), ["a", "a", "b", "b"]
    >>> f = mme.objective(y, np.ones((4, 1)), [mme.Term(g)], method="ML")
    >>> n, rss = 4, ((y - y.mean()) ** 2).sum()
    >>> bool(np.isclose(f([0.0]), n * (1 + np.log(2 * np.pi * rss / n))))  # theta = 0 is ordinary least squares
    True
    """
    return Objective(build_model(y, X, terms, **options))


def _conditioned(X: np.ndarray, y: np.ndarray, model: Model) -> Basis:
    n, estimated = model.n, int(model.sigma is None)
    basis = orthonormalise(X, y)
    if n - basis.kept.size < estimated:
        raise MMEError(f"{n} records cannot carry {basis.kept.size} fixed effects and a residual variance")
    if model.sigma is None and np.linalg.norm(basis.r) <= 1e-13 * np.linalg.norm(y):
        raise MMEError(
            f"the fixed effects fit the response '{model.response}' exactly: there is no variance left to estimate"
        )
    return basis


def _constants(model: Model, basis: Basis) -> Constants:
    return Constants(
        n=model.n,
        p=basis.kept.size,
        logdet_XWX=basis.logdet,
        logdet_W=0.0 if model.weights is None else float(np.log(model.weights).sum()),
        reml=model.method == "REML",
        sigma=model.sigma,
    )
