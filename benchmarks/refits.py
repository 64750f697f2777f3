#!/usr/bin/env python3
"""Many refits beside lme4's ``refit`` and ``bootMer``: ``refits.py [responses]``.

Criteria of all responses are compared first; then seconds of the processor a replicate, of one process. By ML: a refit
of lme4 1.1-31 by REML reports, of sleepstudy, 8 more than lme4's own fit to the same response.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mme

MODELS = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "Penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "Pastes": "strength ~ 1 + (1 | batch) + (1 | sample)",
}
_PEER = Path(__file__).with_name("peers") / "refits.R"
# Nine in ten of lme4's refits stop no more than this above the minimum, and none is below it by more than rounding.
_ABOVE, _BELOW = 1e-3, 1e-5


def measured(name: str, B: int) -> str:
    """A line of the table of one model."""
    data, formula = pd.DataFrame(mme.load(name)), MODELS[name]
    fit = mme.lmer(formula, data, method="ML")
    Y = np.asarray(fit.simulate(B, seed=1))
    refits, boot, theirs = _lme4(data, formula, Y)
    fit.refit(Y, workers=1)  # compiled, or read from the cache
    began = process_time()
    ours = fit.refit(Y, workers=1)
    between = process_time()
    fit.bootstrap(B, seed=2, workers=1)
    ended = process_time()
    above = theirs - ours.criterion
    assert above.min() > -_BELOW, above.min()
    assert np.quantile(above, 0.9) < _ABOVE, np.sort(above)[-20:]
    seconds = (between - began, refits, ended - between, boot)
    cells = "".join(f"{1e3 * one / B:12.3f}" for one in seconds)
    return f"{name:12s}{cells}{refits / seconds[0]:9.0f}{boot / seconds[2]:9.0f}{above.max():12.1e}"


def _lme4(data: pd.DataFrame, formula: str, Y: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Seconds of refits and of as many bootstrap replicates, and the criteria of the refits."""
    with tempfile.TemporaryDirectory() as folder:
        table, responses = Path(folder) / "data.csv", Path(folder) / "responses.csv"
        data.to_csv(table, index=False)
        pd.DataFrame(Y).to_csv(responses, index=False)
        call = ["Rscript", str(_PEER), str(table), formula, str(responses), str(Y.shape[1])]
        told = subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()
    return float(told[0]), float(told[1]), np.array(told[2:], dtype=float)


def main() -> None:
    """Print the table."""
    B = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    heads = ("refit, ms", "lme4", "boot, ms", "bootMer")
    print(f"{'':12s}" + "".join(f"{one:>12s}" for one in heads) + f"{'ratio':>9s}{'ratio':>9s}{'lme4 above':>12s}")
    for name in MODELS:
        print(measured(name, B), flush=True)


if __name__ == "__main__":
    main()
