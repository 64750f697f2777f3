"""Residual structures: R(phi) as a whitening, one file a family."""

from mme.residual.ar1 import AR1
from mme.residual.base import Bound, RStructure, Variance
from mme.residual.bygroup import ByGroup
from mme.residual.compound import CompoundSymmetry
from mme.residual.exponential import Exponential
from mme.residual.product import Product, bind
from mme.residual.toeplitz import Toeplitz
from mme.residual.unstructured import Unstructured
from mme.residual.variance import Heterogeneous, PowerOfCovariate

# The name that a residual structure had.
Structure = RStructure

__all__ = [
    "AR1",
    "Bound",
    "ByGroup",
    "CompoundSymmetry",
    "Exponential",
    "Heterogeneous",
    "PowerOfCovariate",
    "Product",
    "RStructure",
    "Structure",
    "Toeplitz",
    "Unstructured",
    "Variance",
    "bind",
]
