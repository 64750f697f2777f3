"""Peers' values: the stored reference cases (see ``reference/README.md``) and how to read them.

Cases whose data may not be redistributed are read from the directory named by the environment variable
``MME_REFERENCE`` (default: ``../shared/reference`` beside the repository); without it they are skipped by name.
"""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import mme

SHIPPED = Path(__file__).with_name("reference")
PRIVATE = Path(os.environ.get("MME_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))

# Data that may not be redistributed: name -> file below PRIVATE.
_PRIVATE_CASES = {
    "tlc_int_ml": "cases/tlc_int_ml.json",
    "tlc_int_reml": "cases/tlc_int_reml.json",
    "tlc_slope_reml": "cases/tlc_slope_reml.json",
    "milk_id_herd_ml": "breeding/milk_id_herd_ml.json",
    "milk_noped_reml": "breeding/milk_noped_reml.json",
}


@dataclass(frozen=True)
class Case:
    """One fitted model: what was fitted, and what the reference found."""

    name: str
    json: dict[str, Any]
    data: pd.DataFrame

    @property
    def method(self) -> str:
        """``"REML"`` or ``"ML"``."""
        return "REML" if self.json["REML"] else "ML"

    def fit(self, **options: Any) -> mme.Fit:
        """The model fitted anew, with the weights and the offset of the case."""
        given = {name: self.json[name] for name in ("weights", "offset") if self.json.get(name)}
        return mme.lmer(self.json["formula"], self.data, method=self.method, **given, **options)

    @property
    def complete(self) -> pd.DataFrame:
        """Rows without a missing value in any column: those that were fitted (every model with gaps uses them all)."""
        return self.data.dropna().reset_index(drop=True)


def load_case(name: str) -> Case:
    """Read a case by name, shipped or private."""
    private = PRIVATE / _PRIVATE_CASES.get(name, f"cases/{name}.json")
    shipped = _find(SHIPPED / "cases" / f"{name}.json")
    fields = _read_json(shipped if shipped is not None else private)
    return Case(name, fields, load_data(Path(fields["data"]).stem))


def load_data(name: str) -> pd.DataFrame:
    """Read the table of a case by name: text columns are strings, all others floats. Each call returns a copy."""
    return _table(name).copy()


def load_worked() -> dict[str, Any]:
    """Read the worked examples: ``worked0`` (fixed against random means), ``worked1`` (prior against posterior),
    ``worked3`` (TLC trial: estimates only).
    """
    return _read_json(SHIPPED / "worked.json")


def lme4_case_names() -> list[str]:
    """Name the shipped cases, in alphabetical order."""
    return sorted(path.name.split(".")[0] for path in (SHIPPED / "cases").iterdir())


def private_case_names(prefix: str = "") -> list[str]:
    """Name the cases whose data may not be redistributed, present or not.

    ``tlc*`` have the fields of an lme4 case, ``milk*`` those of a relationship case (no ranef, `sigma2_e` for sigma).
    """
    return [name for name in _PRIVATE_CASES if name.startswith(prefix)]


def private_cases(prefix: str = "") -> list[Any]:
    """Build pytest parameters: the private cases with this prefix, each skipped by name where its file is absent."""
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                not (PRIVATE / _PRIVATE_CASES[name]).exists(),
                reason=f"{name}: its data cannot be redistributed; set MME_REFERENCE",
            ),
        )
        for name in private_case_names(prefix)
    ]


@cache
def _table(name: str) -> pd.DataFrame:
    directory = SHIPPED if (SHIPPED / "data" / f"{name}.meta.json").exists() else PRIVATE
    meta = _read_json(directory / "data" / f"{name}.meta.json")
    path = _find(directory / "data" / f"{name}.csv")
    if path is None:
        raise FileNotFoundError(f"no table '{name}' below {directory / 'data'}")
    table = pd.read_csv(path, dtype="str", keep_default_na=False, na_values=["NA"])
    # from the text: the reader's own conversion may miss the nearest double by one unit in the last place
    return table.astype({column: kind for column, kind in meta["dtype"].items() if kind != "str"})


def _find(path: Path) -> Path | None:
    """Return the file, plain or gzipped, or None."""
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.exists()), None)


def _read_json(path: Path) -> dict[str, Any]:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    fields: dict[str, Any] = json.loads(text)
    return fields
