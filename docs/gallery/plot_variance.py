"""
Where the variance is
=====================

The share of fixed effects, of each random term and of the residual in the variance of a record (Nakagawa, Johnson and
Schielzeth).
"""

import mme

fit = mme.lmer("strength ~ 1 + (1 | batch/cask)", mme.load("Pastes"))
axes = fit.plot.variance()
