"""Every public call without an argument, with one too many, and of a wrong kind: refused in words."""

from __future__ import annotations

import inspect
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest

import mme

# What no parameter takes: an object, lists of several lengths, a number beyond doubles, a word.
STRANGE = [object(), [[1, 2], [3]], 10**400, "nonsense", 3.7, {1: 2}, np.zeros((2, 2)), None, b"x", pd.NA, len, [None]]
# What a call needs besides.
NEEDED = {
    "L": {"nitro": 1},
    "hypothesis": "nitro = 0",
    "x": "nitro",
    "factors": "Variety",
    "name": "Block",
    "by": "Variety",
}
# What takes minutes, or anything at all.
APART = {"bootstrap", "step", "profile", "report", "made_by"}


@pytest.fixture(scope="module")
def fits():
    oats, herds = mme.load("Oats"), mme.load("cbpp")
    linear = mme.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", oats)
    ill = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", herds, "binomial")
    return {"linear": linear, "generalised": ill, "linear plot": linear.plot, "generalised plot": ill.plot}


def _calls(fit):
    for name in dir(fit):
        static = inspect.getattr_static(type(fit), name, None)
        if not name.startswith("_") and inspect.isfunction(static) and name not in APART:
            yield name, getattr(fit, name)


def _parameters(call):
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [one for one in inspect.signature(call).parameters.values() if one.kind in kinds]


WHICH = ["linear", "generalised", "linear plot", "generalised plot"]


@pytest.mark.parametrize("which", WHICH)
def test_calls_without_what_they_need_say_what_it_is(fits, which):
    seen = 0
    for name, call in _calls(fits[which]):
        required = [one.name for one in _parameters(call) if one.default is one.empty]
        if required:
            seen += 1
            with pytest.raises(TypeError, match=rf"^{name}\(\) needs {required[0]}"):
                call()
    assert seen > (2 if "plot" not in which else 0)


@pytest.mark.parametrize("which", WHICH)
def test_calls_with_a_slip_in_an_argument_say_which_was_meant(fits, which):
    seen = 0
    for name, call in _calls(fits[which]):
        options = [one.name for one in _parameters(call) if len(one.name) > 3]
        if options and name not in ("confint", "update"):  # these say it of options by name
            seen += 1
            slip = options[-1][:-2] + options[-1][-1] + options[-1][-2]
            slip = slip if slip != options[-1] else options[-1] + "e"
            with pytest.raises(TypeError, match=f"takes no '{slip}': did you mean '{options[-1]}'"):
                call(**{slip: 1})
    assert seen > 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("which", WHICH)
def test_no_value_of_a_wrong_kind_ends_in_another_error(fits, which, tmp_path, monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    for _, call in _calls(fits[which]):
        parameters = _parameters(call)
        needed = {one.name: NEEDED.get(one.name) for one in parameters if one.default is one.empty}
        for one in parameters:
            for value in STRANGE:
                with suppress(mme.MMEError):
                    call(**(needed | {one.name: value}))
        plt.close("all")


def test_names_that_there_are_not_lead_to_those_of_their_sound(fits):
    with pytest.raises(AttributeError, match="no attribute 'fited': did you mean 'fitted'"):
        fits["linear"].fited  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'lmmer': did you mean 'lmer'"):
        mme.lmmer  # noqa: B018
    with pytest.raises(TypeError, match=r"lmer\(\) needs data: the columns that the formula names"):
        mme.lmer("y ~ x")
    with pytest.raises(TypeError, match=r"glmer.* takes no 'famly': did you mean 'family'"):
        mme.glmer("y ~ x", {}, famly="poisson")


def test_cells_of_two_factors_are_written_as_users_of_other_packages_write_them():
    data = mme.load("Oats").assign(N=lambda d: "n" + d["nitro"].astype(str))
    fit = mme.lmer("yield ~ N * Variety + (1 | Block/Variety)", data)
    cells = fit.means(["N", "Variety"])
    for spelt in ("N:Variety", "N*Variety", "N * Variety", "~ N + Variety", "~N:Variety"):
        pd.testing.assert_frame_equal(fit.means(spelt), cells)
    within = fit.means("N", by="Variety", pairs=True)
    pd.testing.assert_frame_equal(fit.means("~ N | Variety", pairs=True), within)
    pd.testing.assert_frame_equal(fit.means("N", by=["Variety"], pairs=True), within)
    pd.testing.assert_frame_equal(fit.plot.effects("N:Variety", data=True), fit.plot.effects("N", "Variety", data=True))
    with pytest.raises(mme.MMEError, match=r"write \('N', contrast='pairwise'\) for 'pairwise ~ N'"):
        fit.means("pairwise ~ N")
    with pytest.raises(mme.MMEError, match=r"'Varity' is not a factor.* 'N', 'Variety'"):
        fit.means("N:Varity")
    with pytest.raises(mme.MMEError, match=r"at least one: got .* the factors are 'N', 'Variety'"):
        fit.means([])


def test_a_column_whose_name_has_a_colon_is_itself():
    rng = np.random.default_rng(1)
    data = {"a:b": np.tile(["u", "v", "w"], 20), "g": np.repeat(np.arange(12), 5), "y": rng.normal(size=60)}
    fit = mme.lmer("y ~ `a:b` + (1 | g)", data)
    assert fit.means("a:b").index.tolist() == ["u", "v", "w"]


def test_names_and_arguments_of_other_packages_lead_to_what_does_their_work_here(fits):
    for name, said in (
        ("MixedLM", "mme.lmer"),
        ("lme", "residual=mme.AR1"),
        ("emmeans", "fit.means"),
        ("GEE", "robust"),
    ):
        with pytest.raises(AttributeError, match=said):
            getattr(mme, name)
    for option, said in (
        ("groups", r"\(1 \| g\)"),
        ("re_formula", r"\(x \| g\)"),
        ("reml", "REML=True"),
        ("family", "glmer"),
    ):
        with pytest.raises(TypeError, match=f"takes no '{option}'.*{said}"):
            mme.lmer("y ~ x", {}, **{option: 1})
    assert fits["linear"].converged
    with pytest.raises(AttributeError, match="it is fitted"):
        fits["linear"].fit()
    with pytest.raises(mme.MMEError, match="load_fit reads a saved fit"):
        mme.load("fit.mme")


def test_a_level_in_the_place_of_its_factor_is_told_where_it_stands(fits):
    effects = fits["linear"].ranef()
    assert type(effects["Block"]).__name__ == "DataFrame"
    with pytest.raises(KeyError, match=r"'VI' is no grouping factor.* level of 'Block': \['Block'\].loc\['VI'\]"):
        effects["VI"]
    with pytest.raises(KeyError, match="'nothing' is no grouping factor, which are 'Variety:Block', 'Block'"):
        fits["linear"].coef()["nothing"]


def test_words_are_read_in_capitals_and_by_other_names(fits):
    fit = fits["linear"]
    for given, known in (("TUKEY", "tukey"), ("Bon", "bonferroni"), ("BH", "fdr"), ("Holm", "holm")):
        pairs = fit.means("Variety", pairs=True, adjust=given)
        pd.testing.assert_frame_equal(pairs, fit.means("Variety", pairs=True, adjust=known))
    pd.testing.assert_frame_equal(fit.coefficients(ddf="SATTERTH"), fit.coefficients())
    with pytest.raises(TypeError, match="takes no 'diff': write pairs=True"):
        fit.means("Variety", diff=True)


def test_constructors_and_words_of_other_programs_say_what_to_write():
    table = pd.DataFrame({"animal": ["a", "b"], "sire": [None, "a"], "dam": [None, None]})
    with pytest.raises(
        TypeError, match=r"needs sire and dam: .*mme.Pedigree\(t\['animal'\], t\['sire'\], t\['dam'\]\)"
    ):
        mme.Pedigree(table)
    with pytest.raises(TypeError, match=r"AR1.. takes no 'times': did you mean 'time'"):
        mme.AR1(times="t")
    with pytest.raises(TypeError, match=r"mme.Relationship\(covariance=K, levels=names\)"):
        mme.Relationship(np.eye(2))
    data = {"y": [1.0, 2.0, 4.0, 3.0], "t": [1, 2, 1, 2], "g": ["a", "a", "b", "b"]}
    for word, said in (("un", "Unstructured"), ("AR(1)", "AR1"), (mme.AR1, "mme.AR1")):
        with pytest.raises(mme.MMEError, match=rf"{said}\('time'"):
            mme.lmer("y ~ 1 + (1 | g)", data, residual=word)
    for text, said in (("vm(g, ped)", "write the factor alone"), ("(1 | vm(g))", r"beside \(1 \| g\)")):
        with pytest.raises(mme.MMEError, match=said):
            mme.lmer(f"y ~ {text}", data)


def test_tests_within_levels_of_every_factor_are_refused(fits):
    with pytest.raises(mme.MMEError, match=r"leaves nothing to test within levels.*nitro, Variety"):
        fits["linear"].joint_tests(by=["nitro", "Variety"])


def test_files_that_lack_a_column_are_named_with_what_they_have(tmp_path):
    (tmp_path / "a.csv").write_text("y,g\n1,a\n2,b\n3,a\n4,b\n")
    (tmp_path / "b.csv").write_text("y,h\n1,a\n")
    with pytest.raises(mme.MMEError, match=r"'b.csv' is not as 'a.csv': it has no column 'g'; it has 'y', 'h'"):
        mme.lmer("y ~ 1 + (1 | g)", str(tmp_path))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(mme.MMEError, match=r"'empty.csv' is empty"):
        mme.lmer("y ~ 1 + (1 | g)", str(tmp_path / "empty.csv"))
