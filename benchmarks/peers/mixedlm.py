"""mixedlm: lme4's language on a Rust core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.serve import serve
from benchmarks.tables import read_table


def load(folder: Path, model: dict[str, Any]) -> dict[str, Any]:
    """Read the table."""
    return model | {"table": read_table(folder, model)}


def fit(data: dict[str, Any], method: str) -> Any:
    """Fit by formula."""
    import mixedlm

    given = {"weights": data["weights"], "offset": data["offset"]}
    result = mixedlm.lmer(data["formula"], data["table"], REML=method == "REML", **given)
    if data["text"]:
        str(result.summary())
    return result


def describe(result: Any) -> dict[str, Any]:
    """Criterion, and evaluations where they are counted."""
    return {"criterion": float(result.deviance), "evaluations": int(result.function_evals) or None}


if __name__ == "__main__":
    serve("mixedlm", load, fit, describe)
