"""
Shrinkage: from no pooling to partial pooling
=============================================

An arrow a subject, from its own least-squares line to its line in the model (BLUE + BLUP). The cross is the
population's line; ellipses are the random effects' distribution. Where its own data say little, the arrow is long.
"""

import mme

fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
axes = fit.plot.shrinkage("Subject")
