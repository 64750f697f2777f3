"""
Coefficients of one model, or of several
========================================

Estimates of the fixed effects with 95 % intervals, each model with a colour and a mark of its own.
"""

import mme

oats = mme.load("Oats")
fit = mme.lmer("yield ~ nitro + Variety + (1 | Block/Variety)", oats)
axes = fit.plot.coefficients()

# %%
# Beside a model without the plots within blocks: what the split plots do to the intervals of Variety.
flat = mme.lmer("yield ~ nitro + Variety + (1 | Block)", oats)
axes = fit.plot.coefficients(flat)
