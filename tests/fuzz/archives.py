"""Edits of saved fits and sums, each refused at load or loaded into what works: ``./run fuzz archives``.

An edit replaces, drops or copies one place of the JSON, or changes kind, shape or values of one array. What is loaded
is asked for all that users ask of a fit; what fails there, or is refused by anything but an MMEError, is a finding.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import random
import re
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import mme
from mme.numeric.limits import within
from tests.wide import SPARSE

# What a place of the JSON is replaced by.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 10**9, 2**70, 0.5, -1e300, "", "x", "REML", "nan", "(Intercept)"),
    *([], [0], ["x"], [[]], {}, {"float": "nan"}, {"float": "inf"}, {"tuple": []}, {"tuple": ["x"]}, {"map": []}),
    *({"array": 0}, {"array": 1}, {"array": 2}, {"objects": ["a"]}, {"objects": []}),
    *({"map": [["x", 1]]}, {"class": "Name", "fields": {"value": "x"}}, {"class": "Name", "fields": {}}),
)
KINDS = ("<f8", "<f4", "<i8", "<i1", "<u2", "?", "<U3", "<M8[D]", "<m8[s]", ">f8", "<f2")


class Finding(NamedTuple):
    """An edit that was neither refused nor harmless."""

    fit: str
    seed: int
    edit: str
    problem: str


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


class Archive:
    """A saved fit in its parts, which an edit changes."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        with zipfile.ZipFile(path) as file:
            self.head = json.loads(file.read("fit.json"))
            count = len(file.namelist()) - 1
            self.arrays = [np.load(io.BytesIO(file.read(f"arrays/{k}.npy"))) for k in range(count)]

    def edited(self, seed: int) -> tuple[Archive, str]:
        """A copy with one edit, and what it was."""
        rng, other = random.Random(seed), copy.copy(self)
        other.head, other.arrays = copy.deepcopy(self.head), list(self.arrays)
        if self.arrays and rng.random() < 0.35:
            k = rng.randrange(len(self.arrays))
            other.arrays[k], what = _changed(self.arrays[k], rng)
            return other, f"arrays/{k}.npy {self.arrays[k].dtype}{self.arrays[k].shape}: {what}"
        places = list(all_places(other.head["content"], ()))
        parent, key, path = rng.choice(places)
        return other, f"{path} {_edit(parent, key, rng, places)}"

    def write(self, path: Path) -> None:
        """The file."""
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("fit.json", json.dumps(self.head))
            for k, array in enumerate(self.arrays):
                stream = io.BytesIO()
                np.lib.format.write_array(stream, array, allow_pickle=False)
                file.writestr(f"arrays/{k}.npy", stream.getvalue())


def all_places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, Any, str]]:
    """Every place of a JSON structure: what holds it, its key there, and where that is."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield value, key, "/".join(map(str, (*path, key)))
        yield from all_places(item, (*path, item[0] if _is_pair(item) else key))


def _is_pair(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)


def _edit(parent: Any, key: Any, rng: random.Random, places: list[tuple[Any, Any, str]]) -> str:
    way = rng.random()
    old = json.dumps(parent[key])[:50]
    if way < 0.15:
        del parent[key]
        return f"= {old} dropped"
    if way < 0.25 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
        return f"= {old} twice"
    source, place, name = rng.choice(places)
    new = copy.deepcopy(source[place]) if way < 0.45 else rng.choice(VALUES)
    if way > 0.9 and isinstance(parent[key], int | float):
        new = rng.choice([-parent[key], parent[key] + 1, parent[key] * 1000, parent[key] / 3])
    parent[key] = new
    return f"= {old} -> {json.dumps(new)[:50]}" + (f" of {name}" if way < 0.45 else "")


def _changed(array: np.ndarray, rng: random.Random) -> tuple[np.ndarray, str]:
    """An array of another kind or shape, or with other values."""
    kind = rng.choice(KINDS)
    ways: dict[str, Callable[[], np.ndarray]] = {
        f"as {kind}": lambda: array.astype(kind),
        "one less": lambda: array[:-1],
        "one more": lambda: np.concatenate([array, array[:1]]),
        "transposed": lambda: np.array(array.T),
        "flat": lambda: array.ravel(),
        "a column": lambda: array.reshape(-1, 1),
        "deeper": lambda: array[None],
        "a number": lambda: array.ravel()[0],
        "empty": lambda: array[:0],
        "zeros": lambda: np.zeros_like(array),
        "reversed": lambda: array[::-1].copy(),
        "one of another sign": lambda: _with(array, rng, lambda x: -x),
        "one huge": lambda: _with(array, rng, lambda x: x * 0 + 10**9),
        "one NaN": lambda: _with(array, rng, lambda x: x * np.nan),
        "one infinite": lambda: _with(array, rng, lambda x: x * 0 + np.inf),
    }
    while True:
        what = rng.choice(list(ways))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return np.asarray(ways[what]()), what
        except (ValueError, TypeError, IndexError, OverflowError):
            continue


def _with(array: np.ndarray, rng: random.Random, change: Callable[[Any], Any]) -> np.ndarray:
    out = array.copy()
    place = rng.randrange(array.size)
    out.flat[place] = change(out.flat[place])
    return out


def outcome(archive: Archive, seed: int, path: Path) -> tuple[str, str]:
    """What became of an edit: ``refused``, ``works`` or ``finding``, and the edit or the problem."""
    edited, what = archive.edited(seed)
    edited.write(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found, asked = read(path, archive.name)
        except mme.MMEError:
            return "refused", what
        except Exception as error:
            return "finding", f"{what}: at load {type(error).__name__}: {error}"
        try:
            asked(found)
        except Exception as error:
            return "finding", f"{what}: then {type(error).__name__}: {str(error)[:100]}"
    return "works", what


def run(edits: int, first: int = 0, only: str = "", told: bool = False) -> tuple[Counter[str], list[Finding]]:
    """So many edits, of all kinds of fit in turn; findings are ``told`` as they come."""
    counts, found = Counter[str](), list[Finding]()
    with TemporaryDirectory() as folder:
        archives = {name: Archive(path) for name, path in saved(Path(folder)).items() if only in name}
        for seed in range(first, first + edits):
            name = list(archives)[seed % len(archives)]
            what, said = outcome(archives[name], seed, Path(folder) / "edited.mme")
            counts[what] += 1
            if what == "finding":
                found.append(Finding(name, seed, *said.split(": ", 1)))
                if told:
                    print(*found[-1], sep=" | ", flush=True)
    return counts, found


def main() -> int:
    """Print the findings; 1 where there are some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("edits", type=int, nargs="?", default=5000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--only", default="", help="kinds of file whose names contain this")
    arguments = parser.parse_args()
    counts, found = run(arguments.edits, arguments.first, arguments.only, told=True)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
