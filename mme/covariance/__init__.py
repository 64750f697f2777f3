"""Covariances G of the coefficients of one level: theta -> T with G = sigma^2 T T'."""

from mme.covariance.base import GStructure
from mme.covariance.words import structure

# The name that a structure of G had.
Structure = GStructure

__all__ = ["GStructure", "Structure", "structure"]
