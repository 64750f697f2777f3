"""Pedigrees for the tests, and the oracle: relationships by the recursion that defines them, label by label."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from cases import SHIPPED

BREEDING = SHIPPED / "breeding"

Parents = dict[Any, tuple[Any, Any]]


def relationship_matrix(parents: Parents) -> np.ndarray:
    """A among the keys, each with (sire, dam) or None, from
    a(i, i) = 1 + a(sire, dam) / 2 and a(i, j) = (a(sire_i, j) + a(dam_i, j)) / 2, i no ancestor of j.
    """

    @cache
    def generation(i: Any) -> int:
        return 0 if i is None else 1 + max(generation(p) for p in parents[i])

    @cache
    def a(i: Any, j: Any) -> float:
        if i is None or j is None:
            return 0.0
        if i == j:
            return 1.0 + 0.5 * a(*parents[i])
        if generation(i) < generation(j):
            i, j = j, i
        return 0.5 * sum(a(p, j) for p in parents[i])

    return np.array([[a(i, j) for j in parents] for i in parents])


def random_parents(n: int, seed: int, sexes: bool = True, unknown: float = 0.2, window: int = 8) -> Parents:
    """A pedigree of overlapping generations: parents among the last ``window`` animals, so that many are inbred."""
    rng = np.random.default_rng(seed)
    parents: Parents = {}
    for i in range(n):
        pair = []
        for sex in (0, 1):
            pool = [j for j in range(max(0, i - window), i) if not sexes or j % 2 == sex]
            known = pool and rng.random() > unknown
            pair.append(f"a{rng.choice(pool)}" if known else None)
        parents[f"a{i}"] = (pair[0], pair[1])
    return parents


def columns(parents: Parents, order: Any = None) -> tuple[list[Any], list[Any], list[Any]]:
    """Animal, sire and dam as columns; ``order`` permutes the rows."""
    animals = list(parents) if order is None else [list(parents)[i] for i in order]
    return animals, [parents[i][0] for i in animals], [parents[i][1] for i in animals]


def load_breeding(name: str) -> dict[str, Any]:
    """A reference case of ``reference/breeding``."""
    path = BREEDING / f"{name}.json"
    text = path.read_bytes() if path.exists() else gzip.decompress(path.with_suffix(".json.gz").read_bytes())
    fields: dict[str, Any] = json.loads(text)
    return fields


def load_table(name: str) -> pd.DataFrame:
    """A table of ``reference/breeding``, text as strings, missing as NaN."""
    return pd.read_csv(BREEDING / f"{name}.csv")


def selection(labels: Any, levels: Any) -> np.ndarray:
    """Z: row i has 1 at the level of record i."""
    position = {level: j for j, level in enumerate(levels)}
    Z = np.zeros((len(labels), len(levels)))
    Z[np.arange(len(labels)), [position[label] for label in labels]] = 1.0
    return Z


def dense_h(A: np.ndarray, at: np.ndarray, Gw: np.ndarray) -> np.ndarray:
    """H from its definition: the genotyped follow Gw, the others regress on them as in A."""
    others = np.setdiff1d(np.arange(len(A)), at)
    A22inv = np.linalg.inv(A[np.ix_(at, at)])
    B = A[np.ix_(others, at)] @ A22inv
    H = np.empty_like(A)
    H[np.ix_(at, at)] = Gw
    H[np.ix_(others, at)] = B @ Gw
    H[np.ix_(at, others)] = (B @ Gw).T
    H[np.ix_(others, others)] = A[np.ix_(others, others)] + B @ (Gw - A[np.ix_(at, at)]) @ B.T
    return H
