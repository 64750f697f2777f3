"""
What can be wrong with a fit, in one panel
==========================================

Residuals and their spread should run level, quantiles stay in their bands, no group stand far above the others, and the
model draw responses like those observed.
"""

import mme

fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
axes = fit.plot.check()
