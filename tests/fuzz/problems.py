"""Random small designs, each made by its number: the hardest that people fit, few records and many variances."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

FIXED = ("1", "0", "x", "f", "0 + f", "x + z", "x + f", "x * f")
SCALAR = ("(1 | g)", "(1 | h)", "(1 | g:f)", "(0 + x | g)", "(0 + u | h)")
SLOPES = ("(x | g)", "(x || g)", "(z | h)", "(u | h)", "(x | h)", "(0 + x + z | g)")
WIDE = ("(f | g)", "(0 + f | h)", "(x + z | g)", "(1 | g / f)", "diag(0 + f | g)")


@dataclass(frozen=True, eq=False)
class Problem:
    """A formula, its table, and the further options of :func:`mme.lmer`."""

    number: int
    formula: str
    table: pd.DataFrame
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.number}: {self.formula} ({options}; {len(self.table)} records)"


def problem(number: int) -> Problem:
    """The problem of this number: one to four terms, of one to three coefficients, crossed or nested."""
    rng = np.random.default_rng([20261128, number])
    n = int(rng.integers(14, 61))
    table = _table(rng, n)
    terms = [str(rng.choice(kind)) for kind in _kinds(rng)]
    formula = f"y ~ {rng.choice(FIXED)} + {' + '.join(dict.fromkeys(terms))}"
    options: dict[str, Any] = {"method": str(rng.choice(["REML", "ML"]))}
    if rng.random() < 0.3:
        table["w"] = 10.0 ** (float(rng.choice([0.3, 2.0])) * rng.normal(size=n))
        options["weights"] = "w"
    if rng.random() < 0.2:
        table["o"] = rng.normal(size=n)
        options["offset"] = "o"
    table["y"] = _response(rng, table)
    return Problem(number, formula, table, options)


def _kinds(rng: np.random.Generator) -> list[tuple[str, ...]]:
    count = int(rng.choice([1, 2, 3, 4], p=[0.3, 0.35, 0.25, 0.1]))
    return [(SCALAR, SLOPES, WIDE)[int(rng.choice(3, p=[0.45, 0.35, 0.2]))] for _ in range(count)]


def _table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    levels = {"g": int(rng.integers(3, 11)), "h": int(rng.integers(2, 7)), "f": int(rng.integers(2, 5))}
    columns = {name: [f"{name}{level}" for level in _labels(rng, n, count)] for name, count in levels.items()}
    x = rng.normal(size=n)
    if rng.random() < 0.3:  # an origin away from the data
        x = x + float(rng.choice([3.0, 100.0, 2000.0]))
    if rng.random() < 0.2:  # constant within groups
        x = rng.normal(size=levels["g"])[[int(label[1:]) for label in columns["g"]]]
    return pd.DataFrame(columns | {"x": x, "z": rng.normal(size=n), "u": rng.integers(0, 2, n).astype(float)})


def _labels(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    """Every level once, the others as they fall: at random, in turn, or most at few levels."""
    left = n - count
    rest = (
        rng.integers(0, count, left),
        np.arange(left) % count,
        np.minimum(rng.geometric(0.4, left) - 1, count - 1),
    )[int(rng.integers(0, 3))]
    return np.concatenate([np.arange(count), rest])[rng.permutation(n)]


def _response(rng: np.random.Generator, table: pd.DataFrame) -> np.ndarray:
    """Effects of g, h and f, slopes of x and z by g, each absent in a third, and residuals by the weights."""
    n = len(table)
    y = rng.normal(size=n) / (np.sqrt(table["w"].to_numpy()) if "w" in table else 1.0)
    x = table["x"].to_numpy() - table["x"].mean()
    for name, slope in (("g", 1.0), ("h", 1.0), ("f", 1.0), ("g", x), ("g", table["z"].to_numpy())):
        codes, levels = pd.factorize(table[name])
        size = 0.0 if rng.random() < 1 / 3 else 10.0 ** rng.uniform(-1.0, 1.0)
        y = y + size * rng.normal(size=len(levels))[codes] * slope
    return np.asarray(y * 10.0 ** rng.choice([0.0, 0.0, -3.0, 6.0]) + table.get("o", 0.0))
