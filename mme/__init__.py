"""Sparse Henderson mixed model equations: BLUE, BLUP and variance components by REML or ML."""

from typing import Any

from mme.datasets import load
from mme.equations import EquationsSolution, MixedModelEquations, solve
from mme.errors import FormulaError, MemoryForecastError, MMEError, MMEWarning
from mme.fit import Fit, fit
from mme.genomic import genomic_relationship, single_step
from mme.inference.boundary import exact_rlrt, variance_test
from mme.inference.compare import anova
from mme.lmer import lmer
from mme.objective import objective
from mme.pedigree import Pedigree
from mme.relationship import Relationship
from mme.residual import (
    AR1,
    CompoundSymmetry,
    Exponential,
    Heterogeneous,
    PowerOfCovariate,
    Toeplitz,
    Unstructured,
)
from mme.restore import load_fit
from mme.terms import Term

__all__ = [
    "AR1",
    "CompoundSymmetry",
    "EquationsSolution",
    "Exponential",
    "Fit",
    "FormulaError",
    "Heterogeneous",
    "MMEError",
    "MMEWarning",
    "MemoryForecastError",
    "MixedModelEquations",
    "Pedigree",
    "PowerOfCovariate",
    "Relationship",
    "Term",
    "Toeplitz",
    "Unstructured",
    "anova",
    "exact_rlrt",
    "fit",
    "genomic_relationship",
    "lmer",
    "load",
    "load_fit",
    "objective",
    "single_step",
    "solve",
    "variance_test",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the scikit-learn estimator when it is asked for: scikit-learn is an extra, and slow to load."""
    if name == "MixedLMRegressor":
        try:
            from mme.sklearn import MixedLMRegressor
        except ImportError as error:
            raise ImportError("mme.MixedLMRegressor needs scikit-learn: pip install 'mme[sklearn]'") from error
        return MixedLMRegressor
    raise AttributeError(f"module 'mme' has no attribute {name!r}")
