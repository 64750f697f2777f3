"""mme: arrays in (terms and ``mme.fit``), or a formula, strings and a summary (``mme.lmer``).

Timed is what lme4's object holds when its fit returns: theta, sigma, beta and the modes of the random effects.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.peers.serve import serve, timed


def load(folder: Path, model: dict[str, Any]) -> dict[str, Any]:
    """Read the table for a formula, else the arrays."""
    if model["text"]:
        from benchmarks.tables import read_table

        return model | {"table": read_table(folder, model)}
    return model | {"values": {name: np.load(folder / f"{name}.npy") for name in model["arrays"]}}


def fit(data: dict[str, Any], method: str) -> tuple[Any, dict[str, float], dict[str, Any]]:
    """Fit; return the fit, seconds by stage and the data."""
    import mme

    if data["text"]:
        made = mme.lmer(data["formula"], data["table"], method=method, weights=data["weights"], offset=data["offset"])
        return made, {**made.engine.seconds, "summary": timed(made.summary)}, data
    values = data["values"]
    began = perf_counter()
    terms = [
        mme.Term(values[f"codes{t}"], values.get(f"covariates{t}"), name=term["name"], covariance=term["covariance"])
        for t, term in enumerate(data["terms"])
    ]
    built = perf_counter()
    given = {"weights": values.get("weights"), "offset": values.get("offset")}
    made = mme.fit(values["y"], values["X"], terms, method=method, **given)
    fitted = perf_counter()
    stages = {"terms": built - began, "checks": fitted - built - sum(made.engine.seconds.values())}
    effects = timed(lambda: (made.internals.estimates.beta, made.internals.estimates.b, made.sigma))
    return made, {**stages, **made.engine.seconds, "effects": effects}, data


def describe(result: tuple[Any, dict[str, float], dict[str, Any]]) -> dict[str, Any]:
    """Criterion, evaluations, the engine's choices, seconds by stage, and the work no solver is spared."""
    made, stages, data = result
    return {
        "criterion": made.criterion,
        "evaluations": made.optimum.evaluations,
        "engine": str(made.engine).rsplit("\n", 1)[0],
        "stages": stages,
        "work": {} if data["text"] else _work(made, data["values"]),
    }


def _work(made: Any, values: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """By stage: bytes that must be read, flops of the factor that remains after absorption."""
    system, evaluations = made.internals.objective.system, made.optimum.evaluations
    N, everything = values["y"].nbytes + values["X"].nbytes, sum(array.nbytes for array in values.values())
    # the criterion needs the levels merged; the estimates need each
    merged = sum(_bytes(levels) for levels in system.chunks or [system.absorbed.levels])
    flops = made.engine.flops
    return {
        "conditioning": [N, 0.0],
        "cross-products": [everything, 0.0],
        "search": [evaluations * merged, evaluations * flops],
        "effects": [_bytes(system.absorbed.levels), flops],
        "data": [everything, 0.0],
    }


def _bytes(levels: Any) -> int:
    return int(levels.R.nbytes + levels.V.nbytes)


def evaluate(result: tuple[Any, dict[str, float], dict[str, Any]], times: int) -> list[float]:
    """Time the criterion near the estimates."""
    made = result[0]
    return [timed(lambda i=i: made.internals.objective(made.theta * (1.0 + 1e-6 * i))) for i in range(1, times + 1)]


def after(result: tuple[Any, dict[str, float], dict[str, Any]]) -> dict[str, float]:
    """Time what users ask of a fit, tables and text included."""
    import pandas  # noqa: F401  # imported by the first table, which should not pay for it here

    made = result[0]
    asked = {"ranef": made.ranef, "fitted": lambda: made.fitted, "condvar": made.condvar, "pev": made.pev}
    return {name: timed(work) for name, work in {**asked, "summary": made.summary}.items()}


if __name__ == "__main__":
    serve("mme", load, fit, describe, evaluate, after)
