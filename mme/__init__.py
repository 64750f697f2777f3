"""Sparse Henderson mixed model equations: BLUE, BLUP and variance components by REML or ML."""

from mme.datasets import load
from mme.equations import EquationsSolution, MixedModelEquations, solve
from mme.errors import FormulaError, MemoryForecastError, MMEError, MMEWarning
from mme.fit import Fit, fit
from mme.inference.compare import anova
from mme.lmer import lmer
from mme.objective import objective
from mme.terms import Term

__all__ = [
    "EquationsSolution",
    "Fit",
    "FormulaError",
    "MMEError",
    "MMEWarning",
    "MemoryForecastError",
    "MixedModelEquations",
    "Term",
    "anova",
    "fit",
    "lmer",
    "load",
    "objective",
    "solve",
]
__version__ = "0.1.0"
