"""
Small areas: direct and model-based estimates
=============================================

Forty areas with direct estimates whose sampling variances are known, and a covariate (Fay and Herriot, 1979). Areas
with large sampling variances are drawn to the regression; bars are roots of mean squared errors (Prasad and Rao).
"""

import matplotlib.pyplot as plt
import numpy as np

import mme

rng = np.random.default_rng(3)
psi = rng.uniform(0.3, 3.0, 40)
x = rng.normal(size=40)
y = 2 + x + rng.normal(size=40) + np.sqrt(psi) * rng.normal(size=40)
area = np.arange(1, 41)
fit = mme.fit(y, np.column_stack([np.ones(40), x]), [mme.Term(area, name="area")], sigma=1, weights=1 / psi)
table = fit.eblup_mse()

order = np.argsort(psi)
place = np.arange(40)
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
estimate, error = table["estimate"].iloc[order], np.sqrt(table["mse"].iloc[order])
axes.errorbar(place - 0.15, y[order], np.sqrt(psi[order]), fmt="o", ms=3, lw=1, label="direct")
axes.errorbar(place + 0.15, estimate, error, fmt="s", ms=3, lw=1, label="EBLUP")
axes.set(xlabel="areas, by their sampling variance", ylabel="mean")
axes.legend(frameon=False)
