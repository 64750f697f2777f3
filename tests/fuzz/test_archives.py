"""Edited archives: refused in words at load, or fits that work; thousands are made by ``./run fuzz archives``."""

from __future__ import annotations

import warnings

import pytest

import mme
from fuzz.archives import Archive, ask, fits, outcome

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A file of each kind."""
    folder = tmp_path_factory.mktemp("archives")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, fit in fits().items():
            fit.save(folder / f"{name}.mme")
    return {path.stem: path for path in sorted(folder.iterdir())}


def test_what_was_not_edited_works(archives):
    for path in archives.values():
        ask(mme.load_fit(path))


def test_an_edit_is_refused_or_harmless(archives, tmp_path):
    found = []
    for k, path in enumerate(archives.values()):
        archive = Archive(path)
        found += [outcome(archive, 100 * k + seed, tmp_path / "edited.mme") for seed in range(5)]
    assert [said for what, said in found if what == "finding"] == []
    assert {what for what, _ in found} == {"refused", "works"}


# Edits that were neither, once: parts of different lengths, words where numbers go, another formula's columns.
ONCE = [
    ("nested", 10),
    ("counts", 46),
    ("binomial", 53),
    ("ordinal", 79),
    ("splines", 81),
    ("splines", 89),
    ("slopes", 160),
]
ONCE += [("unstructured", 100073), ("compound", 100183), ("ar1", 100563), ("compound", 100579), ("counts", 100594)]


@pytest.mark.parametrize(("name", "seed"), ONCE)
def test_edits_that_once_came_through_do_not_any_more(archives, tmp_path, name, seed):
    what, said = outcome(Archive(archives[name]), seed, tmp_path / "edited.mme")
    assert what != "finding", said
