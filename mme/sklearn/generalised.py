"""Generalised linear mixed models as scikit-learn estimators: a classifier and a regressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted, column_or_1d

from mme.api.generalised_fitting import glm_fit
from mme.errors import MMEError
from mme.family.base import Family
from mme.family.binomial import Binomial
from mme.family.words import family_of
from mme.generalised.independent import independent
from mme.generalised.problem import Problem
from mme.model.problem import build_model
from mme.model.term import Term
from mme.sklearn.grouped import Grouped, log_exposure
from mme.tables.arrays import numbers

# Families of values on the whole line.
_ANY_SIGN = ("gaussian",)


class GroupedGLM(Grouped):
    """The fit of both estimators: with groups by Laplace's approximation or quadrature, without by likelihood."""

    covariance: str
    n_agq: int

    def _fit(
        self,
        family: Family,
        values: np.ndarray,
        labels: np.ndarray | None,
        y: np.ndarray,
        weights: np.ndarray | None,
        offset: np.ndarray | None = None,
    ) -> Self:
        self._check_new_levels()
        slopes, design = self._slopes(values), self._design(values)
        if labels is None:
            data = family.observe(y, weights, "y")
            problem = Problem(build_model(data.y, design, [], method="ML", offset=offset), family, data)
            at = independent(problem)
            self.fit_, self.tau_ = None, at.tau
            beta = np.zeros(design.shape[1])
            beta[problem.basis.kept] = problem.beta(at.gamma)
        else:
            term = Term(labels, slopes, name=str(self._group_name), covariance=self.covariance)
            self.fit_ = glm_fit(y, design, [term], family, n_agq=self.n_agq, weights=weights, offset=offset)
            self.tau_ = self.fit_.internals.estimates.tau
            beta = self._beta(design.shape[1])
        self._keep(beta)
        return self

    def _used(self, weights: np.ndarray | None, *arrays: np.ndarray | None) -> list[Any]:
        """Arrays without the records of weight zero, the weights last."""
        if weights is None:
            return [*arrays, None]
        used = weights > 0.0
        return [None if one is None else one[used] for one in (*arrays, weights)]


class MixedGLMClassifier(ClassifierMixin, GroupedGLM):  # type: ignore[misc]
    r"""Two classes with a random intercept, and random slopes, for every group.

    P(y_i = classes_[1] | b) = p_i, g(p_i) = x_i'beta + z_i'b_g(i), b_g ~ N(0, G); beta and G by maximum likelihood. The
    probabilities of a group of the fit are at the mode of its effects; of any other group, or none, at effects of zero,
    which is a typical group and not the mean over all of them.

    Parameters
    ----------
    groups, random_slopes, fit_intercept, covariance, new_levels
        As in :class:`mme.MixedLMRegressor`.
    link : str
        g: ``"logit"``, ``"probit"``, ``"cloglog"`` or ``"cauchit"``.
    n_agq : int
        Points of adaptive Gauss-Hermite quadrature; 1 is Laplace's approximation.

    Attributes
    ----------
    classes_ : (2,) array
        The labels, sorted.
    coef_ : (n_regressors,) array
        Fixed effects of the columns of X, the group column left out, zero for columns that others determine.
    intercept_ : float
    fit_ : GeneralisedFit or None
        The fitted model with all that can be asked of it; None without groups.

    Examples
    --------
    >>> import mme, numpy as np
    >>> rng = np.random.default_rng(1)
    >>> g = np.repeat(np.arange(40), 10)
    >>> X = np.column_stack([rng.normal(size=400), g])
    >>> y = np.where(rng.random(400) < 1 / (1 + np.exp(-X[:, 0] - rng.normal(size=40)[g])), "yes", "no")
    >>> model = mme.MixedGLMClassifier(groups=1).fit(X, y)
    >>> model.classes_.tolist(), model.predict_proba(X[:1]).shape, round(model.score(X, y), 2)
    (['no', 'yes'], (1, 2), 0.76)
    """

    def __init__(
        self,
        groups: int | str | None = None,
        random_slopes: Sequence[int | str] | int | str = (),
        *,
        link: str = "logit",
        fit_intercept: bool = True,
        covariance: str = "unstructured",
        n_agq: int = 1,
        new_levels: str = "population",
    ) -> None:
        self.groups = groups
        self.random_slopes = random_slopes
        self.link = link
        self.fit_intercept = fit_intercept
        self.covariance = covariance
        self.n_agq = n_agq
        self.new_levels = new_levels

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n, n_features) array or DataFrame
        y : (n,) array
            Two labels.
        groups : (n,) labels, optional
            Where they are not a column of X.
        sample_weight : (n,) array, optional
            Not negative; weights multiply the log likelihood.
        """
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        values, labels = self._columns(X, groups, reset=True)
        y = column_or_1d(y, warn=True)
        check_consistent_length(values, y)
        check_classification_targets(y)
        values, labels, y, weights = self._used(self._weights(sample_weight, values), values, labels, y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if self.classes_.size != 2:
            count, kind = self.classes_.size, type_of_target(y, input_name="y")
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}: y has {count} "
                f"class{'es' * (count != 1)}"
            )
        return self._fit(Binomial(self.link), values, labels, codes.astype(float), weights)

    def decision_function(self, X: Any, groups: Any = None) -> np.ndarray:
        """The linear predictor: positive where classes_[1] is the likelier one under a symmetric link."""
        check_is_fitted(self)
        return self._linear(X, groups)

    def predict_proba(self, X: Any, groups: Any = None) -> np.ndarray:
        """Probabilities of both classes (n, 2).

        Raises
        ------
        MMEError
            A group is new and ``new_levels`` is ``"error"``.
        """
        at = Binomial(self.link).probability(self.decision_function(X, groups))
        return np.column_stack([at.q, at.p])

    def predict(self, X: Any, groups: Any = None) -> np.ndarray:
        """The likelier class of each record."""
        likelier = self.predict_proba(X, groups)[:, 1] > 0.5
        return np.asarray(self.classes_[likelier.astype(int)])

    def score(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> float:
        """The share of records in their class; with ``groups``, by predictions with the effects of the groups."""
        return float(accuracy_score(y, self.predict(X, groups), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


class MixedGLMRegressor(RegressorMixin, GroupedGLM):  # type: ignore[misc]
    r"""Counts, times or measurements with a random intercept, and random slopes, for every group.

    E(y_i | b) = g^-1(x_i'beta + z_i'b_g(i) + log exposure_i) in a family, b_g ~ N(0, G); all by maximum likelihood. A
    prediction for a group of the fit is the mean at the mode of its effects; for any other group, or none, that at
    effects of zero.

    Parameters
    ----------
    family : str or Family
        ``"gaussian"``, ``"poisson"``, ..., or an object: ``mme.Gamma(link="log")``.
    groups, random_slopes, fit_intercept, covariance, new_levels
        As in :class:`mme.MixedLMRegressor`.
    n_agq : int
        Points of adaptive Gauss-Hermite quadrature; 1 is Laplace's approximation.

    Attributes
    ----------
    coef_ : (n_regressors,) array
        Fixed effects of the columns of X, the group column left out, zero for columns that others determine.
    intercept_ : float
    fit_ : GeneralisedFit or None
        The fitted model with all that can be asked of it; None without groups.

    Examples
    --------
    >>> import mme, numpy as np
    >>> rng = np.random.default_rng(1)
    >>> g = np.repeat(np.arange(50), 8)
    >>> X = np.column_stack([rng.normal(size=400), g])
    >>> y = rng.poisson(np.exp(1.0 + 0.5 * X[:, 0] + 0.4 * rng.normal(size=50)[g]))
    >>> model = mme.MixedGLMRegressor("poisson", groups=1).fit(X, y)
    >>> model.coef_.round(1), model.fit_.varcorr["1"].sd.round(1)
    (array([0.5]), array([0.3]))
    """

    def __init__(
        self,
        family: str | Family = "gaussian",
        groups: int | str | None = None,
        random_slopes: Sequence[int | str] | int | str = (),
        *,
        fit_intercept: bool = True,
        covariance: str = "unstructured",
        n_agq: int = 1,
        new_levels: str = "population",
    ) -> None:
        self.family = family
        self.groups = groups
        self.random_slopes = random_slopes
        self.fit_intercept = fit_intercept
        self.covariance = covariance
        self.n_agq = n_agq
        self.new_levels = new_levels

    def fit(self, X: Any, y: Any, groups: Any = None, sample_weight: Any = None, *, exposure: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n, n_features) array or DataFrame
        y : (n,) array
            What the family can have.
        groups : (n,) labels, optional
            Where they are not a column of X.
        sample_weight : (n,) array, optional
            Not negative: prior weights of the family.
        exposure : (n,) array, optional
            Its logarithm is a known part of the linear predictor.
        """
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        if not family_of(self.family).has_intercept:
            raise MMEError("ordered categories have probabilities, not one mean: mme.glmer(formula, data, 'ordinal')")
        values, labels = self._columns(X, groups, reset=True)
        y = numbers(column_or_1d(check_array(y, ensure_2d=False, dtype="numeric", input_name="y"), warn=True), "y")
        check_consistent_length(values, y)
        given = (self._weights(sample_weight, values), values, labels, y, log_exposure(exposure, len(values)))
        values, labels, y, offset, weights = self._used(*given)
        return self._fit(family_of(self.family), values, labels, y, weights, offset)

    def predict(self, X: Any, groups: Any = None, *, exposure: Any = None) -> np.ndarray:
        """Means; with the random effects of those groups that the fit has seen.

        Raises
        ------
        MMEError
            A group is new and ``new_levels`` is ``"error"``.
        """
        check_is_fitted(self)
        eta = self._linear(X, groups)
        known = log_exposure(exposure, eta.size)
        return family_of(self.family).mean(eta if known is None else eta + known, self.tau_)

    def score(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None, *, exposure: Any = None) -> float:
        """R squared of the predictions; with ``groups``, of those with the effects of the groups."""
        return float(r2_score(y, self.predict(X, groups, exposure=exposure), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = family_of(self.family).name not in _ANY_SIGN
        return tags
