"""A file of each kind, and what users ask of what is read from it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mme
from mme.numeric.limits import within
from tests.wide import SPARSE


def fits() -> dict[str, mme.Fit | mme.GeneralisedFit]:
    """One of each kind of file."""
    sleep, oats, herds = mme.load("sleepstudy"), mme.load("Oats"), mme.load("cbpp")
    animals = [str(i) for i in range(1, 19)]
    pedigree = mme.Pedigree(animals, [0] * 9 + animals[:9], [0] * 18)
    related = sleep.assign(Subject=sleep["Subject"].map(dict(zip(sleep["Subject"].unique(), animals, strict=True))))
    few = sleep[sleep["Days"] < 5].assign(late=lambda d: d["Days"] > 2)
    answers = pd.Categorical(["lo", "mid", "hi", "mid"] * 12, ["lo", "mid", "hi"], ordered=True)
    cumulative = {"y": answers, "x": np.arange(48.0) % 7, "g": np.repeat(np.arange(8), 6)}
    return {
        "slopes": mme.lmer("Reaction ~ Days + (Days | Subject)", sleep),
        "streamed": mme.lmer("Reaction ~ scale(Days) + (1 | Subject)", iter([sleep[:70], sleep[70:]])),
        "wide": _wide(),
        "smooth": mme.lmer("Reaction ~ ps(Days, nseg=4) + (1 | Subject)", sleep.assign(Days=sleep["Days"] * 1.0)),
        "subset": mme.lmer(
            "Reaction ~ cut(Days, 3) + (1 | Subject)",
            sleep.assign(w=1.0 + sleep["Days"] % 2, o=sleep["Days"] / 3.0).mask(sleep["Days"] == 4),
            weights="w",
            offset="o",
            na_action="drop",
        ),
        "held": mme.lmer("Reaction ~ Days + (Days || Subject)", sleep, hold={"Subject.Days": 5.0}),
        "splines": mme.lmer("log(Reaction) ~ bs(Days, df=4) * late + (1 | Subject)", few, method="ML"),
        "nested": mme.lmer("yield ~ scale(nitro) * Variety + (1 | Block/Variety)", oats),
        "ar1": mme.lmer("Reaction ~ poly(Days, 2) + (1 | Subject)", few, residual=mme.AR1("Days", "Subject")),
        "product": mme.lmer(
            "Reaction ~ Days + (1 | Subject)",
            few,
            residual=[mme.Exponential("Days", "Subject", nugget=True), mme.Heterogeneous("late")],
        ),
        "unstructured": mme.lmer("Reaction ~ Days", few, residual=mme.Unstructured("Days", "Subject")),
        "process": mme.lmer("Reaction ~ Days + ou(Days | Subject)", sleep),
        "compound": mme.lmer(
            "yield ~ nitro + cs(Variety | Block)", oats, residual=mme.CompoundSymmetry("Block/Variety")
        ),
        "pedigree": mme.lmer("Reaction ~ Days + (1 | Subject)", related, relationship={"Subject": pedigree}),
        "binomial": mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", herds, "binomial"),
        "counts": mme.glmer("incidence ~ period + (1 | herd)", herds, "nbinom2", exposure="size"),
        "ordinal": mme.glmer("y ~ x + (1 | g)", cumulative, mme.Ordinal()),
    }


def sums() -> dict[str, mme.CrossProducts]:
    """Files of cross-products."""
    sleep, oats = mme.load("sleepstudy"), mme.load("Oats")
    return {
        "sums": mme.CrossProducts.from_chunks("Reaction ~ Days + (Days | Subject)", [sleep[:70], sleep[70:]]),
        "nested sums": mme.CrossProducts.from_chunks(
            "yield ~ scale(nitro) * Variety + offset(o) + (nitro | Block) + (1 | Block:Variety)",
            [oats.assign(w=1.0 + oats["nitro"], o=oats["nitro"] / 3.0)],
            weights="w",
        ),
    }


def saved(folder: Path) -> dict[str, Path]:
    """All of these, saved."""
    for name, one in (fits() | sums()).items():
        one.save(folder / f"{name}.mme")
    return {path.stem: path for path in sorted(folder.iterdir())}


def _wide() -> mme.Fit:
    """A fit with a sparse X."""
    rng = np.random.default_rng(3)
    school, pupil = np.arange(240) % 20, np.arange(240) // 4
    data = {"school": school, "pupil": pupil, "x": rng.normal(size=240)}
    data["y"] = rng.normal(size=240) + rng.normal(size=60)[pupil] + school
    with within(SPARSE):
        return mme.lmer("y ~ x + factor(school) + (1 | pupil)", data)


# Rows with every column of the fits.
DATA = {
    "Days": [1.0, 2.0],
    "late": [True, False],
    "Subject": ["308", "3"],
    "nitro": [0.2, 0.4],
    "Variety": ["Victory", "Marvellous"],
    "Block": ["I", "II"],
    "period": ["1", "2"],
    "herd": ["1", "2"],
    "size": [10.0, 20.0],
    "x": [1.0, 2.0],
    "g": [1, 2],
    "school": [3, 4],
    "pupil": [5, 1],
    "w": [1.0, 2.0],
    "o": [0.0, 0.5],
}
# Factors whose means are asked for.
FACTORS = ("late", "Variety", "period", "school")


def ask(fit: mme.Fit | mme.GeneralisedFit) -> None:
    """What users ask of a fit."""
    for name in ("beta", "se", "theta", "criterion", "aic", "bic", "dof", "varcorr", "engine", "optimum"):
        str(getattr(fit, name))
    fit.summary(), fit.ranef(), fit.condvar(), fit.coefficients(), fit.tidy(), fit.anova()
    fit.confint(), fit.table().to_markdown(), fit.methods_text()
    if fit.internals.model.compressed is None:
        fit.fitted, fit.residuals, fit.predict(), fit.diagnose(), fit.simulate(1, seed=1)
    with contextlib.suppress(mme.MMEError):  # where the file knows other levels, or columns, than these
        fit.predict(DATA, new_levels="population")
    with contextlib.suppress(mme.MMEError):
        fit.simulate(1, seed=1, newdata=DATA)
    for factor in _factors(fit):
        fit.means(factor)
    if isinstance(fit, mme.Fit) and fit.internals.model.compressed is None:
        fit.predict(interval="prediction"), fit.contrast(np.eye(fit.beta.size)), fit.scaled_residuals()


def ask_sums(found: mme.CrossProducts) -> None:
    """What users ask of cross-products."""
    repr(found), (found + found).fit(), found.fit(method="ML")
    ask(found.fit())
    with contextlib.suppress(mme.MMEError):  # where the file knows other levels, or columns, than these
        mme.CrossProducts.from_chunks(found.design, [pd.DataFrame(DATA | {"Reaction": 1.0, "yield": 2.0})])


def read(path: Path, name: str) -> tuple[Any, Callable[[Any], None]]:
    """What a file of this name holds, and who asks for all of it."""
    return (mme.CrossProducts.load(path), ask_sums) if name.endswith("sums") else (mme.load_fit(path), ask)


def _factors(fit: mme.Fit | mme.GeneralisedFit) -> list[str]:
    """Factors of the fixed part, where it is dense."""
    fixed = "" if fit.formula is None or fit.internals.model.is_wide else re.split(r"\w*\([^()]*\|", fit.formula)[0]
    return [factor for factor in FACTORS if factor in fixed]
