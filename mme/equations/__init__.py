"""Henderson's equations, literal, at known variances: a way in of its own."""

from mme.equations.solution import EquationsSolution
from mme.equations.system import MixedModelEquations, solve

__all__ = ["EquationsSolution", "MixedModelEquations", "solve"]
