"""
Groups: records and fitted lines
================================

The records of each group with its own regression, the population's line and the group's line in the model.
"""

import mme

fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
axes = fit.plot.groups()
