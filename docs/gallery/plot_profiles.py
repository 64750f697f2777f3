"""
Profiles: how well variances are known
======================================

The signed square root of the drop of the deviance as one parameter moves and all others follow. A straight line means
that a normal approximation is right; the horizontal lines are confidence limits. Variances seldom have straight lines.
"""

import mme

fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"), method="ML")
profile = fit.profile()
axes = fit.plot.zeta(profile)

# %%
# Two parameters at a time: contours of the likelihood, 50, 80, 90, 95 and 99 %.
axes = fit.plot.pairs(profile)
