"""Cases of nlme with residual structures: what was fitted, in our words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cases import PRIVATE, SHIPPED, load_data

import mme
from mme.residual import AR1, CompoundSymmetry, Exponential, Heterogeneous, PowerOfCovariate, Unstructured

# What was fitted, in our words; cases by the name before _ml and _reml.
STRUCTURES: dict[str, Any] = {
    "st_dialyzer_gls_varpower": PowerOfCovariate("pressure"),
    "st_dialyzer_lme_varpower": PowerOfCovariate("pressure"),
    "st_dyestuff2_cs": CompoundSymmetry("Batch"),
    "st_negicc_cs": CompoundSymmetry("blk"),
    "st_orthodont_cs": CompoundSymmetry("Subject"),
    "st_orthodont_lme_varident_sex": Heterogeneous("Sex"),
    "st_orthodont_symm": Unstructured("age", "Subject", equal_variances=True),
    "st_orthodont_unstr": Unstructured("age", "Subject"),
    "st_ou_gls_expnug": Exponential("t", "grp", nugget=True),
    "st_ou_lme_car1": Exponential("t", "grp"),
    "st_ou_lme_exp": Exponential("t", "grp"),
    "st_ovary_lme_ar1": AR1("ord", "Mare"),
    "st_ovary_lme_diag_ar1": AR1("ord", "Mare"),
    "st_oxboys_car1": Exponential("age", "Subject"),
    "st_tlc_ar1": AR1("visit", "id"),
    "st_tlc_car1": Exponential("weeknum", "id"),
    "st_tlc_cs": CompoundSymmetry("id"),
    "st_tlc_lme_exp": Exponential("weeknum", "id"),
    "st_tlc_unstr": Unstructured("visit", "id"),
}


# nlme's random part in lme4's words; the others are (1 | group) or none.
BARS = {
    "st_dialyzer_lme_varpower": "(1 | Subject)",
    "st_orthodont_lme_varident_sex": "(1 | Subject)",
    "st_ou_lme_car1": "(1 | grp)",
    "st_ou_lme_exp": "(1 | grp)",
    "st_ovary_lme_ar1": "(1 | Mare)",
    "st_ovary_lme_diag_ar1": "(s1 || Mare)",
    "st_oxboys_car1": "(age | Subject)",
    "st_tlc_lme_exp": "(1 | id)",
}


def reference(name: str) -> dict[str, Any]:
    """The stored case, shipped or private."""
    shipped = SHIPPED / "structures" / f"{name}.json"
    return json.loads((shipped if shipped.exists() else PRIVATE / "cases" / f"{name}.json").read_text())


def fit_case(name: str, **options: Any) -> mme.Fit:
    """The model of a stored case fitted anew."""
    stored, stem = reference(name), name.rsplit("_", 1)[0]
    formula = stored["formula"] + (f" + {BARS[stem]}" if stem in BARS else "")
    method = "REML" if stored["REML"] else "ML"
    return mme.lmer(formula, load_data(stored["data"]), method=method, residual=STRUCTURES[stem], **options)


def cases(marginal: bool | None = None) -> list[Any]:
    """Names of the cases (``marginal``: those without random effects); private ones are skipped where absent."""
    found = []
    for name in (f"{stem}_{method}" for stem in STRUCTURES for method in ("ml", "reml")):
        if marginal is not None and marginal == ("_lme_" in name or "oxboys" in name):
            continue
        absent = "tlc" in name and not (PRIVATE / "cases" / f"{name}.json").exists()
        reason = f"{name}: its data cannot be redistributed; set MME_REFERENCE"
        found.append(pytest.param(name, marks=pytest.mark.skipif(absent, reason=reason)))
    return found
