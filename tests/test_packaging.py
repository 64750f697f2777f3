"""What is said of the package in several places is said alike, and installs without a compiler."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import mme

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = (ROOT / "conda" / "meta.yaml").read_text()
# Packages that pip would have to compile.
COMPILED = {"scikit-sparse"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", one)[0] for one in requirements}


def test_what_everyone_installs_has_wheels():
    assert names(PROJECT["dependencies"]) == {"numpy", "scipy", "nlopt", "pandas", "numba", "llvmlite"}
    extras = {extra for extra, them in PROJECT["optional-dependencies"].items() if names(them) & COMPILED}
    assert extras == {"cholmod"}


def test_one_version_stands_everywhere():
    places = {
        "pyproject.toml": PROJECT["version"],
        "conda/meta.yaml": re.search(r'version: "(.*)"', RECIPE)[1],
        "CITATION.cff": re.search(r'\nversion: "?([\d.]+)"?', (ROOT / "CITATION.cff").read_text())[1],
        "docs/install.md": re.search(r"mme-([\d.]+)-py3", (ROOT / "docs" / "install.md").read_text())[1],
    }
    assert set(places.values()) == {mme.__version__}


def test_the_conda_recipe_needs_what_pip_needs_and_cholmod():
    run = RECIPE.partition("  run:\n")[2].partition("\n\n")[0]
    listed = {line.strip(" -").partition("  #")[0].replace(" ", "") for line in run.splitlines()}
    wanted = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cholmod"]}
    assert listed == {f"python{PROJECT['requires-python']}", *wanted}


@pytest.mark.parametrize("extra", ["plot", "sklearn", "parquet", "cholmod"])
def test_an_extra_that_an_error_names_is_there(extra):
    said = [path for path in (ROOT / "mme").rglob("*.py") if f"mme[{extra}]" in path.read_text()]
    assert said
    assert extra in PROJECT["optional-dependencies"]


def test_every_page_is_in_the_side_bar_and_in_the_index():
    names = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    bar, index = (ROOT / "docs" / "build_site.py").read_text(), (ROOT / "docs" / "index.md").read_text()
    assert {name for name in names if f'"{name}"' not in bar} == set()
    assert {name for name in names if f"({name}.md)" not in index} == set()
