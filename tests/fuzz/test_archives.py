"""Edited archives: refused in words at load, or fits that work; thousands are made by ``./run fuzz archives``."""

from __future__ import annotations

import warnings
import zipfile
from itertools import cycle

import pytest
from cases import lme4_case_names, load_case

import mme
from fuzz.archives import Archive, all_places, outcome, run
from fuzz.saved import ask, read, saved
from mme.numeric.limits import Limits, within

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A file of each kind."""
    folder = tmp_path_factory.mktemp("archives")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return saved(folder)


def test_what_was_not_edited_works(archives):
    for name in list(archives)[::3]:  # the slow test below asks all of them
        found, asked = read(archives[name], name)
        asked(found)


def test_an_edit_is_refused_or_harmless(archives, tmp_path):
    found = []
    for k, path in enumerate(archives.values()):
        archive = Archive(path)
        found += [outcome(archive, 100 * k + seed, tmp_path / "edited.mme") for seed in range(3)]
    assert [said for what, said in found if what == "finding"] == []
    assert {what for what, _ in found} == {"refused", "works"}


def places(archive, end):
    """Every place of the JSON whose path ends so: what holds it, its key and its path."""
    return [one for one in all_places(archive.head["content"], ()) if one[2].endswith(end)]


def rewritten(archive, tmp_path):
    archive.write(tmp_path / "edited.mme")
    return tmp_path / "edited.mme"


# Single edits that came through once: (fit, end of the path, what is put there).
ONCE = [
    ("slopes", "fixed/fields/terms", {"tuple": []}),
    ("splines", "map/knots/1", ["x", "y"]),
    ("splines", "map/boundary/1", {"tuple": ["a", 9.0]}),
    ("nested", "scale(nitro)/1/map/center/1", "x"),
    ("wide", "labels/tuple/7", None),
    ("wide", "labels/tuple/19", None),
    ("product", "correlation/fields/n", 2**70),
    ("product", "variances/tuple/0/fields/names/tuple", ["sd.TRUE/sd.FALSE"] * 2),
    ("slopes", "specification/1/fields/means/map", []),
    ("streamed", "compressed/1/map/n/1", "x"),
    ("held", "levels/1/objects/9", {"array": 0}),
    ("sums", "x_names/1/(Intercept)/1", "x"),
    ("nested sums", "layout/1/map/of_X/1/tuple/1", 0),
    ("nested sums", "counts/1/fields/n", 7),
]


@pytest.mark.parametrize(("name", "end", "value"), ONCE)
def test_edits_that_once_came_through_are_refused(archives, tmp_path, name, end, value):
    archive = Archive(archives[name])
    found = places(archive, end)
    assert found, end
    parent, key, _ = found[0]
    if value is None:
        del parent[key]
    else:
        parent[key] = value
    with pytest.raises(mme.MMEError):
        read(rewritten(archive, tmp_path), name)


def test_arrays_that_do_not_belong_to_the_fit_are_refused(archives, tmp_path):
    for name in ("compound", "pedigree", "held"):
        archive = Archive(archives[name])
        changes = cycle([lambda a: a[:0], lambda a: a[None], lambda a: a.astype("<f2"), lambda a: a[::-1]])
        for k, change in zip(range(len(archive.arrays)), changes, strict=False):
            other = Archive(archives[name])
            other.arrays[k] = change(archive.arrays[k])
            assert outcome_of(rewritten(other, tmp_path)) != "finding", (name, k)


def test_parameters_of_another_kind_of_number_are_refused(archives, tmp_path):
    archive = Archive(archives["ordinal"])
    parent, key, _ = places(archive, "tau")[0]
    k = parent[key]["array"]
    archive.arrays[k] = archive.arrays[k].astype("<i1")
    with pytest.raises(mme.MMEError):
        mme.load_fit(rewritten(archive, tmp_path))


def test_triangles_of_other_numbers_are_refused(archives, tmp_path):
    archive = Archive(archives["sums"])
    for k, array in enumerate(archive.arrays):
        if array.dtype.kind == "f" and array.any():
            other = Archive(archives["sums"])
            other.arrays[k] = array * 0.5
            with pytest.raises(mme.MMEError):
                mme.CrossProducts.load(rewritten(other, tmp_path))


def outcome_of(path):
    try:
        fit = mme.load_fit(path)
    except mme.MMEError:
        return "refused"
    except Exception:
        return "finding"
    ask(fit)
    return "works"


def test_what_is_written_again_is_what_was_read(archives, tmp_path):
    for name, path in archives.items():
        read(path, name)[0].save(tmp_path / "again.mme")
        assert Archive(tmp_path / "again.mme").head == Archive(path).head, name


def test_a_file_without_a_witness_of_an_earlier_version_is_read(archives, tmp_path):
    archive = Archive(archives["splines"])
    archive.head["content"]["map"] = [pair for pair in archive.head["content"]["map"] if pair[0] != "witness"]
    ask(mme.load_fit(rewritten(archive, tmp_path)))


def test_sizes_are_checked_before_anything_is_unpacked(archives, tmp_path):
    path = tmp_path / "bomb.mme"
    with zipfile.ZipFile(archives["slopes"]) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        with new.open(f"arrays/{len(old.namelist()) - 1}.npy", "w") as member:
            for _ in range(64):
                member.write(bytes(1 << 20))
    with within(Limits(memory=1 << 24)), pytest.raises(mme.MMEError, match="unpacks to"):
        mme.load_fit(path)


@pytest.mark.slow
def test_a_thousand_edits_are_refused_or_harmless(archives):
    for name, path in archives.items():
        found, asked = read(path, name)
        asked(found)
    counts, found = run(1000, first=500_000)
    assert found == []
    assert counts["works"] > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", lme4_case_names())
def test_every_stored_model_is_read_back(name, tmp_path):
    fit = load_case(name).fit()
    fit.save(tmp_path / "fit.mme")
    assert mme.load_fit(tmp_path / "fit.mme").criterion == fit.criterion
