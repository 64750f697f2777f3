"""What an installed package must do where nothing but its dependencies is (run with -I, outside the sources)."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory

import numpy as np

import mme

# Of crossed(), by CHOLMOD.
CROSSED = 10040.683602498772


def near(name: str, got: float, expected: float, within: float) -> None:
    """Stop where a number is another one."""
    if not abs(got - expected) <= within:
        sys.exit(f"{name} is {got!r}, expected {expected!r}")
    print(f"{name:<42} {got:.4f}")


def crossed() -> mme.Fit:
    """Two factors that meet in neighbourhoods: their remainder is sparse."""
    rng = np.random.default_rng(4)
    user = rng.integers(0, 400, 3000)
    item = (user + rng.integers(0, 4, 3000)) % 400
    y = rng.normal(size=400)[user] + rng.normal(size=400)[item] + rng.normal(size=3000)
    return mme.fit(y, np.ones((3000, 1)), [mme.Term(user, name="user"), mme.Term(item, name="item")])


def main() -> None:
    """Linear, generalised, sparse, a pedigree, the command line."""
    assert importlib.util.find_spec("sksparse") is None, "scikit-sparse is here: nothing is learned"
    sleep = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    near("sleepstudy, REML criterion (lme4)", sleep.criterion, 1743.6283, 1e-4)
    herds = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"), "binomial")
    near("cbpp, log likelihood (lme4)", herds.loglik, -92.02628, 1e-4)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        near("crossed, REML criterion (CHOLMOD)", crossed().criterion, CROSSED, 1e-6)
    assert [str(one.message).partition(":")[0] for one in said] == ["scikit-sparse is not installed"], said
    with TemporaryDirectory() as folder:
        table = Path(folder) / "sleep.csv"
        mme.load("sleepstudy").to_csv(table, index=False)
        command = [sys.executable, "-I", "-m", "mme", "fit", "Reaction ~ Days + (Days | Subject)", str(table)]
        page = run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert "1743.6283" in page, page
    print(f"mme {mme.__version__}, Python {sys.version.split()[0]}, {sys.platform}: all as it should be")


if __name__ == "__main__":
    main()
