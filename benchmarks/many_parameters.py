#!/usr/bin/env python3
"""Models of many variance parameters: ``many_parameters.py [MODEL ...] [--quick] [--nlme]``.

Each is fitted by average information and, with ``--quick``, where values alone take seconds and not minutes, by these
too: the criteria are compared before the seconds of the processor are told, and their ratio. With ``--nlme`` R's
``gls`` fits the visits as well (minutes).
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mme

# Criteria of two searches that differ by more than this are of two optima.
_SAME = 1e-6
# gls stops where its criterion changes by a millionth of itself.
_STOPPED = 1e-2
_GLS = """
library(nlme)
d <- read.csv(commandArgs(TRUE)[1]); d$t <- factor(d$t)
seconds <- system.time(fit <- gls(y ~ t * arm, d, correlation = corSymm(form = ~ as.integer(t) | g),
  weights = varIdent(form = ~ 1 | t), control = glsControl(opt = "nlminb", maxIter = 500, msMaxIter = 500)))
cat(sprintf("%.10f %.3f", -2 * as.numeric(logLik(fit)), sum(seconds[1:2])))
"""
Options = dict[str, Any]


def visits(T: int, J: int) -> Options:
    """An unstructured covariance of T visits, of which each of J subjects misses one in seven."""
    rng = np.random.default_rng(1)
    g, t = np.nonzero(rng.random((J, T)) > 1.0 / 7.0)
    place, sd = np.arange(T), np.linspace(1.0, 2.0, T)
    C = (0.5 ** np.abs(np.subtract.outer(place, place)) + 0.3) * np.outer(sd, sd)
    y = (rng.normal(size=(J, T)) @ np.linalg.cholesky(C).T)[g, t]
    data = {"y": y, "g": g, "t": t, "arm": rng.integers(0, 2, J)[g]}
    return {"formula": "y ~ factor(t) * arm", "data": data, "residual": mme.Unstructured("t", "g")}


def strata(K: int) -> Options:
    """A residual variance for each of K strata of twenty records beside forty random counties."""
    rng = np.random.default_rng(2)
    stratum, county = np.repeat(np.arange(K), 20), rng.integers(0, 40, 20 * K)
    y = rng.normal(size=40)[county] + rng.normal(size=20 * K) * np.exp(0.5 * rng.normal(size=K))[stratum]
    data = {"y": y, "stratum": stratum, "county": county}
    return {"formula": "y ~ 1 + (1 | county)", "data": data, "residual": mme.Heterogeneous("stratum")}


def slopes(q: int, J: int) -> Options:
    """Correlated coefficients of q columns in each of J groups of twenty records."""
    rng = np.random.default_rng(3)
    g, columns = np.repeat(np.arange(J), 20), [f"x{i}" for i in range(1, q)]
    Z = np.column_stack([np.ones(g.size), rng.normal(size=(g.size, q - 1))])
    b = rng.normal(size=(J, q)) @ (rng.normal(size=(q, q)) / np.sqrt(q) + 0.3 * np.eye(q)).T
    data = {"y": (Z * b[g]).sum(axis=1) + rng.normal(size=g.size), "g": g} | dict(zip(columns, Z.T[1:], strict=True))
    x = " + ".join(columns)
    return {"formula": f"y ~ {x} + ({x} | g)", "data": data}


# Model -> parameters, of full size and quick.
MODELS: dict[str, tuple[Callable[..., Options], tuple[int, ...], tuple[int, ...]]] = {
    "visits": (visits, (10, 1000), (4, 100)),
    "more-visits": (visits, (20, 3000), (5, 100)),
    "strata": (strata, (64,), (6,)),
    "slopes": (slopes, (8, 2000), (4, 100)),
    "more-slopes": (slopes, (12, 2000), (4, 200)),
}


def timed(options: Options, search: str) -> tuple[mme.Fit, float]:
    """The fit, and the seconds of the processor that it took."""
    began = process_time()
    fit = mme.lmer(**options, search=search)
    return fit, process_time() - began


def by_gls(options: Options) -> tuple[float, float]:
    """The criterion of R's ``gls`` for the visits, and the seconds of the processor."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(options["data"])
        rows.writerows(zip(*(np.asarray(column).tolist() for column in options["data"].values()), strict=True))
        file.flush()
        asked = ["Rscript", "-e", _GLS, file.name]
        criterion, seconds = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    return float(criterion), float(seconds)


def main(arguments: list[str] | None = None) -> int:
    """Fit, compare and print; 1 where two searches disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(MODELS))
    parser.add_argument("--quick", action="store_true", help="small models, by values alone too")
    parser.add_argument("--nlme", action="store_true", help="the visits by R's gls too")
    given = parser.parse_args(arguments)
    for name in given.models or MODELS:
        make, full, quick = MODELS[name]
        options = make(*(quick if given.quick else full))
        timed(options, "average-information")  # loads what is loaded once
        fit, seconds = timed(options, "average-information")
        k = len(fit.theta) + len(fit.residual)
        text = f"{name}: {fit.nobs:,} records, {k} parameters, {fit.optimum.evaluations} evaluations, {seconds:.2f} s"
        if given.quick:
            other, longer = timed(options, "derivative-free")
            if abs(other.criterion - fit.criterion) > _SAME:
                print(f"{name}: criterion {fit.criterion!r} is not that by values alone, {other.criterion!r}")
                return 1
            text += f"; by values alone {other.optimum.evaluations} evaluations, {longer / seconds:.1f} times as long"
        if given.nlme and make is visits:
            criterion, longer = by_gls(options)
            if abs(criterion - fit.criterion) > _STOPPED:
                print(f"{name}: criterion {fit.criterion!r} is not that of gls, {criterion!r}")
                return 1
            text += f"; gls {longer:.1f} s, {longer / seconds:.1f} times as long"
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
