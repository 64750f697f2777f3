"""The packages that are timed: how each is started, whether it is here, and which models it cannot fit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """A package beside which mme is timed.

    ``command`` starts its adapter (the model's directory is appended); ``refuses(model)`` says why it cannot fit a
    model, or None; ``methods`` are what it can estimate by. Where no reference is stored, ``referee`` says that a
    lower criterion than mme's is a fault of mme.
    """

    name: str
    command: tuple[str, ...]
    present: Callable[[], bool]
    refuses: Callable[[dict[str, Any]], str | None] = lambda model: None
    methods: tuple[str, ...] = ("REML", "ML")
    referee: bool = False


@cache
def r_has(*packages: str) -> bool:
    """Whether R and all these packages are installed."""
    if which("Rscript") is None:
        return False
    probe = f"q(status = !all(vapply(c({', '.join(map(repr, packages))}), requireNamespace, NA, quietly = TRUE)))"
    return subprocess.run(["Rscript", "-e", probe], capture_output=True).returncode == 0


def in_r(package: str, **options: Any) -> Peer:
    """Make the peer of an R package."""
    command = ("Rscript", str(HERE / f"{package}.R"))
    return Peer(package, command, lambda: r_has(package, "jsonlite"), **options)


def in_python(package: str, **options: Any) -> Peer:
    """Make the peer of a Python package, which runs in this Python."""
    command = (sys.executable, "-m", f"benchmarks.peers.{package}")
    return Peer(package, command, lambda: find_spec(package) is not None, **options)


def _one_factor(model: dict[str, Any]) -> str | None:
    if len(model["bars"]) > 1 or ":" in model["bars"][0]["group"]:
        return "several grouping factors only as one dense block"
    return _plain(model)


def _one_simple_factor(model: dict[str, Any]) -> str | None:
    if len(model["terms"]) > 1 or model["bars"][0]["independent"]:
        return "several terms only as dense variance components"
    return _one_factor(model)


def _intercepts(model: dict[str, Any]) -> str | None:
    if model["text"]:
        return "no formulas"
    if any(bar["left"] != "1" for bar in model["bars"]):
        return "no correlated random slopes"
    return _plain(model)


def _plain(model: dict[str, Any]) -> str | None:
    return "weights and offset mean something else there" if model["weights"] or model["offset"] else None


MME = in_python("mme")
PEERS = {
    peer.name: peer
    for peer in (
        in_r("lme4", referee=True),
        in_r("nlme", refuses=_one_factor),
        in_python("statsmodels", refuses=_one_simple_factor),
        in_python("mixedlm"),
        in_python("gpboost", refuses=_intercepts, methods=("ML",)),
    )
}
