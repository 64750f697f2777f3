"""
Caterpillar: BLUPs with their intervals
=======================================

Levels in the order of their BLUPs, with 95 % intervals by the prediction error variance, in which the uncertainty of
the fixed effects is included.
"""

import mme

fit = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mme.load("Penicillin"))
axes = fit.plot.caterpillar("plate")
