"""
Effects: means over a variable, with intervals
==============================================

The mean of the response over a variable, other numbers at their mean and other factors in equal parts, with the records
behind. ``data=True`` returns the table, for plotnine, Altair or seaborn.
"""

import mme

fit = mme.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", mme.load("Oats"))
axes = fit.plot.effects("nitro", by="Variety")

# %%
# Factors, and factors within one another.
axes = fit.plot.interaction("Variety", "nitro")

# %%
# A generalised model on the scale of its response: probabilities.
herds = mme.load("cbpp")
ill = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", herds, "binomial")
axes = ill.plot.effects("period")
print(ill.plot.effects("period", data=True).round(3))
