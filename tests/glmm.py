"""Peers' values of generalised models (``reference/glmm/README.md``) and how to read them."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd

import mme
from mme.family.base import Family
from tests.cases import SHIPPED

FOLDER = SHIPPED / "glmm"
NAMES = sorted(path.stem for path in (FOLDER / "cases").glob("*.json"))


@cache
def data_of(name: str) -> pd.DataFrame:
    """The data of a case, factors as categories."""
    meta = json.loads((FOLDER / "data" / f"{name}.meta.json").read_text())
    types = {column: "str" if kind == "str" else "float" for column, kind in meta["dtype"].items()}
    with gzip.open(FOLDER / "data" / f"{name}.csv.gz", "rt") as file:
        data = pd.read_csv(file, dtype=types, keep_default_na=False, na_values=["NA"])
    for column, levels in meta.get("factor_levels", {}).items():
        known = levels if isinstance(levels, list) else sorted(data[column].dropna().unique(), key=str.encode)
        data[column] = pd.Categorical(data[column], categories=known)
    return data


def family_of(name: str, link: str) -> Family:
    """The family of a case, by R's names."""
    made = {
        "binomial": lambda: mme.Binomial(link=link),
        "poisson": lambda: mme.Poisson(link=link),
        "Gamma": lambda: mme.Gamma(link=link),
        "gaussian": lambda: mme.Gaussian(link=link),
        "inverse.gaussian": lambda: mme.InverseGaussian(link=link),
        "nbinom2": lambda: mme.NegativeBinomial(kind=2),
        "nbinom1": lambda: mme.NegativeBinomial(kind=1),
    }
    return made[name]()


@dataclass(frozen=True)
class GlmmCase:
    """One generalised model: what was fitted, and what the reference found."""

    name: str
    json: dict[str, Any]

    @property
    def data(self) -> pd.DataFrame:
        """Its data."""
        return data_of(self.json["data"])

    @property
    def family(self) -> Family:
        """Its family."""
        return family_of(self.json["family"], self.json["link"])

    def fit(self, **options: Any) -> mme.GeneralisedFit:
        """The model fitted anew."""
        given = {name: self.json[name] for name in ("weights", "offset") if self.json.get(name)}
        return mme.glmer(self.json["formula"], self.data, self.family, **given, **options)

    @cached_property
    def se(self) -> np.ndarray:
        """Standard errors of beta at the reference."""
        found = self.json["laplace"]["se_hessian"]
        return np.array(found["beta"] if isinstance(found, dict) else found)


@cache
def glmm_case(name: str) -> GlmmCase:
    """A case by name."""
    return GlmmCase(name, json.loads((FOLDER / "cases" / f"{name}.json").read_text()))


@cache
def glmm_fit(name: str) -> mme.GeneralisedFit:
    """The fit of a case, made once."""
    return glmm_case(name).fit()
