"""
A generalised model: calibration and counts
===========================================

Predicted against observed proportions in bins of the prediction, and a hanging rootogram of counts: bars that do not
reach the line, or go below it, are counts that the model expects too often or too seldom.
"""

import mme

herds = mme.load("cbpp")
fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", herds, "binomial")
axes = fit.plot.calibration()

# %%
# Counts, the number of animals as exposure.
counts = mme.glmer("incidence ~ period + (1 | herd)", herds, "nbinom2", exposure="size")
axes = counts.plot.rootogram()
