r"""Henderson's mixed model equations in their literal form, at known variances.

    ( C' R^-1 C + blockdiag(0, G^-1) ) [beta; b] = C' R^-1 y,        C = [X Z]                                    (H)

beta is the BLUE, b the BLUP. The inverse of the coefficient matrix is the joint covariance of (beta_hat, b_hat - b):
its blocks are the covariance of beta and the prediction error variance (Henderson 1975, Biometrics 31:423-447).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.equations.assembled import AssembledEquations
from mme.equations.confounded import singular_equations
from mme.equations.solution import EquationsSolution, Inverse, Iteration
from mme.errors import MemoryForecastError, MMEError
from mme.numeric.factor import NotPositiveDefiniteError
from mme.numeric.limits import limits
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

# A pivot this small against its diagonal entry is rounding: the column is determined by others.
_DEPENDENT = 1e-12
_MAX_ITERATIONS = 5000


class MixedModelEquations(AssembledEquations):
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

    def solve(self, *, method: str = "auto", tolerance: float = 1e-10) -> EquationsSolution:
        """Solve for beta and b jointly.

        Parameters
        ----------
        method : str
            ``"direct"`` factorises, with CHOLMOD, or SciPy's SuperLU where scikit-sparse is not installed;
            ``"iterative"`` runs preconditioned conjugate gradients (Stranden and Lidauer 1999, J. Dairy Sci. 82:2779);
            ``"auto"`` is direct while the forecast of the factor fits in memory and is of minutes (1e13 operations).
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

    def _solution(self, factor: Inverse, joint: np.ndarray) -> EquationsSolution:
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
            raise singular_equations(self) from None
        pivots = factor.pivots / self.coefficients.diagonal()[factor.perm]
        lost = factor.perm[pivots < _DEPENDENT]
        if (lost < self.p).any() or (lost.size and not self.is_proper):
            raise singular_equations(self)
        return self._solution(factor, factor.solve(self.rhs))


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
