r"""Henderson's mixed model equations in their literal form, at known variances.

    ( C' R^-1 C + blockdiag(0, G^-1) ) [beta; b] = C' R^-1 y,        C = [X Z]                                    (H)

beta is the BLUE, b the BLUP. The inverse of the coefficient matrix is the joint covariance of (beta_hat, b_hat - b):
its blocks are the covariance of beta and the prediction error variance (Henderson 1975, Biometrics 31:423-447).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log, pi
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.engine.basis import independent_columns
from mme.errors import MemoryForecastError, MMEError
from mme.numeric.factor import Analysis, CholeskyFactor, NotPositiveDefiniteError, analyse, factorise
from mme.numeric.limits import limits
from mme.tables.arguments import is_word
from mme.tables.arrays import numbers, shown

# A pivot this small against its diagonal entry is rounding: the column is determined by others.
_DEPENDENT = 1e-12
# The same for a variance that the user inverted: rounding of the last digit only.
_SINGULAR = 1e-14
_MAX_ITERATIONS = 5000
# What makes a semi-definite matrix, its diagonal scaled to one, definite to the last digits.
_SHIFT = 1e-10
# Directions in which singular equations are searched for what is confounded, and the sweeps that find them.
_DIRECTIONS, _SWEEPS = 24, 3
# Names of an error message.
_NAMED = 8


@dataclass(frozen=True)
class Iteration:
    """In place of a factor: the equations were solved by so many steps of conjugate gradients."""

    steps: int


@dataclass(frozen=True, eq=False)
class EquationsSolution:
    """Joint solution of (H): ``beta`` (p,), ``b`` (q,), ``fitted`` and ``residuals`` (n,), and the factor."""

    equations: MixedModelEquations
    factor: CholeskyFactor | Iteration
    beta: np.ndarray
    b: np.ndarray
    fitted: np.ndarray
    residuals: np.ndarray

    @cached_property
    def beta_cov(self) -> np.ndarray:
        """Covariance of beta (p, p): the top left block of the inverse of the coefficient matrix."""
        p = self.beta.size
        unit = np.zeros((p + self.b.size, p))
        unit[:p] = np.eye(p)
        return self._factor.solve(unit)[:p]

    @property
    def _factor(self) -> CholeskyFactor:
        if isinstance(self.factor, Iteration):
            raise MMEError(
                "the equations were solved by iteration, without a factor: variances need solve(method='direct')"
            )
        return self.factor

    @property
    def residual_norm(self) -> float:
        """|rhs - C x| / |rhs| of the solution."""
        eqs = self.equations
        left = eqs.rhs - eqs.coefficients @ np.concatenate([self.beta, self.b])
        return float(np.linalg.norm(left) / np.linalg.norm(eqs.rhs))

    def pev(self) -> np.ndarray:
        """Prediction error variances var(b_hat - b) (q,): diagonal of the inverse, by the selected inverse."""
        p = self.beta.size
        at = np.arange(p, p + self.b.size)
        return self._factor.inverse_entries(at, at)

    @property
    def logdet(self) -> float:
        """Log-determinant of the coefficient matrix."""
        return self._factor.logdet

    def criterion(self, method: str = "REML") -> float:
        """-2 log (restricted) likelihood at the given variances.

        REML: log|C'R^-1 C + ...| - log|G^-1| - log|R^-1| + e'R^-1 y + (n - p) log 2 pi. ML needs log|Z'R^-1 Z + G^-1|
        instead of the whole determinant.
        """
        eqs = self.equations
        n, p = self.residuals.size, self.beta.size
        quadratic = float(self.residuals @ (eqs.Rinv @ self.residuals) + self.b @ (eqs.Ginv @ self.b))
        constant = quadratic - eqs.logdet_Ginv - eqs.logdet_Rinv
        if method == "REML":
            return self.logdet + constant + (n - p) * log(2.0 * pi)
        if method == "ML":
            # |C| = |Z'R^-1 Z + G^-1| |beta_cov|^-1
            return self.logdet + float(np.linalg.slogdet(self.beta_cov)[1]) + constant + n * log(2.0 * pi)
        raise MMEError(f"method must be 'REML' or 'ML', got {shown(method)}")


class MixedModelEquations:
    """Henderson's equations (H) for arrays, dense or sparse.

    Parameters
    ----------
    y : (n,) array
        Response.
    X : (n, p) array or sparse matrix
        Fixed-effect columns, of full column rank.
    Z : (n, q) array or sparse matrix
        Random-effect columns.
    Ginv : (q, q) array or sparse matrix, (q,) array or number
        Inverse of the covariance of b; a vector is a diagonal, a number a multiple of the identity. A sparse matrix
        may be singular, as the inverse of a pedigree with fixed groups is: where it says nothing of b the effects are
        fixed, and the equations have a solution if the records tell these from each other and from X. A dense one is
        taken for a covariance that had no inverse, and refused.
    Rinv : None, number, (n,) array or (n, n) array or sparse matrix
        Inverse of the residual covariance; None is the identity.

    Attributes
    ----------
    coefficients : (p + q, p + q) sparse CSC array
        The coefficient matrix of (H).
    rhs : (p + q,) array
        Its right-hand side.

    Raises
    ------
    MMEError
        Shapes do not match, values are not finite, Ginv or Rinv is singular or not symmetric, X is rank-deficient, or
        what a sparse singular Ginv leaves fixed is confounded. A matrix of more than a million entries is factorised,
        and so found singular, when a criterion asks for its log-determinant.

    Examples
    --------
    Two groups of two records, equal variances: the mean 4, and effects shrunk by n / (n + 1) = 2/3.

    >>> import mme, numpy as np
    >>> y = np.array([1.0, 3.0, 5.0, 7.0])
    >>> Z = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    >>> eqs = mme.MixedModelEquations(y, np.ones((4, 1)), Z, Ginv=1.0)
    >>> eqs.coefficients.toarray()
    array([[4., 2., 2.],
           [2., 3., 0.],
           [2., 0., 3.]])
    >>> sol = eqs.solve()
    >>> sol.beta.round(6).tolist(), sol.b.round(6).tolist()
    ([4.0], [-1.333333, 1.333333])
    """

    def __init__(self, y: Any, X: Any, Z: Any, *, Ginv: Any, Rinv: Any = None) -> None:
        self.y = _response(y)
        n = self.y.size
        self._x_names = tuple(map(str, getattr(X, "columns", ()))) or None
        self.X, self.Z = _design(X, n, "X"), _design(Z, n, "Z")
        self.p, self.q = int(self.X.shape[1]), int(self.Z.shape[1])
        self._C = sp.hstack([self.X, self.Z], format="csr")
        self._symbolic: Analysis | None = None
        self._set_variances(Ginv, Rinv)

    def _set_variances(self, Ginv: Any, Rinv: Any) -> None:
        self.Rinv, self._logdet_Rinv = _precision(1.0 if Rinv is None else Rinv, self.y.size, "Rinv", "records")
        self.Ginv, self._logdet_Ginv = _precision(Ginv, self.q, "Ginv", "random effects")
        weighted = self._C.T @ self.Rinv
        zero = sp.csc_array((self.p, self.p))
        self.coefficients = sp.csc_array(weighted @ self._C + sp.block_diag([zero, self.Ginv], format="csc"))
        self.coefficients.sort_indices()
        self.rhs = np.asarray(weighted @ self.y)

    def with_variances(self, *, Ginv: Any, Rinv: Any = None) -> MixedModelEquations:
        """The same records at other variances; the symbolic analysis is kept while the pattern is the same."""
        twin = object.__new__(MixedModelEquations)
        twin.__dict__.update(self.__dict__)
        twin._set_variances(Ginv, Rinv)
        same = np.array_equal(twin.coefficients.indptr, self.coefficients.indptr) and np.array_equal(
            twin.coefficients.indices, self.coefficients.indices
        )
        twin._symbolic = self._symbolic if same else None
        return twin

    @property
    def logdet_Ginv(self) -> float:
        """log|G^-1|; refused where G^-1 is singular: the effects of its null space are fixed, and belong in X."""
        if self._logdet_Ginv is None:
            self._logdet_Ginv = _logdet(self.Ginv, "Ginv")
        return self._logdet_Ginv

    @property
    def logdet_Rinv(self) -> float:
        """log|R^-1|, likewise."""
        if self._logdet_Rinv is None:
            self._logdet_Rinv = _logdet(self.Rinv, "Rinv")
        return self._logdet_Rinv

    @property
    def symbolic(self) -> Analysis:
        """Order and pattern of the factor; its forecast of entries and bytes is made before anything is factorised."""
        if self._symbolic is None:
            self._symbolic = analyse(sp.csc_array(sp.tril(self.coefficients)))
        return self._symbolic

    def solve(self, *, method: str = "auto", tolerance: float = 1e-10) -> EquationsSolution:
        """Solve for beta and b jointly.

        Parameters
        ----------
        method : str
            ``"direct"`` factorises with CHOLMOD; ``"iterative"`` runs preconditioned conjugate gradients (Stranden and
            Lidauer 1999, J. Dairy Sci. 82:2779); ``"auto"`` is direct while the forecast of the factor fits in memory
            and is of minutes (1e13 operations).
        tolerance : float
            Of the iteration: |rhs - C x| / |rhs| at which it stops. ``residual_norm`` of the solution states what was
            reached.

        Raises
        ------
        MMEError
            X is rank-deficient; the iteration does not converge.
        MemoryForecastError
            ``method="direct"`` and the factor would not fit.
        """
        if not is_word(method, ("auto", "direct", "iterative")):
            raise MMEError(f"method must be 'auto', 'direct' or 'iterative', got {shown(method)}")
        if method == "iterative" or (method == "auto" and self.symbolic.flops > limits().factor_operations):
            return self._iterate(tolerance)
        try:
            return self._factorise()
        except MemoryForecastError:
            if method == "direct":
                raise
            return self._iterate(tolerance)

    def _iterate(self, tolerance: float) -> EquationsSolution:
        from scipy.sparse.linalg import cg

        diagonal = self.coefficients.diagonal()
        steps: list[None] = []
        joint, stopped = cg(
            self.coefficients,
            self.rhs,
            rtol=tolerance,
            maxiter=_MAX_ITERATIONS,
            M=sp.diags_array(1.0 / diagonal),
            callback=lambda _x: steps.append(None),
        )
        if stopped:
            raise MMEError(
                f"conjugate gradients did not reach a residual of {tolerance:g} in {len(steps)} iterations: X may be "
                "rank-deficient, or the variances very unequal; try method='direct' or a larger tolerance"
            )
        return self._solution(Iteration(len(steps)), joint)

    def _solution(self, factor: CholeskyFactor | Iteration, joint: np.ndarray) -> EquationsSolution:
        beta, b = joint[: self.p], joint[self.p :]
        fitted = np.asarray(self.X @ beta + self.Z @ b)
        return EquationsSolution(self, factor, beta, b, fitted, self.y - fitted)

    def _factorise(self) -> EquationsSolution:
        self.symbolic.require_memory("Henderson's equations")
        lower = sp.csc_array(sp.tril(self.coefficients))
        lower.sort_indices()
        try:
            factor = self.symbolic.factor(lower.data)
        except NotPositiveDefiniteError:
            raise self._singular_equations() from None
        pivots = factor.pivots / self.coefficients.diagonal()[factor.perm]
        lost = factor.perm[pivots < _DEPENDENT]
        if (lost < self.p).any() or (lost.size and not self._is_proper):
            raise self._singular_equations()
        return self._solution(factor, factor.solve(self.rhs))

    @property
    def _is_proper(self) -> bool:
        """Whether G^-1 is positive definite."""
        try:
            return bool(np.isfinite(self.logdet_Ginv))
        except MMEError:
            return False

    def _singular_equations(self) -> MMEError:
        """The error that says which columns of X depend on others, or are confounded with random effects."""
        columns = self._dependent_columns()
        if columns:
            which = f"column {', '.join(map(self._column_name, columns))} depends on others"
            return MMEError(
                f"the equations are singular: the {self.p} columns of X are not linearly independent ({which}); leave "
                "the dependent columns out"
            )
        unseen = self._null_space()
        involved = np.flatnonzero((np.abs(unseen) > 1e-6).any(axis=1))
        fixed, random = involved[involved < self.p], involved[involved >= self.p] - self.p
        parts = [f"columns of X {_listed([self._column_name(j) for j in fixed.tolist()])}"] if fixed.size else []
        parts += [f"random effects {_listed(list(map(str, random.tolist())))} (counted from 0)"] if random.size else []
        return MMEError(
            f"the equations are singular: Ginv says nothing of {unseen.shape[1]} combination(s) of the effects, and "
            f"neither do the records; confounded are {' and '.join(parts) or 'some effects'}. Leave a column of X or a "
            "group out, give the groups a variance (Pedigree(..., group_variance=)), or use mme.fit, which drops what "
            "cannot be told apart"
        )

    def _column_name(self, j: int) -> str:
        return self._x_names[j] if self._x_names else str(j)

    def _dependent_columns(self) -> list[int]:
        """Columns of X that earlier ones determine, as :func:`mme.fit` drops them."""
        columns = self.X.toarray()
        length = np.linalg.norm(columns, axis=0)
        kept = independent_columns(columns / np.where(length > 0.0, length, 1.0))
        return sorted(set(range(self.p)) - set(kept.tolist()))

    def _null_space(self) -> np.ndarray:
        """Combinations (p + q, m) of the effects that are zero in the equations, by inverse iteration on several."""
        size = np.sqrt(self.coefficients.diagonal())
        scale = sp.diags_array(np.divide(1.0, size, out=np.ones(size.size), where=size > 0.0))
        scaled = sp.csc_array(scale @ self.coefficients @ scale)
        factor = factorise(scaled + _SHIFT * sp.eye_array(size.size), "Henderson's equations")
        V = np.random.default_rng(0).standard_normal((size.size, min(_DIRECTIONS, size.size)))
        for _ in range(_SWEEPS):
            V = np.linalg.qr(factor.solve(V))[0]
        values, rotation = np.linalg.eigh(V.T @ (scaled @ V))
        found = scale @ (V @ rotation[:, values < _SHIFT])
        return np.asarray(found / np.abs(found).max(axis=0, initial=1e-300))


def solve(y: Any, X: Any, Z: Any, *, Ginv: Any, Rinv: Any = None) -> EquationsSolution:
    """Assemble and solve Henderson's equations in one call; see :class:`MixedModelEquations`.

    Examples
    --------
    >>> import mme, numpy as np
    >>> sol = mme.solve([1.0, 3.0, 5.0, 7.0], np.ones((4, 1)), np.kron(np.eye(2), np.ones((2, 1))), Ginv=1.0)
    >>> sol.pev().round(4).tolist(), sol.beta_cov.round(4).tolist()
    ([0.6667, 0.6667], [[0.75]])
    """
    return MixedModelEquations(y, X, Z, Ginv=Ginv, Rinv=Rinv).solve()


def _response(y: Any) -> np.ndarray:
    values = numbers(y, "y")
    if values.ndim != 1 or values.size == 0:
        raise MMEError(f"y must be one-dimensional and not empty, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise MMEError(f"y has {int((~np.isfinite(values)).sum())} missing or infinite values; drop those records")
    return values


def _design(matrix: Any, n: int, name: str) -> sp.csr_array:
    columns = sp.csr_array(matrix if sp.issparse(matrix) else np.atleast_2d(numbers(matrix, name)))
    if columns.shape[0] != n:
        raise MMEError(f"{name} must have a row for each of the {n} records, got shape {columns.shape}")
    if not np.isfinite(columns.data).all():
        raise MMEError(f"{name} has missing or infinite values; drop those records")
    return columns.astype(float)


def _precision(given: Any, size: int, name: str, what: str) -> tuple[sp.csc_array, float | None]:
    """A symmetric positive definite (size, size) matrix as CSC, and its log-determinant; None: not computed yet."""
    if not sp.issparse(given):
        given = numbers(given, name)
        if given.ndim == 0:
            given = np.full(size, float(given))
        if given.ndim == 1:
            return _diagonal_precision(given, size, name, what)
    matrix = sp.csc_array(given, dtype=float)
    if matrix.shape != (size, size):
        raise MMEError(f"{name} must be ({size}, {size}) for the {size} {what}, got {matrix.shape}")
    if not np.isfinite(matrix.data).all():
        raise MMEError(f"{name} has missing or infinite values")
    largest = float(np.abs(matrix.data).max(initial=0.0))
    if abs(matrix - matrix.T).max() > 1e-8 * largest:
        raise MMEError(f"{name} is not symmetric")
    if (matrix.diagonal() <= 0.0).any():
        raise _singular(name)
    if matrix.nnz > limits().precision_entries_checked:
        return matrix, None
    try:
        return matrix, _logdet(matrix, name)
    except MMEError:
        if not sp.issparse(given) or name != "Ginv" or not _is_semidefinite(matrix):
            raise
        return matrix, None


def _is_semidefinite(matrix: sp.csc_array) -> bool:
    """Whether a matrix with a positive diagonal has no negative eigenvalue, but for rounding."""
    scale = sp.diags_array(1.0 / np.sqrt(matrix.diagonal()))
    try:
        factorise(scale @ matrix @ scale + _SHIFT * sp.eye_array(matrix.shape[0]), "Henderson's equations")
    except NotPositiveDefiniteError:
        return False
    return True


def _logdet(matrix: sp.csc_array, name: str) -> float:
    """The log-determinant, by a factor that is refused where it would not fit or a pivot is lost."""
    try:
        factor = factorise(matrix, name)
    except NotPositiveDefiniteError:
        raise _singular(name) from None
    if (factor.pivots < _SINGULAR * matrix.diagonal()[factor.perm]).any():
        raise _singular(name)
    return factor.logdet


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown


def _diagonal_precision(values: np.ndarray, size: int, name: str, what: str) -> tuple[sp.csc_array, float]:
    if values.size != size:
        raise MMEError(f"{name} has {values.size} values for {size} {what}")
    if not np.isfinite(values).all() or (values <= 0).any():
        raise _singular(name)
    return sp.csc_array(sp.diags_array(values)), float(np.log(values).sum())


def _singular(name: str) -> MMEError:
    return MMEError(
        f"{name} is singular or not positive definite: it must be the inverse of a covariance matrix. A variance of "
        "zero has no inverse; leave those effects out, or use mme.fit, which never inverts a covariance. Where effects "
        "are fixed on purpose (groups of unknown parents) give it sparse; the criterion is then that of mme.fit"
    )
