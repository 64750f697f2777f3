"""Sparse Henderson mixed model equations: BLUE, BLUP and variance components by REML or ML."""

from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

from mme.errors import FormulaError, MemoryForecastError, MMEError, MMEWarning
from mme.version import __version__ as __version__

if TYPE_CHECKING:
    from mme.api.comparing import anova, compare, exact_rlrt, load_fit, variance_test
    from mme.api.face import Fit
    from mme.api.fitting import fit, lmer, objective
    from mme.api.generalised import GeneralisedFit
    from mme.api.generalised_fitting import glm_fit, glmer
    from mme.api.linear import lm
    from mme.api.many import lmer_many
    from mme.api.planning import power, simulate_model
    from mme.api.products import CrossProducts
    from mme.api.scanning import scan
    from mme.covariance.base import GStructure
    from mme.equations import EquationsSolution, MixedModelEquations, solve
    from mme.family.agreement import check_family
    from mme.family.base import Family
    from mme.family.beta import Beta
    from mme.family.binomial import Binomial
    from mme.family.gamma import Gamma
    from mme.family.gaussian import Gaussian
    from mme.family.inverse_gaussian import InverseGaussian
    from mme.family.negative_binomial import NegativeBinomial
    from mme.family.ordinal import Ordinal
    from mme.family.own import OwnFamily
    from mme.family.poisson import Poisson
    from mme.family.tweedie import Tweedie
    from mme.model.term import Term
    from mme.relationship.dominance import dominance
    from mme.relationship.epistasis import epistatic
    from mme.relationship.genomic import genomic_relationship
    from mme.relationship.grandsires import maternal_grandsires
    from mme.relationship.known import Relationship
    from mme.relationship.metafounders import metafounders
    from mme.relationship.parametric import Parametric
    from mme.relationship.pedigree import Pedigree
    from mme.relationship.sex_linked import sex_linked
    from mme.relationship.single_step import single_step
    from mme.residual import (
        AR1,
        ARMA,
        AnteDependence,
        CompoundSymmetry,
        Exponential,
        ExponentialOfCovariate,
        Heterogeneous,
        PowerOfCovariate,
        PowerOfMean,
        RStructure,
        Spatial,
        Toeplitz,
        Unstructured,
    )
    from mme.results.selection_index import selection_index
    from mme.tables.datasets import load

__all__ = [
    "AR1",
    "ARMA",
    "AnteDependence",
    "Beta",
    "Binomial",
    "CompoundSymmetry",
    "CrossProducts",
    "EquationsSolution",
    "Exponential",
    "ExponentialOfCovariate",
    "Family",
    "Fit",
    "FormulaError",
    "GStructure",
    "Gamma",
    "Gaussian",
    "GeneralisedFit",
    "Heterogeneous",
    "InverseGaussian",
    "MMEError",
    "MMEWarning",
    "MemoryForecastError",
    "MixedModelEquations",
    "NegativeBinomial",
    "Ordinal",
    "OwnFamily",
    "Parametric",
    "Pedigree",
    "Poisson",
    "PowerOfCovariate",
    "PowerOfMean",
    "RStructure",
    "Relationship",
    "Spatial",
    "Term",
    "Toeplitz",
    "Tweedie",
    "Unstructured",
    "anova",
    "check_family",
    "compare",
    "dominance",
    "epistatic",
    "exact_rlrt",
    "fit",
    "genomic_relationship",
    "glm_fit",
    "glmer",
    "lm",
    "lmer",
    "lmer_many",
    "load",
    "load_fit",
    "maternal_grandsires",
    "metafounders",
    "objective",
    "power",
    "scan",
    "selection_index",
    "sex_linked",
    "simulate_model",
    "single_step",
    "solve",
    "variance_test",
]


# Where each name is: imported when it is asked for, so that `import mme` itself takes milliseconds.
_LATER = {
    "AR1": "mme.residual",
    "ARMA": "mme.residual",
    "AnteDependence": "mme.residual",
    "Beta": "mme.family.beta",
    "Binomial": "mme.family.binomial",
    "CompoundSymmetry": "mme.residual",
    "CrossProducts": "mme.api.products",
    "EquationsSolution": "mme.equations",
    "Exponential": "mme.residual",
    "ExponentialOfCovariate": "mme.residual",
    "Family": "mme.family.base",
    "Fit": "mme.api.face",
    "GStructure": "mme.covariance.base",
    "Gamma": "mme.family.gamma",
    "Gaussian": "mme.family.gaussian",
    "GeneralisedFit": "mme.api.generalised",
    "Heterogeneous": "mme.residual",
    "InverseGaussian": "mme.family.inverse_gaussian",
    "MixedGLMClassifier": "mme.sklearn.generalised",
    "MixedGLMRegressor": "mme.sklearn.generalised",
    "MixedLMRegressor": "mme.sklearn.linear",
    "MixedModelEquations": "mme.equations",
    "NegativeBinomial": "mme.family.negative_binomial",
    "Ordinal": "mme.family.ordinal",
    "OwnFamily": "mme.family.own",
    "Parametric": "mme.relationship.parametric",
    "Pedigree": "mme.relationship.pedigree",
    "Poisson": "mme.family.poisson",
    "PowerOfCovariate": "mme.residual",
    "PowerOfMean": "mme.residual",
    "RStructure": "mme.residual",
    "Relationship": "mme.relationship.known",
    "Spatial": "mme.residual",
    "Term": "mme.model.term",
    "Toeplitz": "mme.residual",
    "Tweedie": "mme.family.tweedie",
    "Unstructured": "mme.residual",
    "anova": "mme.api.comparing",
    "check_family": "mme.family.agreement",
    "compare": "mme.api.comparing",
    "exact_rlrt": "mme.api.comparing",
    "fit": "mme.api.fitting",
    "dominance": "mme.relationship.dominance",
    "epistatic": "mme.relationship.epistasis",
    "genomic_relationship": "mme.relationship.genomic",
    "maternal_grandsires": "mme.relationship.grandsires",
    "metafounders": "mme.relationship.metafounders",
    "glm_fit": "mme.api.generalised_fitting",
    "glmer": "mme.api.generalised_fitting",
    "lm": "mme.api.linear",
    "lmer": "mme.api.fitting",
    "lmer_many": "mme.api.many",
    "load": "mme.tables.datasets",
    "load_fit": "mme.api.comparing",
    "objective": "mme.api.fitting",
    "power": "mme.api.planning",
    "scan": "mme.api.scanning",
    "selection_index": "mme.results.selection_index",
    "sex_linked": "mme.relationship.sex_linked",
    "simulate_model": "mme.api.planning",
    "single_step": "mme.relationship.single_step",
    "solve": "mme.equations",
    "variance_test": "mme.api.comparing",
}


# Those that need scikit-learn.
_ESTIMATORS = ("MixedGLMClassifier", "MixedGLMRegressor", "MixedLMRegressor")


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        from mme.api.elsewhere import instead

        hint = instead(name, __dir__())
        raise AttributeError(f"module 'mme' has no attribute {name!r}{hint and f': {hint}'}")
    try:
        module = import_module(_LATER[name])
        value = getattr(module, name)
    except ImportError as error:
        if name in _ESTIMATORS:
            raise ImportError(f"mme.{name} needs scikit-learn: pip install 'mme[sklearn]'") from error
        raise
    if isinstance(value, type | FunctionType) and name not in _ESTIMATORS:
        from mme.tables.calls import answering

        value = answering(value)
        setattr(module, name, value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_ESTIMATORS])
