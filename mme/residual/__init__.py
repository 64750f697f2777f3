"""Residual structures: R(phi) as a whitening, one file a family."""

from mme.residual.ante import AnteDependence
from mme.residual.ar1 import AR1
from mme.residual.arma import ARMA
from mme.residual.base import Bound, Variance
from mme.residual.binding import bind
from mme.residual.bygroup import ByGroup
from mme.residual.compound import CompoundSymmetry
from mme.residual.exponential import Exponential
from mme.residual.ofmean import PowerOfMean
from mme.residual.product import Product
from mme.residual.rstructure import ByLevel, RStructure, Times, WithNugget
from mme.residual.spatial import Spatial
from mme.residual.toeplitz import Toeplitz
from mme.residual.unstructured import Unstructured
from mme.residual.variance import ExponentialOfCovariate, Heterogeneous, PowerOfCovariate

# The name that a residual structure had.
Structure = RStructure

__all__ = [
    "AR1",
    "ARMA",
    "AnteDependence",
    "Bound",
    "ByGroup",
    "ByLevel",
    "CompoundSymmetry",
    "Exponential",
    "ExponentialOfCovariate",
    "Heterogeneous",
    "PowerOfCovariate",
    "PowerOfMean",
    "Product",
    "RStructure",
    "Spatial",
    "Structure",
    "Times",
    "Toeplitz",
    "Unstructured",
    "Variance",
    "WithNugget",
    "bind",
]
