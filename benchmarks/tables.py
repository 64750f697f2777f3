"""Tables of the benchmarks, and the files through which every process gets the same numbers.

A model's directory holds ``model.json``, each column as raw doubles (``NAME.bin``) or as int32 codes from one with a
line a level (``NAME.levels``), and what the formula makes of them as arrays (``y.npy``, ``X.npy``, ``codes0.npy``).
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.bars import split_bars

REFERENCE = Path(__file__).parents[1] / "tests" / "reference"


# -- stored tables ----------------------------------------------------------------------------------------------------


def stored_case(name: str) -> dict[str, Any]:
    """Read a reference case: ``formula``, ``data``, ``REML``, ``objective``, ``weights``, ``offset``."""
    path = _plain_or_zipped(REFERENCE / "cases" / f"{name}.json")
    content = path.read_bytes()
    fields: dict[str, Any] = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    return fields


def stored_case_names() -> list[str]:
    """Names of the reference cases that have a criterion to compare with."""
    names = sorted(path.name.split(".")[0] for path in (REFERENCE / "cases").iterdir())
    return [name for name in names if "objective" in stored_case(name)]


def stored_table(name: str) -> pd.DataFrame:
    """Read the table of a reference case; text columns are factors with sorted levels."""
    kinds = json.loads((REFERENCE / "data" / f"{name}.meta.json").read_text())["dtype"]
    path = _plain_or_zipped(REFERENCE / "data" / f"{name}.csv")
    text = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=["NA"])
    columns = {c: pd.Categorical(text[c]) if kind == "str" else text[c].astype(float) for c, kind in kinds.items()}
    return pd.DataFrame(columns)


def _plain_or_zipped(path: Path) -> Path:
    return path if path.exists() else path.with_name(f"{path.name}.gz")


# -- simulated tables -------------------------------------------------------------------------------------------------


def grouped(n: int, J: int, q: int = 2) -> pd.DataFrame:
    """``y, x1 .. x(q-1), g``: n rows at random over J groups, q correlated coefficients a group."""
    rng = np.random.default_rng(20_240)
    g = rng.integers(J, size=n)
    Z = np.column_stack([np.ones(n), rng.standard_normal((n, q - 1))])
    # sd 0.8, 0.6, 0.48, ..., correlations 0.3
    sd = 0.8 * 0.75 ** np.arange(q)
    T = np.linalg.cholesky(np.outer(sd, sd) * (0.7 * np.eye(q) + 0.3))
    b = rng.standard_normal((J, q)) @ T.T
    y = Z @ np.linspace(1.0, 0.5, q) + (Z * b[g]).sum(axis=1) + rng.standard_normal(n)
    return pd.DataFrame({"y": y, **{f"x{j}": Z[:, j] for j in range(1, q)}, "g": factor(g, "g")})


def crossed(n: int, J_a: int, J_b: int) -> pd.DataFrame:
    """``y, x, a, b``: n rows in random cells of J_a x J_b levels."""
    rng = np.random.default_rng(20_241)
    a, b, x = rng.integers(J_a, size=n), rng.integers(J_b, size=n), rng.standard_normal(n)
    effects = 0.7 * rng.standard_normal(J_a)[a] + 0.5 * rng.standard_normal(J_b)[b]
    y = 1.0 + 0.5 * x + effects + rng.standard_normal(n)
    return pd.DataFrame({"y": y, "x": x, "a": factor(a, "a"), "b": factor(b, "b")})


def ratings(n: int, users: int, items: int) -> pd.DataFrame:
    """``y, x, user, item``: n ratings, users and items by power laws, as those of films."""
    rng = np.random.default_rng(20_243)

    def draw(J: int, power: float) -> np.ndarray:
        share = np.cumsum((np.arange(J) + 10.0) ** -power)
        return rng.permutation(J)[np.searchsorted(share / share[-1], rng.random(n))]

    user, item, x = draw(users, 0.8), draw(items, 1.0), rng.standard_normal(n)
    effects = 0.45 * rng.standard_normal(users)[user] + 0.6 * rng.standard_normal(items)[item]
    y = 3.5 + 0.1 * x + effects + 0.9 * rng.standard_normal(n)
    return pd.DataFrame({"y": y, "x": x, "user": factor(user, "u"), "item": factor(item, "i")})


def pupils(n: int, schools: int, classes: int) -> pd.DataFrame:
    """``y, x, school, klass``: n pupils at random over classes, classes in turn over schools; labels are unique."""
    rng = np.random.default_rng(20_242)
    klass, x = rng.integers(classes, size=n), rng.standard_normal(n)
    school = klass % schools
    effects = 0.5 * rng.standard_normal(schools)[school] + 0.4 * rng.standard_normal(classes)[klass]
    y = 1.0 + 0.5 * x + effects + rng.standard_normal(n)
    return pd.DataFrame({"y": y, "x": x, "school": factor(school, "s"), "klass": factor(klass, "c")})


def factor(codes: np.ndarray, prefix: str) -> pd.Categorical:
    """Make a factor of codes; its labels sort as the codes do."""
    present, codes = np.unique(codes, return_inverse=True)
    return pd.Categorical.from_codes(codes, [f"{prefix}{code:07d}" for code in present.tolist()])


# -- files ------------------------------------------------------------------------------------------------------------


def write_model(folder: Path, table: pd.DataFrame, formula: str, **fields: Any) -> dict[str, Any]:
    """Write the table, the arrays that the formula makes of it, and ``model.json``, which is returned."""
    from mme.formula.design import design

    parts = design(formula, table, weights=fields.get("weights"), offset=fields.get("offset"))
    arrays = {"y": parts.y, "X": parts.X, "weights": parts.weights, "offset": parts.offset}
    for t, term in enumerate(parts.terms):
        arrays |= {f"codes{t}": term.codes, f"covariates{t}": term.covariates}
    for name, values in arrays.items():
        if values is not None:
            np.save(folder / f"{name}.npy", values)
    fixed, bars = split_bars(formula)
    model = {
        "formula": formula,
        "fixed": fixed,
        "bars": [bar.__dict__ for bar in bars],
        "columns": [write_column(folder, str(name), table[name]) for name in table.columns],
        "arrays": [name for name, values in arrays.items() if values is not None],
        "terms": [{"name": term.name, "covariance": term.covariance} for term in parts.terms],
        "rows": len(table),
        "n": parts.y.size,
        "levels": {term.name: term.n_levels for term in parts.terms},
        **fields,
    }
    (folder / "model.json").write_text(json.dumps(model))
    return model


def write_column(folder: Path, name: str, column: pd.Series) -> dict[str, Any]:
    """Write a column, and say what it is."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        (folder / f"{name}.levels").write_text("\n".join(map(str, column.cat.categories)) + "\n")
        (column.cat.codes.to_numpy().astype("<i4") + 1).tofile(folder / f"{name}.bin")
        return {"name": name, "factor": True}
    column.to_numpy(dtype="<f8").tofile(folder / f"{name}.bin")
    return {"name": name, "factor": False}


def read_table(folder: Path, model: dict[str, Any]) -> pd.DataFrame:
    """Read the table back; factors as strings where the model is about text."""
    return pd.DataFrame(
        {c["name"]: _read_column(folder, c["name"], c["factor"], model["text"]) for c in model["columns"]}
    )


def _read_column(folder: Path, name: str, is_factor: bool, text: bool) -> Any:
    if not is_factor:
        return np.fromfile(folder / f"{name}.bin", dtype="<f8")
    codes = np.fromfile(folder / f"{name}.bin", dtype="<i4") - 1  # a missing label has code 0, so -1
    levels = (folder / f"{name}.levels").read_text().splitlines()
    column = pd.Categorical.from_codes(codes, levels)
    return pd.Series(column).astype(str).where(codes >= 0) if text else column
