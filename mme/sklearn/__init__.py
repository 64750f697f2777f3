"""Mixed models as scikit-learn estimators."""

from mme.sklearn.generalised import MixedGLMClassifier, MixedGLMRegressor
from mme.sklearn.linear import MixedLMRegressor

__all__ = ["MixedGLMClassifier", "MixedGLMRegressor", "MixedLMRegressor"]
