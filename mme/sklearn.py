"""A linear mixed model as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d, validate_data

from mme.api.fitting import fit as fit_arrays
from mme.errors import MMEError, MMEWarning
from mme.model.term import Term
from mme.tables.arguments import is_word
from mme.tables.arrays import numbers, shown
from mme.tables.levels import match


class MixedLMRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn brings no types
    r"""Linear regression with a random intercept, and random slopes, for every group.

    y_i = x_i'beta + z_i'b_g(i) + e_i, b_g ~ N(0, G), e_i ~ N(0, sigma^2 / sample_weight_i); G and sigma by REML.
    A prediction for a group of the fit adds its BLUP; for any other group, or none, it is x'beta.

    Parameters
    ----------
    groups : int or str, optional
        The column of X that holds the group labels (any labels, in a DataFrame); it is not a regressor. None: groups
        are given to ``fit`` and ``predict``; without those either the model is least squares.
    random_slopes : sequence of int or str
        Columns of X whose coefficients differ between groups.
    fit_intercept : bool
        Whether there is an intercept, fixed and random.
    covariance : str
        Of intercept and slopes of a group: ``"unstructured"`` or ``"diagonal"``; see :class:`mme.Term`.
    method : str
        ``"REML"`` or ``"ML"``.
    new_levels : str
        What ``predict`` does with a group that the fit did not see: ``"population"`` or ``"error"``.

    Attributes
    ----------
    coef_ : (n_regressors,) array
        Fixed effects of the columns of X, the group column left out, zero for columns that others determine.
    intercept_ : float
    fit_ : Fit or None
        The fitted model with all that can be asked of it; None for least squares.

    Examples
    --------
    >>> import mme
    >>> data = mme.load("sleepstudy")
    >>> model = mme.MixedLMRegressor(groups="Subject", random_slopes=["Days"])
    >>> X, y = data[["Days", "Subject"]], data["Reaction"]
    >>> model = model.fit(X, y)
    >>> model.coef_.round(3), round(model.intercept_, 3), round(model.score(X, y), 3)
    (array([10.467]), 251.405, 0.826)
    """

    def __init__(
        self,
        groups: int | str | None = None,
        random_slopes: Sequence[int | str] = (),
        *,
        fit_intercept: bool = True,
        covariance: str = "unstructured",
        method: str = "REML",
        new_levels: str = "population",
    ) -> None:
        self.groups = groups
        self.random_slopes = random_slopes
        self.fit_intercept = fit_intercept
        self.covariance = covariance
        self.method = method
        self.new_levels = new_levels

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n, n_features) array or DataFrame
        y : (n,) array
        groups : (n,) labels, optional
            Where they are not a column of X.
        sample_weight : (n,) array, optional
            Positive; records of weight zero are left out.
        """
        values, labels, y, weights = self._training(X, y, groups, sample_weight)
        slopes = self._slopes(values)
        design = np.column_stack([np.ones(len(values)), values]) if self.fit_intercept else values
        if labels is None:
            self.fit_ = None
            beta = _least_squares(design, y, weights)
        else:
            term = Term(labels, slopes, name=str(self._group_name), covariance=self.covariance)
            self.fit_ = fit_arrays(y, design, [term], method=self.method, weights=weights)
            beta = np.zeros(design.shape[1])
            beta[self.fit_.internals.objective.basis.kept] = self.fit_.internals.estimates.beta
        self.intercept_ = float(beta[0]) if self.fit_intercept else 0.0
        self.coef_ = beta[1:] if self.fit_intercept else beta
        return self

    def predict(self, X: Any, groups: Any = None) -> np.ndarray:
        """Predict; with the random effects of those groups that the fit has seen.

        Columns that others determine in the fit have no coefficient, so that a row in which they do not (``x2 = 2 x1``
        fitted, otherwise here) is predicted by those others alone, with a warning; ``fit_.predict`` gives NaN.

        Raises
        ------
        MMEError
            A group is new and ``new_levels`` is ``"error"``.
        """
        check_is_fitted(self)
        values, labels = self._columns(X, groups, reset=False)
        predicted = values @ self.coef_ + self.intercept_
        self._warn_of_undetermined(values)
        if self.fit_ is None or labels is None:
            return np.asarray(predicted)
        codes = match(labels, self.fit_.internals.model.terms[0].levels, str(self._group_name))
        new = codes < 0
        if new.any() and self.new_levels == "error":
            raise MMEError(f"{int(new.sum())} records are of groups that the fit did not see")
        b = np.where(new[:, None], 0.0, self.fit_.internals.estimates.b[0][codes])
        slopes = self._slopes(values)
        return np.asarray(predicted + (b[:, 0] if slopes is None else np.einsum("ia,ia->i", slopes, b)))

    def _warn_of_undetermined(self, values: np.ndarray) -> None:
        if self.fit_ is None or not self.fit_.dropped:
            return
        design = np.column_stack([np.ones(len(values)), values]) if self.fit_intercept else values
        unknown = ~self.fit_.internals.aliasing.estimable(design)
        if unknown.any():
            causes = self.fit_.internals.aliasing.causes(design[unknown], self.fit_.internals.model.x_names)
            warnings.warn(
                f"{int(unknown.sum())} of {unknown.size} rows are not determined by the data of the fit, in which "
                f"{causes}, and in these rows not",
                MMEWarning,
                stacklevel=3,
            )

    @property
    def _group_name(self) -> int | str:
        return "groups" if self.groups is None else self.groups

    def _training(
        self, X: Any, y: Any, groups: Any, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]:
        """Regressors, labels, response and weights of the records that have a weight."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        values, labels = self._columns(X, groups, reset=True)
        y = numbers(column_or_1d(check_array(y, ensure_2d=False, dtype="numeric", input_name="y"), warn=True), "y")
        check_consistent_length(values, y)
        if not is_word(self.new_levels, ("population", "error")):
            raise MMEError(f"new_levels must be 'population' or 'error', got {shown(self.new_levels)}")
        if sample_weight is None:
            return values, labels, y, None
        weights = numbers(column_or_1d(sample_weight), "sample_weight")
        check_consistent_length(values, weights)
        if not (np.isfinite(weights) & (weights >= 0.0)).all() or not weights.any():
            raise MMEError("sample_weight must be finite and not negative, and not zero everywhere")
        used = weights > 0.0
        return values[used], None if labels is None else labels[used], y[used], weights[used]

    def _columns(self, X: Any, groups: Any, *, reset: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """The regressors as floats, and the labels."""
        labels = None if groups is None else column_or_1d(groups)
        if self.groups is None:
            values = validate_data(self, X, reset=reset, dtype=np.float64)
        else:
            if labels is not None:
                raise MMEError(f"groups are a column of X ({self.groups!r}) already; do not give them twice")
            if not hasattr(X, "iloc"):
                X = check_array(X, dtype=None, ensure_all_finite=False)
            validate_data(self, X, reset=reset, skip_check_array=True)
            at = self._position(self.groups)
            others = [j for j in range(self.n_features_in_) if j != at]
            labels = np.asarray(X.iloc[:, at] if hasattr(X, "iloc") else X[:, at])
            rest = X.iloc[:, others] if hasattr(X, "iloc") else X[:, others]
            values = check_array(rest, dtype=np.float64) if others else np.zeros((len(labels), 0))
        if labels is not None:
            check_consistent_length(values, labels)
        return np.asarray(values), labels

    def _slopes(self, values: np.ndarray) -> np.ndarray | None:
        """Columns of a group's coefficients; None for a random intercept alone."""
        slopes = self.random_slopes
        if isinstance(slopes, str) or not isinstance(slopes, Iterable | None):
            raise MMEError(f"random_slopes must be a list of columns of X, got {shown(slopes)}")
        at = [self._position(column) for column in (() if slopes is None else slopes)]
        group = None if self.groups is None else self._position(self.groups)
        if group in at:
            raise MMEError(f"column {self.groups!r} holds the groups: it cannot have a random slope")
        at = [j - (group is not None and group < j) for j in at]
        if not at and self.fit_intercept:
            return None
        if not at:
            raise MMEError("without an intercept name random_slopes: there is nothing random otherwise")
        ones = [np.ones(len(values))] if self.fit_intercept else []
        return np.column_stack([*ones, values[:, at]])

    def _position(self, column: int | str) -> int:
        """Place of a column among the features."""
        if isinstance(column, str):
            names = getattr(self, "feature_names_in_", np.zeros(0, dtype=object)).tolist()
            if column not in names:
                raise MMEError(f"there is no column {column!r} in X" + (f" ({', '.join(names[:8])})" if names else ""))
            return int(names.index(column))
        if not isinstance(column, int | np.integer):
            raise MMEError(f"columns of X are called by name or position, got {shown(column)}")
        if not -self.n_features_in_ <= column < self.n_features_in_:
            raise MMEError(f"there is no column {column} in X, which has {self.n_features_in_}")
        return int(column) % self.n_features_in_


def _least_squares(design: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    if weights is not None:
        root = np.sqrt(weights)
        design, y = design * root[:, None], y * root
    return np.asarray(np.linalg.lstsq(design, y, rcond=None)[0])
