"""
A field: residuals, variogram, BLUPs
====================================

A wheat trial in rows and columns (agridat's stroup.nin). Blocks leave a poor corner, which the map and the variogram
of residuals show; a separable autoregression takes it in.
"""

from pathlib import Path

import pandas as pd

import mme

files = Path(mme.__file__).parents[1] / "tests" / "reference" / "fields"
nin = pd.read_csv(files / "stroup.nin.csv")
blocks = mme.lmer("yield ~ gen + (1 | rep)", nin)
axes = blocks.plot.field("row", "col")

# %%
# Half the mean squared difference of residuals, by how far plots lie apart, and what the model expects.
axes = blocks.plot.variogram("row", "col")

# %%
# The variogram of the residuals of the separable autoregression.
lines = mme.lmer("yield ~ 1 + (1 | gen)", nin, residual=mme.AR1("col") * mme.AR1("row"))
axes = lines.plot.variogram("row", "col")

# %%
# The BLUP of each plot's line.
axes = lines.plot.field("row", "col", show="gen")
