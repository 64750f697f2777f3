"""Whose likelihoods can be compared: fits of the same records, seen alike; of others it is said why not."""

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.comparison.comparable import check_comparable, check_same_records


def data() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    found = pd.DataFrame({"g": np.arange(60) % 6, "h": np.arange(60) // 6 % 5, "x": rng.normal(size=60)})
    return found.assign(y=rng.normal(size=60), f=np.array(list("pqr"))[rng.integers(0, 3, 60)])


class Waiting(mme.OwnFamily):
    """Exponential waiting times of mean exp(eta)."""

    def log_density(self, y, eta, tau):
        return -eta - y * np.exp(-eta)

    def mean(self, eta, tau):
        return np.exp(eta)

    def variance(self, eta, weights, tau):
        return np.exp(2.0 * eta) / weights


def waits() -> mme.GeneralisedFit:
    table = data().assign(wait=np.random.default_rng(3).exponential(size=60))
    return mme.glmer("wait ~ x + (1 | h)", table, Waiting())


WEIGHTS = np.linspace(0.5, 2.0, 60)


def linear(fixed: str = "x", table: pd.DataFrame | None = None, method: str = "REML", **options: object) -> mme.Fit:
    return mme.lmer(f"y ~ {fixed} + (1 | h)", data() if table is None else table, method=method, theta=[0.5], **options)


def counts(family: object = "poisson", response: str = "n", scale: int = 1, **options: object) -> mme.GeneralisedFit:
    table = data()
    table["n"] = (np.arange(60) * 7) % 5 * scale
    table["share"] = table["n"] / (4.0 * scale)
    return mme.glmer(f"{response} ~ x + (1 | h)", table, family, **options)


def summed(fixed: str = "x", table: pd.DataFrame | None = None, method: str = "REML", cut: int = 25) -> mme.Fit:
    one = data() if table is None else table
    chunks = [one.iloc[:cut], one.iloc[cut:]]
    return mme.lmer(f"y ~ {fixed} + (1 | h)", chunks, method=method, theta=[0.5])


def about_zero() -> pd.DataFrame:
    """A response whose mean is what rounding leaves."""
    return data().assign(y=1e6 * (data()["y"] - data()["y"].mean()))


COMPARABLE = {
    "one model": (linear, linear),
    "other columns by ML": (lambda: linear(method="ML"), lambda: linear("x + f", method="ML")),
    "one span": (linear, lambda: linear("I(3 - x)")),
    "sums": (summed, summed),
    "sums of other chunks": (lambda: summed(table=about_zero()), lambda: summed(table=about_zero(), cut=31)),
    "sums of a response about zero": (
        lambda: summed(table=about_zero(), cut=7),
        lambda: summed(table=about_zero(), cut=52),
    ),
    "sums by ML": (lambda: summed(method="ML"), lambda: summed("x + f", method="ML")),
    "one family": (counts, counts),
    "two families of a user's own class": (waits, waits),
    "two links of one approximation": (lambda: counts(n_agq=5), lambda: counts(n_agq=5)),
}
REFUSED = {
    "two or more fits, got 1": (linear,),
    "of linear and of generalised models": (lambda: linear(method="ML"), counts),
    "REML with ML": (linear, lambda: linear(method="ML")),
    "responses of 60, 50 records": (linear, lambda: linear(table=data().head(50))),
    "responses of 60, 60 records": (linear, lambda: linear(table=data().assign(y=data()["y"] + 1.0))),
    "responses of 60, 60, 60 records": (linear, linear, lambda: linear(table=data().assign(y=-data()["y"]))),
    "REML fits with different": (linear, lambda: linear("x + f")),
    "is the likelihood of what": (linear, linear, lambda: linear("x + f")),
    "REML fits with different fixed effects": (summed, lambda: summed("x + f")),
    "REML is the likelihood": (summed, lambda: summed("z", data().rename(columns={"x": "z"}))),
    "so each has different data": (summed, lambda: summed(table=data().assign(x=2.0 * data()["x"]))),
    "responses of 60, 60 rec": (summed, lambda: summed(table=data().assign(y=data()["y"] + 1.0))),
    "responses of 60, 60": (summed, lambda: summed(table=data().assign(y=2.0 * data()["y"]))),
    "60, 60 records": (
        lambda: summed(table=data().assign(y=1e-9 * data()["y"])),
        lambda: summed(table=data().assign(y=1e-9 * (data()["y"] + 1.0))),
    ),
    "the responses differ": (summed, lambda: summed(table=data().assign(y=(1.0 + 1e-6) * data()["y"]))),
    "dropped differently": (linear, summed),
    "different weights": (counts, lambda: counts(weights=WEIGHTS)),
    "different numbers of trials": (
        lambda: counts("binomial", "share", weights=np.full(60, 4.0)),
        lambda: counts("binomial", "share", weights=np.full(60, 8.0)),
    ),
    "neither model holds": (counts, lambda: counts("negative binomial")),
    "is no chi-square": (lambda: counts(mme.NegativeBinomial(kind=1)), lambda: counts(mme.NegativeBinomial(kind=2))),
    "are of different families": (counts, counts, lambda: counts("negative binomial")),
    "n_agq=1 and n_agq=5": (counts, lambda: counts(n_agq=5)),
    "laplace='expected' and laplace='observed'": (
        lambda: counts(mme.Binomial("probit"), "share", weights=np.full(60, 4.0), laplace="expected"),
        lambda: counts(mme.Binomial("probit"), "share", weights=np.full(60, 4.0), laplace="observed"),
    ),
}


@pytest.mark.parametrize("pair", COMPARABLE)
def test_fits_of_the_same_records_seen_alike_are_comparable(pair):
    check_comparable(tuple(make().internals for make in COMPARABLE[pair]))


@pytest.mark.parametrize("why", REFUSED)
def test_likelihoods_of_other_data_are_refused_with_the_reason(why):
    with pytest.raises(mme.MMEError, match=why):
        check_comparable(tuple(make().internals for make in REFUSED[why]))


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ({}, {}, ""),
        ({"weights": WEIGHTS}, {"weights": WEIGHTS.copy()}, ""),
        ({"residual": mme.AR1("k", "g")}, {"residual": mme.AR1("k", "g")}, ""),
        ({}, {"weights": WEIGHTS}, "different weights"),
        ({"weights": WEIGHTS}, {"weights": 2.0 * WEIGHTS}, "different weights"),
        ({}, {"offset": WEIGHTS}, "different offset"),
        ({"sigma": 1.0}, {"sigma": 2.0}, "different sigma"),
        ({"sigma": 1.0}, {}, "different sigma"),
        ({}, {"residual": mme.AR1("k", "g")}, "different residual"),
        ({"residual": mme.AR1("k", "g")}, {}, "different residual"),
        ({"residual": mme.AR1("k", "g")}, {"residual": mme.AR1("k", "other")}, "different residual"),
        ({"residual": mme.AR1("k", "g")}, {"residual": mme.CompoundSymmetry("g")}, "different residual"),
    ],
)
def test_records_that_are_seen_otherwise_are_refused(one, other, why):
    table = data().assign(k=np.arange(60) // 6, other=(np.arange(60) + np.arange(60) // 6) % 6)
    fits = [
        linear(table=table, phi={"rho": 0.3} if "residual" in more else None, **more).internals for more in (one, other)
    ]
    if not why:
        check_same_records(*fits)
        return
    with pytest.raises(mme.MMEError, match=why):
        check_same_records(*fits)
