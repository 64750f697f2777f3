"""Every argument of every public door, given what it cannot be: a result, or a sentence that says what is needed."""

import inspect
from collections.abc import Callable
from functools import cached_property
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

import mme
from fuzz.test_front_door import NOTHING, require_words
from mme.relationship.genomic import vanraden

pytestmark = pytest.mark.filterwarnings("ignore")

ODD = (
    *NOTHING,
    True,
    0,
    1.5,
    np.inf,
    "x",
    "",
    "a\0b",
    [None],
    ["a", "b"],
    (),
    set(),
    np.zeros(3),
    np.array(["a", "b"]),
    pd.NaT,
    pd.DataFrame(),
    pl.DataFrame({"x": [1]}),
    pl.Series([1, 2]),
    pa.array([1, 2]),
    pa.table({"x": [1]}),
    sp.eye_array(3),
    range(3),
    np.ma.masked,
    int,
)
# Called by the library, not read by it: what is raised there is the caller's.
CALLED = {"progress"}
RNG = np.random.default_rng(4)
TABLE = pd.DataFrame({"x": np.tile([1.0, 2.0, 4.0], 8), "f": list("ab") * 12, "g": np.repeat(list("uvwz"), 6)}).assign(
    t=np.tile(np.arange(6.0), 4), y=RNG.normal(size=24) + np.repeat(2.0 * RNG.normal(size=4), 6)
)
X = np.column_stack([np.ones(24), TABLE["x"]])
TERM = mme.Term(TABLE["g"], name="g")
ANIMALS = list("abcde")
MARKERS = RNG.integers(0, 3, (5, 9))
UNRELATED = mme.Pedigree(ANIMALS, [None] * 5, [None] * 5)


def pedigree(**given: Any) -> tuple[Any, ...]:
    """Make a pedigree and ask all of it: it answers late."""
    made = mme.Pedigree(**given)
    return made.inbreeding, made.Ainv, made.logdet, made.diagonal


# what is called, and arguments that are right
DOORS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "fit": (mme.fit, {"y": TABLE["y"], "X": X, "terms": [TERM]}),
    "lmer": (mme.lmer, {"formula": "y ~ x + f + (1 | g)", "data": TABLE}),
    "objective": (mme.objective, {"y": TABLE["y"], "X": X, "terms": [TERM]}),
    "theta": (mme.objective(TABLE["y"], X, [TERM]), {"theta": [1.0]}),
    "Term": (mme.Term, {"groups": TABLE["g"]}),
    "Term.ou": (mme.Term.ou, {"times": TABLE["t"], "series": TABLE["g"]}),
    "solve": (mme.solve, {"y": TABLE["y"], "X": X, "Z": TERM.Z, "Ginv": 1.0}),
    "equations": (mme.MixedModelEquations(TABLE["y"], X, TERM.Z, Ginv=1.0).solve, {}),
    "Pedigree": (pedigree, {"animal": [1, 2, 3], "sire": [None, None, 1], "dam": [None, None, 2]}),
    "Pedigree.A": (UNRELATED.A, {}),
    "Pedigree.positions": (UNRELATED.positions, {"labels": ["a"]}),
    "Relationship": (mme.Relationship, {"covariance": np.eye(3), "levels": [1, 2, 3]}),
    "a precision": (mme.Relationship, {"precision": np.eye(3), "levels": [1, 2, 3]}),
    "without levels": (mme.Relationship, {"covariance": np.eye(3), "levels": None}),
    "car": (mme.Relationship.car, {"adjacency": [[0, 1], [1, 0]], "levels": [1, 2]}),
    "genomic": (mme.genomic_relationship, {"markers": MARKERS, "levels": ANIMALS}),
    "vanraden": (vanraden, {"markers": MARKERS}),
    "single_step": (mme.single_step, {"pedigree": UNRELATED, "G": np.eye(5), "genotyped": ANIMALS}),
    "load": (mme.load, {"name": "sleepstudy"}),
    "load_fit": (mme.load_fit, {"path": "absent"}),
}


def fitted() -> mme.Fit:
    """A small fit."""
    return mme.lmer("y ~ x + f + (1 | g)", TABLE)


FIT = fitted()
_RIGHT: dict[str, Any] = {"factors": "f", "y": TABLE["y"], "L": {"x": 1}, "hypothesis": "x = 0", "name": "g"}
_RIGHT["x"] = "x"
_RIGHT["function"] = "V_g / (V_g + V_res)"
_FEW: dict[str, dict[str, Any]] = {"bootstrap": {"n": 1, "workers": 1}, "draws": {"n": 2}}
_FEW |= {key: {"at": {"x": [0.0, 1.0]}} for key in ("curves", "variance_curve", "correlation_curve")}
_DRAWN = ("caterpillar", "shrinkage", "groups", "residuals", "qq", "variance", "zeta")
_WRITTEN = ("save", "report")  # they would write files of odd names


def _method(owner: Any, name: str) -> bool:
    seen = inspect.getattr_static(type(owner), name)
    return not name.startswith("_") and not isinstance(seen, property | cached_property) and name not in _WRITTEN


for each in filter(lambda name: _method(FIT, name) and callable(getattr(FIT, name)), dir(mme.Fit)):
    asked = inspect.signature(getattr(FIT, each)).parameters.values()
    right = {one.name: _RIGHT[one.name] for one in asked if one.default is one.empty and one.name in _RIGHT}
    DOORS[f"Fit.{each}"] = (getattr(FIT, each), right | _FEW.get(each, {}))
for each in _DRAWN:
    DOORS[f"plot.{each}"] = (getattr(FIT.plot, each), {})
for kind, columns in (
    (mme.AR1, {"time": "t", "group": "g"}),
    (mme.Exponential, {"time": "t", "group": "g"}),
    (mme.CompoundSymmetry, {"group": "g"}),
    (mme.Unstructured, {"occasion": "t", "group": "g"}),
    (mme.Toeplitz, {"occasion": "t", "group": "g"}),
    (mme.Heterogeneous, {"stratum": "f"}),
    (mme.PowerOfCovariate, {"covariate": "x"}),
):
    DOORS[kind.__name__] = (
        lambda of=kind, **given: mme.lmer("y ~ x", TABLE, residual=of(**given), phi=None, theta=None),
        dict(columns),
    )


@pytest.fixture(autouse=True)
def _no_pictures_left():
    yield
    plt.close("all")


@pytest.mark.parametrize("door", DOORS)
def test_every_argument_of_a_door_is_taken_or_refused_in_words(door):
    call, right = DOORS[door]
    known = inspect.signature(call).parameters.values()
    plain = [one.name for one in known if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    for name in dict.fromkeys([*right, *plain]):
        if name in CALLED or (name == "of"):
            continue
        for odd in ODD:
            require_words(lambda name=name, odd=odd: call(**(right | {name: odd})))
            plt.close("all")


@pytest.mark.parametrize("write", _WRITTEN)
@pytest.mark.parametrize("path", [1, None, [], b"x", "", "a\0b", "/nowhere/at/all", "/"])
def test_a_path_that_cannot_be_written_is_refused_in_words(write, path):
    require_words(lambda: getattr(FIT, write)(path))


def test_anova_of_what_is_no_fit_and_slopes_that_are_no_columns_are_refused_in_words():
    for odd in ODD:
        with pytest.raises(mme.MMEError, match="anova compares fits"):
            mme.anova(FIT, odd)
    for slopes in ("x", 1.5, [None], [1.5]):
        with pytest.raises(mme.MMEError, match=r"random_slopes must be|columns of X are called|there is no column"):
            mme.MixedLMRegressor(random_slopes=slopes).fit(X[:, 1:], TABLE["y"], groups=TABLE["g"])
    plain = mme.MixedLMRegressor(random_slopes=None).fit(X[:, 1:], TABLE["y"], groups=TABLE["g"])
    assert plain.fit_.theta.size == 1
