"""mme.glmer, from a formula and a data frame in memory; seconds of the processor."""

from __future__ import annotations

from pathlib import Path
from time import process_time
from typing import Any

from benchmarks.peers.serve import serve
from benchmarks.tables import read_table
from mme.generalised import one_coefficient, one_pass
from mme.numeric.machine_code import machine_code, make


def load(folder: Path, model: dict[str, Any]) -> dict[str, Any]:
    """Read the table; the compiled loops stand on disk, as after the first fits of an installation."""
    for loop, arguments in (
        (one_coefficient.one_coefficient, one_coefficient.ARGUMENTS),
        (one_pass.one_pass, one_pass.ARGUMENTS),
    ):
        if machine_code(loop, arguments, 0) is None:
            make(loop, arguments)
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
