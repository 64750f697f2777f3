"""What the estimators have in common: columns of X, groups, weights, and the effects of groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d, validate_data

from mme.errors import MMEError, warn
from mme.fitted.common import Record
from mme.tables.arguments import is_word
from mme.tables.arrays import numbers, shown
from mme.tables.levels import match


def _column(X: Any, at: int) -> Any:
    """A column of an array, or of a table of any library, by its place."""
    if hasattr(X, "iloc"):
        return X.iloc[:, at]
    return X[list(X.columns)[at]] if hasattr(X, "columns") else X[:, at]


class Grouped(BaseEstimator):  # type: ignore[misc]  # scikit-learn brings no types
    """An estimator with an intercept and slopes for every group.

    Derived classes give ``coef_``, ``intercept_`` and ``fit_``, the fitted model, None where there are no groups.
    """

    groups: int | str | None
    random_slopes: Sequence[int | str] | int | str
    fit_intercept: bool
    new_levels: str
    fit_: Any

    def _linear(self, X: Any, groups: Any) -> np.ndarray:
        """x'beta + z'b, b that of groups which the fit has seen and zero for others.

        Raises
        ------
        MMEError
            A group is new and ``new_levels`` is ``"error"``.
        """
        values, labels = self._columns(X, groups, reset=False)
        predicted = np.asarray(values @ self.coef_ + self.intercept_)
        self._warn_of_undetermined(values)
        if self.fit_ is None or labels is None:
            return predicted
        record: Record = self.fit_.internals
        codes = match(labels, record.model.terms[0].levels, str(self._group_name))
        new = codes < 0
        if new.any() and self.new_levels == "error":
            raise MMEError(f"{int(new.sum())} records are of groups that the fit did not see")
        b = np.where(new[:, None], 0.0, record.estimates.b[0][codes])
        slopes = self._slopes(values)
        return np.asarray(predicted + (b[:, 0] if slopes is None else np.einsum("ia,ia->i", slopes, b)))

    def _warn_of_undetermined(self, values: np.ndarray) -> None:
        if self.fit_ is None or not self.fit_.dropped:
            return
        design = self._design(values)
        unknown = ~self.fit_.internals.aliasing.estimable(design)
        if unknown.any():
            causes = self.fit_.internals.aliasing.causes(design[unknown], self.fit_.internals.model.x_names)
            warn(
                f"{int(unknown.sum())} of {unknown.size} rows are not determined by the data of the fit, in which "
                f"{causes}, and in these rows not"
            )

    @property
    def _group_name(self) -> int | str:
        return "groups" if self.groups is None else self.groups

    def _design(self, values: np.ndarray) -> np.ndarray:
        """The columns of X, an intercept before them where there is one."""
        return np.column_stack([np.ones(len(values)), values]) if self.fit_intercept else values

    def _keep(self, beta: np.ndarray) -> None:
        """Take the coefficients apart."""
        self.intercept_ = float(beta[0]) if self.fit_intercept else 0.0
        self.coef_ = beta[1:] if self.fit_intercept else beta

    def _beta(self, columns: int) -> np.ndarray:
        """The coefficients of all columns, zero for those that others determine."""
        record: Record = self.fit_.internals
        beta = np.zeros(columns)
        beta[record.basis.kept] = record.estimates.beta
        return beta

    def _check_new_levels(self) -> None:
        if not is_word(self.new_levels, ("population", "error")):
            raise MMEError(f"new_levels must be 'population' or 'error', got {shown(self.new_levels)}")

    @staticmethod
    def _weights(sample_weight: Any, values: np.ndarray) -> np.ndarray | None:
        """The weights of the records; None where none are given."""
        if sample_weight is None:
            return None
        weights = numbers(column_or_1d(sample_weight), "sample_weight")
        check_consistent_length(values, weights)
        if not (np.isfinite(weights) & (weights >= 0.0)).all() or not weights.any():
            raise MMEError("sample_weight must be finite and not negative, and not zero everywhere")
        return weights

    def _columns(self, X: Any, groups: Any, *, reset: bool) -> tuple[np.ndarray, np.ndarray | None]:
        """The regressors as floats, and the labels."""
        labels = None if groups is None else column_or_1d(groups)
        if self.groups is None:
            values = validate_data(self, X, reset=reset, dtype=np.float64)
        else:
            if labels is not None:
                raise MMEError(f"groups are a column of X ({self.groups!r}) already; do not give them twice")
            if not hasattr(X, "columns"):
                X = check_array(X, dtype=None, ensure_all_finite=False)
            validate_data(self, X, reset=reset, skip_check_array=True)
            at = self._position(self.groups)
            others = [j for j in range(self.n_features_in_) if j != at]
            labels = np.asarray(_column(X, at))
            rest = X.iloc[:, others] if hasattr(X, "iloc") else [_column(X, j) for j in others]
            table = np.column_stack(rest) if others and isinstance(rest, list) else rest
            values = check_array(table, dtype=np.float64) if others else np.zeros((len(labels), 0))
        if labels is not None:
            check_consistent_length(values, labels)
        return np.asarray(values), labels

    def _slopes(self, values: np.ndarray) -> np.ndarray | None:
        """Columns of a group's coefficients; None for a random intercept alone."""
        slopes = self.random_slopes
        slopes = [slopes] if isinstance(slopes, str | int | np.integer) and not isinstance(slopes, bool) else slopes
        if not isinstance(slopes, Iterable | None):
            raise MMEError(f"random_slopes must be a list of columns of X, got {shown(slopes)}")
        at = [self._position(column) for column in (() if slopes is None else slopes)]
        group = None if self.groups is None else self._position(self.groups)
        if group in at:
            raise MMEError(f"column {self.groups!r} holds the groups: it cannot have a random slope")
        at = [j - (group is not None and group < j) for j in at]
        if not at:
            return None
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


def log_exposure(exposure: Any, n: int) -> np.ndarray | None:
    """Logarithms of exposures."""
    if exposure is None:
        return None
    values = numbers(column_or_1d(exposure), "exposure")
    if values.size != n or not (values > 0.0).all() or not np.isfinite(values).all():
        raise MMEError(f"exposure must be {n} positive numbers, one a record")
    return np.asarray(np.log(values))
