"""Bars of long work, and what is logged of a fit's decisions."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import redirect_stderr

import numpy as np
import pytest

import mme
from mme.numeric import bars

SLOPE = "Reaction ~ Days + (Days | Subject)"


class Terminal(io.StringIO):
    """An error stream that somebody watches."""

    def isatty(self):
        return True


@pytest.fixture(params=[True, False], ids=["tqdm", "plain"])
def terminal(request, monkeypatch):
    if request.param:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    return Terminal()


def test_a_watched_fit_shows_one_bar_with_its_criterion(terminal):
    with redirect_stderr(terminal):
        fit = mme.lmer(SLOPE, mme.load("sleepstudy"), progress=True)
    shown = terminal.getvalue()
    assert shown.count("\n") == 1
    assert "criterion " in shown
    assert "theta" not in shown
    if "steps" not in shown:  # tqdm draws the last state when it is closed
        assert f"criterion {fit.criterion:.6f}" in shown.replace("\r", "")


def test_a_profile_counts_its_parameters(terminal):
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"), method="ML")
    with redirect_stderr(terminal):
        profile = fit.profile(progress=True)
    assert "3/3" in terminal.getvalue()
    np.testing.assert_array_equal(profile.confint(), fit.profile().confint())


@pytest.mark.parametrize("given", ["yes", None, 1, 0])
def test_progress_is_true_false_or_a_function_wherever_it_is_asked_for(given):
    data = mme.load("Dyestuff")
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", data)
    doors = (
        lambda: fit.profile("sigma", progress=given),
        lambda: fit.bootstrap(3, seed=1, progress=given),
        lambda: fit.report("report.html", progress=given),
        lambda: mme.scan(fit, np.arange(30.0)[:, None], progress=given),
        lambda: mme.lmer_many("~ 1 + (1 | Batch)", data, np.ones((30, 1)), progress=given),
        lambda: mme.lmer("Yield ~ 1 + (1 | Batch)", data, progress=given),
    )
    for door in doors:
        with pytest.raises(mme.MMEError, match="progress must be True, False or a function of"):
            door()


def test_a_function_is_told_of_profiles_and_steps_as_of_replicates(terminal):
    fit, told = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"), method="ML"), []
    with redirect_stderr(terminal):
        fit.profile(progress=lambda *one: told.append(one))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert terminal.getvalue() == ""


def test_each_bar_has_the_name_of_its_work(terminal):
    data = mme.load("Dyestuff")
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", data)
    with redirect_stderr(terminal):
        mme.scan(fit, np.arange(30.0)[:, None] ** 2, progress=True)
        assert list(bars.stepped("nothing", [], True)) == []
    shown = terminal.getvalue()
    assert "scan" in shown
    assert "1/1" in shown
    assert "bootstrap" not in shown
    assert shown.count("\n") == 2


def test_a_bootstrap_shows_how_many_are_left(terminal):
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
    with redirect_stderr(terminal):
        fit.bootstrap(10, seed=1, workers=1, progress=True)
    assert "10/10" in terminal.getvalue()


@pytest.fixture(scope="module")
def herds():
    return mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"), "binomial")


def test_generalised_fits_profiles_and_reports_show_their_bars(terminal, herds, tmp_path):
    pytest.importorskip("matplotlib")
    told = []
    options = {"progress": lambda *one: told.append(one)}
    formula, data = herds.formula, mme.load("cbpp")
    again = mme.glmer(formula, data, "binomial", **options)
    assert min(value for _, value, _ in told) == pytest.approx(herds.criterion, abs=1e-9)
    np.testing.assert_allclose(told[-1][2], [*again.theta, *again.beta], atol=1e-4)
    with redirect_stderr(terminal):
        mme.glmer(formula, data, "binomial", progress=True)
        herds.profile("period2", progress=True)
        herds.report(tmp_path / "report.html", progress=True)
    shown = terminal.getvalue()
    assert "criterion " in shown
    assert "1/1" in shown
    assert "7/7" in shown


def test_an_interrupted_profile_keeps_what_is_done(terminal):
    def make(name):
        if name == "c":
            raise KeyboardInterrupt
        return name.upper()

    with redirect_stderr(terminal):
        with pytest.warns(mme.MMEWarning, match=r"interrupted: profile has 2 of 3 \(a, b\)"):
            assert bars.one_by_one("profile", ["a", "b", "c"], make, True) == {"a": "A", "b": "B"}
        with pytest.raises(KeyboardInterrupt):
            bars.one_by_one("profile", ["c"], make, True)
    with pytest.raises(KeyboardInterrupt):  # nobody watches: whoever interrupts wants an end
        bars.one_by_one("profile", ["a", "c"], make, False)


def test_what_is_not_asked_for_is_not_shown(terminal):
    assert list(bars.stepped("profile", ["a", "b"], False)) == ["a", "b"]
    with redirect_stderr(terminal):
        mme.lmer(SLOPE, mme.load("sleepstudy")).profile("sigma")
    assert terminal.getvalue() == ""


def test_decisions_are_logged_where_someone_listens(caplog):
    with caplog.at_level(logging.INFO, "mme"):
        mme.lmer(SLOPE, mme.load("sleepstudy"))
        mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"), "binomial")
    said = "\n".join(record.getMessage() for record in caplog.records)
    for text in ("absorbed: ", "because ", "search of 3 parameters by ", "minimum after "):
        assert text in said
    assert {record.name for record in caplog.records} == {"mme"}
