"""A linear mixed model as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d

from mme.api.fitting import fit as fit_arrays
from mme.model.term import Term
from mme.sklearn.grouped import Grouped
from mme.tables.arrays import numbers


class MixedLMRegressor(RegressorMixin, Grouped):  # type: ignore[misc]  # scikit-learn brings no types
    r"""Linear regression with a random intercept, and random slopes, for every group.

    y_i = x_i'beta + z_i'b_g(i) + e_i, b_g ~ N(0, G), e_i ~ N(0, sigma^2 / sample_weight_i); G and sigma by REML.
    A prediction for a group of the fit adds its BLUP; for any other group, or none, it is x'beta.

    Parameters
    ----------
    groups : int or str, optional
        The column of X that holds the group labels (any labels, in a DataFrame); it is not a regressor. None: groups
        are given to ``fit`` and ``predict``; without those either the model is least squares.
    random_slopes : int, str, or sequence of these
        Columns of X whose coefficients differ between groups.
    fit_intercept : bool
        Whether there is an intercept, fixed and random. Without one groups differ by their slopes alone; where there
        are no ``random_slopes`` either, by an intercept of their own about zero.
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

    # Groups that are routed reach the score, where a search or a validation scores by it.
    __metadata_request__score = {"groups": True}  # noqa: RUF012  # scikit-learn's protocol

    def __init__(
        self,
        groups: int | str | None = None,
        random_slopes: Sequence[int | str] | int | str = (),
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
        design = self._design(values)
        if labels is None:
            self.fit_ = None
            beta = _least_squares(design, y, weights)
        else:
            term = Term(labels, slopes, name=str(self._group_name), covariance=self.covariance)
            self.fit_ = fit_arrays(y, design, [term], method=self.method, weights=weights)
            beta = self._beta(design.shape[1])
        self._keep(beta)
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
        return self._linear(X, groups)

    def score(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> float:
        """R squared of the predictions; with ``groups``, of those with the effects of the groups."""
        from sklearn.metrics import r2_score

        return float(r2_score(y, self.predict(X, groups), sample_weight=sample_weight))

    def _training(
        self, X: Any, y: Any, groups: Any, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, np.ndarray | None]:
        """Regressors, labels, response and weights of the records that have a weight."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        values, labels = self._columns(X, groups, reset=True)
        y = numbers(column_or_1d(check_array(y, ensure_2d=False, dtype="numeric", input_name="y"), warn=True), "y")
        check_consistent_length(values, y)
        self._check_new_levels()
        weights = self._weights(sample_weight, values)
        if weights is None:
            return values, labels, y, None
        used = weights > 0.0
        return values[used], None if labels is None else labels[used], y[used], weights[used]


def _least_squares(design: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    if weights is not None:
        root = np.sqrt(weights)
        design, y = design * root[:, None], y * root
    return np.asarray(np.linalg.lstsq(design, y, rcond=None)[0])
