"""``mme fit --family``: generalised models of the command line."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mme
from mme.__main__ import main
from tests.glmm import glmm_case, glmm_fit

FORMULA = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Run ``mme fit ARGUMENTS`` in a directory with the file herds.csv -> exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    data = glmm_case("cbpp_logit").data.assign(period=lambda d: "p" + d["period"].astype(str))
    data.assign(
        ill=np.where(data["incidence"] > 1, "yes", "no"),
        share=data["incidence"] / data["size"],
        mixed=[f"{i % 3}" if i else "x" for i in range(len(data))],
    ).to_csv("herds.csv", index=False)

    def run(*arguments):
        code = main(["fit", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_the_summary_is_that_of_the_fit(command):
    code, out, err = command(FORMULA, "herds.csv", "--family", "binomial")
    assert (code, err) == (0, "")
    assert "Family: binomial, link logit" in out
    theirs = glmm_fit("cbpp_logit").summary().split("\n\n")
    assert out.split("\n\n")[1:4] == theirs[1:4]


def test_a_proportion_with_trials_and_a_count_with_its_exposure(command):
    _, out, _ = command("share ~ period + (1 | herd)", "herds.csv", "--family", "binomial", "--weights", "size")
    assert out.split("\n\n")[1] == glmm_fit("cbpp_logit").summary().split("\n\n")[1]
    _, out, _ = command("incidence ~ period + (1 | herd)", "herds.csv", "--family", "poisson", "--exposure", "size")
    table = pd.read_csv("herds.csv")
    fit = mme.glmer("incidence ~ period + (1 | herd)", table, "poisson", offset=np.log(table["size"]))
    assert out.split("\n\n")[1:4] == fit.summary().split("\n\n")[1:4]


def test_link_and_quadrature_reach_the_fit(command):
    _, out, _ = command(FORMULA, "herds.csv", "--family", "binomial", "--link", "cloglog")
    assert f"{glmm_fit('cbpp_cloglog').criterion:.4f}" in out
    _, out, _ = command(FORMULA, "herds.csv", "--family", "binomial", "--agq", "9")
    assert "adaptive Gauss-Hermite, 9 points" in out


def test_a_response_may_be_text(command):
    code, out, _ = command("ill ~ period + (1 | herd)", "herds.csv", "--family", "binomial")
    assert code == 0
    table = pd.read_csv("herds.csv")
    fit = mme.glmer("ill ~ period + (1 | herd)", table.assign(ill=(table["ill"] == "yes").astype(float)))
    assert out.split("\n\n")[1] == fit.summary().split("\n\n")[1]


def test_modes_and_estimates_are_written(command):
    code, out, _ = command(FORMULA, "herds.csv", "--family", "binomial", "--ranef", "b.csv", "--json", "fit.json")
    assert code == 0
    assert out.endswith("\nWritten: b.csv, fit.json\n")
    fit = glmm_fit("cbpp_logit")
    table = pd.read_csv("b.csv")
    assert table.columns.tolist() == ["term", "level", "coefficient", "blup", "condsd", "pev"]
    by_level = table.set_index(table["level"].astype(str))["blup"]
    np.testing.assert_allclose(by_level, fit.ranef()["herd"]["(Intercept)"].loc[by_level.index], atol=1e-9)
    np.testing.assert_allclose(np.sort(table["pev"]), np.sort(fit.pev()["herd"].ravel()), rtol=1e-6)
    written = json.loads(Path("fit.json").read_text())
    assert written["family"] == "binomial"
    assert written["criterion"] == pytest.approx(fit.criterion, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--family", "binomail"], "family must be one of 'binomial', 'poisson'"),
        (["--family", "binomail"], "did you mean 'binomial'?"),
        (["--family", "binomial", "--pairs"], "--pairs is for the means of --means FACTOR"),
        (["--family", "binomial", "--interval", "confidence"], "--interval is for the predictions of --predict"),
        (["--family", "poisson", "--link", "logit"], "logit"),
        (["--link", "logit"], "--link is of a generalised model: name its --family"),
        (["--agq", "5"], "--agq is of a generalised model: name its --family"),
        (["--family", "binomial", "--sigma", "1"], "--sigma is of a linear model"),
        (["--family", "binomial", "--agq", "-1"], "n_agq must be a whole number from"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(command, arguments, said):
    code, out, err = command(FORMULA, "herds.csv", *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert err.startswith("mme: ")
    assert len(err.splitlines()) == 1


def test_a_response_that_the_family_cannot_have_is_one_sentence(command):
    code, _, err = command(FORMULA, "herds.csv", "--family", "binomial", "--exposure", "nope")
    assert (code, err.partition(";")[0]) == (1, "mme: unknown column 'nope'")
    for formula, family, said in (
        ("share ~ period + (1 | herd)", "poisson", "whole number"),
        ("share ~ period + (1 | herd)", "binomial", "give the numbers of trials as weights"),
        ("mixed ~ 1 + (1 | herd)", "binomial", "'x' in row 1 of column 'mixed' is not a number"),
        ("period ~ 1 + (1 | herd)", "binomial", "4 levels (p1, p2, p3, p4)"),
        ("period ~ 1 + (1 | herd)", "poisson", "has labels (p1, p2, p3, p4), and the family is of numbers"),
    ):
        code, out, err = command(formula, "herds.csv", "--family", family)
        assert (code, out) == (1, "")
        assert said in err


def test_help_tells_the_options_of_generalised_models(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    text = capsys.readouterr().out
    assert all(word in text for word in ("--family", "--link", "--exposure", "--agq", "approximation"))
    assert io.StringIO(text).readline().startswith("usage: ")
