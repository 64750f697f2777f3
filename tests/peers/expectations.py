"""Read the stored expectations and hold a fit against them (``tests/reference/peers/README.md`` has the fields)."""

from __future__ import annotations

import gzip
import itertools
import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from cases import SHIPPED, load_data

import mme

HERE = SHIPPED / "peers"
SUITES = ("lme4", "MixedModels.jl", "statsmodels", "lmerTest", "pbkrtest", "emmeans", "nlme", "glmmTMB")
# Values of peers are stored with the digits of two searches: theirs and the one that confirmed it.
_PEER_DIGITS = 1e-4
# Below this a difference is rounding, whatever the size of the value.
_ROUNDING = 1e-11


@dataclass(frozen=True)
class Expectation:
    """One line of a peer's suite in our terms: ``check`` of the fit of ``formula`` to ``data`` is ``expected``."""

    id: str
    suite: str
    formula: str
    check: str
    kind: str
    file: str
    data: str | None = None
    prep: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    expected: Any = None
    tol: float = 0.0
    differs: str = ""

    @property
    def model(self) -> str:
        """What expectations of one fit share."""
        return json.dumps([self.suite, self.data, self.prep, self.formula, self.options])


class Finding(NamedTuple):
    """Whether an expectation holds, and what was found."""

    holds: bool
    said: str


def expectations(suite: str) -> list[Expectation]:
    """Read the expectations of one suite."""
    stored = json.loads((HERE / f"{suite}.json").read_text())
    return [Expectation(suite=suite, **case) for case in stored["cases"]]


def by_model(cases: Iterable[Expectation]) -> dict[str, list[Expectation]]:
    """Group expectations that share a fit."""
    models: dict[str, list[Expectation]] = {}
    for case in cases:
        models.setdefault(case.model, []).append(case)
    return models


def find(cases: list[Expectation]) -> dict[str, Finding]:
    """Fit the model that these expectations share, once, and look at each."""
    first, found = cases[0], {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scope: dict[str, Any] = dict(_SCOPE)
        try:
            scope |= _fit(first)
        except mme.MMEError as refusal:
            return {case.id: Finding(case.kind == "error", f"refused: {refusal}") for case in cases}
        for case in cases:
            found[case.id] = _holds(case, scope)
    return found


def table(name: str) -> pd.DataFrame:
    """Read a table by name, its factors with the levels and the order that R gave them. Each call returns a copy."""
    return _table(name).copy()


def grid(**values: Iterable[Any]) -> pd.DataFrame:
    """List every combination of values, the last varying fastest."""
    return pd.DataFrame(list(itertools.product(*map(list, values.values()))), columns=list(values))


@cache
def _table(name: str) -> pd.DataFrame:
    path = next((p for p in (HERE / "data" / f"{name}.csv", HERE / "data" / f"{name}.csv.gz") if p.exists()), None)
    if name == "InstEval":
        return load_data(name)
    factors = _factors().get(name) or {}
    path = path or SHIPPED / "data" / f"{name}.csv"
    data = pd.read_csv(path, dtype=dict.fromkeys(factors, "str"), keep_default_na=False, na_values=[""])
    for column, factor in factors.items():
        levels = [factor["levels"]] if isinstance(factor["levels"], str) else factor["levels"]
        data[column] = pd.Categorical(data[column], categories=levels, ordered=bool(factor["ordered"]))
    return data


@cache
def _factors() -> dict[str, Any]:
    return dict(json.loads((HERE / "data" / "meta.json").read_text()))


# What an expression may name; P holds long expected values by name.
_SCOPE: dict[str, Any] = {
    "mme": mme,
    "np": np,
    "pd": pd,
    "load": table,
    "G": grid,
    "lmer": mme.lmer,
    "P": json.loads(gzip.decompress((HERE / "values.json.gz").read_bytes())),
}


def _fit(case: Expectation) -> dict[str, Any]:
    data = table(case.data) if case.data else None
    if case.prep:
        data = eval(case.prep, _SCOPE | {"data": data})
    options = {name: _value(given, {"data": data}) for name, given in case.options.items()}
    return {"data": data, "fit": mme.lmer(case.formula, data, **options)}


def _value(given: Any, names: dict[str, Any]) -> Any:
    """A value as it stands, or what an expression that begins with "=" gives."""
    return eval(given[1:], _SCOPE | names) if isinstance(given, str) and given.startswith("=") else given


def _holds(case: Expectation, scope: dict[str, Any]) -> Finding:
    try:
        got, want = eval(case.check, scope), _value(case.expected, scope)
    except mme.MMEError as refusal:
        return Finding(case.kind == "error", f"refused: {refusal}")
    except Exception as error:  # an expression that finds another kind of answer than it expects
        return Finding(False, f"{type(error).__name__}: {error}")
    if case.kind == "error":
        return Finding(False, "no error")
    if case.kind == "smoke":
        return Finding(True, "runs")
    if want is True:
        return Finding(bool(got) is True, repr(got))
    return _near(case, np.asarray(got, float).ravel(), np.asarray(0.0 if want is None else want, float).ravel())


def _near(case: Expectation, got: np.ndarray, want: np.ndarray) -> Finding:
    """Mean difference within the tolerance, relative to the mean size of what is expected."""
    if case.kind == "property0":
        largest = float(np.abs(got).max())
        return Finding(largest <= case.tol, f"{largest:.2e}, tolerance {case.tol}")
    if got.shape != want.shape:
        return Finding(False, f"{got.size} values, {want.size} expected")
    known = np.isfinite(want)
    if not known.any():
        return Finding(not np.nan_to_num(got).any(), str(got[:6]))
    difference, size = np.abs(want[known] - got[known]), np.abs(want[known]).mean()
    off = float(difference.mean() / (size or 1.0))
    tolerance = max(case.tol, _PEER_DIGITS if case.kind.startswith("peer") else 0.0)
    holds = off <= tolerance or bool(difference.max() < _ROUNDING)
    return Finding(holds, f"{got[:6]}, expected {want[:6]}: {off:.1e} off, tolerance {tolerance}")
