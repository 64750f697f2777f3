"""Sparse Henderson mixed model equations: BLUE, BLUP and variance components by REML or ML."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mme.datasets import load
from mme.equations import EquationsSolution, MixedModelEquations, solve
from mme.errors import FormulaError, MemoryForecastError, MMEError, MMEWarning
from mme.fit import Fit, fit
from mme.lmer import lmer
from mme.objective import objective
from mme.residual import (
    AR1,
    CompoundSymmetry,
    Exponential,
    Heterogeneous,
    PowerOfCovariate,
    Toeplitz,
    Unstructured,
)
from mme.terms import Term

if TYPE_CHECKING:
    from mme.genomic import genomic_relationship, single_step
    from mme.inference.boundary import exact_rlrt, variance_test
    from mme.inference.compare import anova
    from mme.pedigree import Pedigree
    from mme.relationship import Relationship
    from mme.restore import load_fit

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


# Rooms that many never enter, imported when a name of theirs is asked for.
_LATER = {
    "MixedLMRegressor": "mme.sklearn",
    "Pedigree": "mme.pedigree",
    "Relationship": "mme.relationship",
    "anova": "mme.inference.compare",
    "exact_rlrt": "mme.inference.boundary",
    "genomic_relationship": "mme.genomic",
    "load_fit": "mme.restore",
    "single_step": "mme.genomic",
    "variance_test": "mme.inference.boundary",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'mme' has no attribute {name!r}")
    try:
        return getattr(import_module(_LATER[name]), name)
    except ImportError as error:
        if name == "MixedLMRegressor":
            raise ImportError("mme.MixedLMRegressor needs scikit-learn: pip install 'mme[sklearn]'") from error
        raise


def __dir__() -> list[str]:
    return sorted([*__all__, "MixedLMRegressor"])
