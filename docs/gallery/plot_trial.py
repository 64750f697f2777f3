"""
A clinical trial: means by arm and visit
========================================

Least-squares means of lung function by arm and visit with an unstructured covariance of the visits (mmrm's example).
"""

from pathlib import Path

import pandas as pd

import mme

files = Path(mme.__file__).parents[1] / "tests" / "reference" / "fields"
fev = pd.read_csv(files / "fev.csv")
fit = mme.lmer("FEV1 ~ RACE + SEX + ARMCD * AVISIT", fev, residual=mme.Unstructured("AVISIT", "USUBJID"))
axes = fit.plot.interaction("AVISIT", "ARMCD")
