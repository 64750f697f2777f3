"""
Environments: genetic correlations and a biplot
===============================================

Maize lines in six counties (agridat's besag.met), means of each with their weights, by factor-analytic models.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import mme

files = Path(mme.__file__).parents[1] / "tests" / "reference" / "fields"
met = pd.read_csv(files / "besag.met.csv")
stage = []
for county, part in met.groupby("county"):
    fit = mme.lmer("yield ~ 0 + gen", part, residual=mme.AR1("row") * mme.AR1("col"))
    gen, weight = fit.beta.index.str.removeprefix("gen"), np.diag(np.linalg.inv(fit.beta_cov))
    stage.append(pd.DataFrame({"county": county, "gen": gen, "mean": fit.beta.to_numpy(), "weight": weight}))
stage = pd.concat(stage)
fa = mme.lmer("mean ~ county + fa(0 + county | gen, k = 1)", stage, weights="weight", sigma=1.0)
axes = fa.plot.correlations("gen")

# %%
# Loadings of the counties and scores of the lines on the principal axes of two factors.
two = mme.lmer("mean ~ county + fa(0 + county | gen, k = 2)", stage, weights="weight", sigma=1.0)
axes = two.plot.biplot("gen")
