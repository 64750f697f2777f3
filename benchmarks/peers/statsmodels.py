"""statsmodels: ``MixedLM.from_formula`` with one grouping factor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.serve import serve
from benchmarks.tables import read_table


def load(folder: Path, model: dict[str, Any]) -> dict[str, Any]:
    """Read the table."""
    return model | {"table": read_table(folder, model)}


def fit(data: dict[str, Any], method: str) -> Any:
    """Build and fit, as lme4's call does both."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    (bar,) = data["bars"]
    model = MixedLM.from_formula(data["fixed"], data["table"], groups=bar["group"], re_formula=f"~ {bar['left']}")
    result = model.fit(reml=method == "REML")
    if data["text"]:
        str(result.summary())
    return result


def describe(result: Any) -> dict[str, Any]:
    """-2 log-likelihood; the count of evaluations is not kept."""
    return {"criterion": -2.0 * float(result.llf), "evaluations": None}


if __name__ == "__main__":
    serve("statsmodels", load, fit, describe)
