"""gpboost: random intercepts, by ML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.serve import serve


def load(folder: Path, model: dict[str, Any]) -> dict[str, Any]:
    """Read the arrays."""
    values = {name: np.load(folder / f"{name}.npy") for name in model["arrays"]}
    groups = np.column_stack([values[f"codes{t}"] for t in range(len(model["terms"]))])
    return {"y": values["y"], "X": values["X"], "groups": groups}


def fit(data: dict[str, Any], method: str) -> Any:
    """Build and fit."""
    import gpboost

    # its default for several factors approximates the likelihood
    options = {"matrix_inversion_method": "cholesky", "num_parallel_threads": int(os.environ["OMP_NUM_THREADS"])}
    model = gpboost.GPModel(group_data=data["groups"], likelihood="gaussian", **options)
    return model.fit(y=data["y"], X=data["X"])


def describe(result: Any) -> dict[str, Any]:
    """-2 log-likelihood; the count of evaluations is not kept."""
    return {"criterion": 2.0 * float(result.get_current_neg_log_likelihood()), "evaluations": None}


if __name__ == "__main__":
    serve("gpboost", load, fit, describe)
