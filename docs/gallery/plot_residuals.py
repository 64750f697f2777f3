"""
Residuals
=========

Standardised residuals against fitted values, with their running median and quartiles, which should run level; below,
their quantiles against those of the normal distribution, with the range in which 95 % of each order statistic falls.
"""

import mme

fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
axes = fit.plot.residuals()

# %%
# The same residuals, by their quantiles.
axes = fit.plot.qq()
