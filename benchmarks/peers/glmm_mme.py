"""mme.glmer, from a formula and a data frame in memory; seconds of the processor."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.peers.serve import serve
from benchmarks.tables import read_table


def load(folder: Path, model: dict[str, Any]) -> dict[str, Any]:
    """Read the table."""
    return model | {"table": read_table(folder, model)}


def fit(data: dict[str, Any], method: str) -> tuple[Any, float]:
    """Fit; return the fit and the seconds of the processor."""
    import mme

    began = process_time()
    made = mme.glmer(data["formula"], data["table"], data["family"], n_agq=data["n_agq"])
    _ = made.internals.estimates.beta, made.internals.estimates.b
    return made, process_time() - began


def describe(result: tuple[Any, float]) -> dict[str, Any]:
    """Criterion, seconds, evaluations and passes."""
    made, cpu = result
    return {
        "criterion": made.criterion,
        "cpu": cpu,
        "evaluations": made.optimum.evaluations,
        "passes": made.optimum.passes,
        "verdict": made.optimum.verdict,
    }


if __name__ == "__main__":
    serve("mme", load, fit, describe)
