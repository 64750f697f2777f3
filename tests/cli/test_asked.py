"""What a command line asks of a fit: tables, files, JSON by its schema, exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

import mme
from mme.__main__ import main
from mme.cli.options import EXIT_CODES

SCHEMA = json.loads((Path(mme.__file__).parent / "cli" / "schema.json").read_text())
SLEEP = "Reaction ~ Days + (Days | Subject)"
KR = ("--ddf", "kenward-roger")
OATS = "yield ~ nitro + Variety + (1 | Block/Variety)"


@pytest.fixture
def command(capsys, tmp_path, monkeypatch):
    """Run ``mme ARGUMENTS`` among CSV files -> exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("sleepstudy", "Oats", "cbpp", "Dyestuff2"):
        mme.load(name).to_csv(f"{name}.csv", index=False)

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


# -- JSON --------------------------------------------------------------------------------------------------------------

CALLS = {
    "linear": (SLEEP, "sleepstudy.csv"),
    "normal": (SLEEP, "sleepstudy.csv", "--ddf", "none", "--ml"),
    "kenward-roger": (OATS, "Oats.csv", "--ddf", "kenward-roger", "--anova", "--means", "Variety", "--pairs"),
    "singular": ("Yield ~ 1 + (1 | Batch)", "Dyestuff2.csv"),
    "residual": ("Reaction ~ Days + (1 | Subject)", "sleepstudy.csv", "--residual", "AR1(Days, Subject)"),
    "constant": ("Reaction ~ 0 + (1 | Subject)", "sleepstudy.csv"),
    "generalised": ("cbind(incidence, size - incidence) ~ period + (1 | herd)", "cbpp.csv", "--family", "binomial"),
    "dispersion": ("incidence ~ period + (1 | herd)", "cbpp.csv", "--family", "nbinom2", "--anova"),
}


@pytest.mark.parametrize("call", CALLS)
def test_json_on_standard_output_is_what_the_schema_says(command, call):
    code, out, err = command("fit", *CALLS[call], "--json", "-")
    assert (code, err) == (0, "")
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(out))
    assert json.loads(out)["version"] == mme.__version__


def test_the_schema_is_one_and_refuses_what_is_not_in_it(command):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(command("schema")[1]) == SCHEMA
    found = json.loads(command("fit", *CALLS["linear"], "--json", "-")[1])
    for wrong in ({"more": 1}, {"nobs": 1.5}, {"beta": [{}]}, {"family": "binomial"}, {"method": "OLS"}):
        assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(found | wrong))


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "none"])
def test_json_has_the_tests_and_intervals_of_the_fit(command, ddf):
    found = json.loads(command("fit", SLEEP, "sleepstudy.csv", "--ddf", ddf, "--json", "-")[1])
    fit = mme.lmer(SLEEP, mme.load("sleepstudy"))
    table, interval = fit.coefficients(ddf), fit.confint(ddf=ddf).loc[fit.beta.index]
    rows = pd.DataFrame(found["beta"]).set_index("name")
    np.testing.assert_allclose(rows[["estimate", "se", "t", "p"]].astype(float), table[["estimate", "se", "t", "p"]])
    np.testing.assert_allclose(rows[["lower", "upper"]].astype(float), interval.to_numpy()[:, :2], rtol=1e-9)
    df = rows["df"].astype(float)
    assert df.isna().all() if ddf == "none" else np.allclose(df, table["df"])


# -- tables and predictions --------------------------------------------------------------------------------------------


def test_tests_and_means_follow_the_summary(command):
    code, out, _ = command("fit", OATS, "Oats.csv", "--anova", "--means", "Variety", "--pairs", *KR)
    fit = mme.lmer(OATS, mme.load("Oats"))
    assert code == 0
    assert out.startswith(fit.summary("kenward-roger"))
    for text in ("Tests of fixed effects, type III", "Means of Variety", "Golden Rain - Victory", "<0.001"):
        assert text in out
    assert f"{fit.means('Variety', ddf='kenward-roger')['mean'].iloc[0]:.4g}" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("where", [(), ("--out", "-"), ("--out", "new.out.csv")])
def test_new_rows_come_back_with_their_predictions(command, where):
    new = pd.DataFrame({"Days": [10, 11], "Subject": ["308", "new"]})
    new.to_csv("new.csv", index=False)
    asked = ("--predict", "new.csv", "--new-levels", "population", "--interval", "prediction", *where)
    code, out, err = command("fit", SLEEP, "sleepstudy.csv", *asked)
    assert (code, err) == (0, "")
    if where[-1:] == ("new.out.csv",):
        assert out.endswith("\nWritten: new.out.csv\n")
        out = Path("new.out.csv").read_text()
    table = pd.read_csv(io.StringIO(out), dtype={"Subject": str})
    fit = mme.lmer(SLEEP, mme.load("sleepstudy"))
    expected = fit.predict(new, new_levels="population", interval="prediction")
    np.testing.assert_allclose(table[["prediction", "lower", "upper"]], expected[["fit", "lower", "upper"]], rtol=1e-12)
    pd.testing.assert_frame_equal(table[["Days", "Subject"]], new)


def test_a_level_that_the_fit_did_not_see_is_refused_unless_asked(command):
    Path("new.csv").write_text("Days,Subject\n10,new\n")
    code, out, err = command("fit", SLEEP, "sleepstudy.csv", "--predict", "new.csv")
    assert (code, out) == (1, "")
    assert "new" in err


# -- structures --------------------------------------------------------------------------------------------------------


def test_a_residual_structure_is_said_as_in_python(command):
    pair = ("--residual", "Exponential(Days, Subject, nugget = TRUE)", "--residual", "Heterogeneous(Subject)")
    code, out, _ = command("fit", "Reaction ~ Days + (1 | Subject)", "sleepstudy.csv", *pair)
    structures = [mme.Exponential("Days", "Subject", nugget=True), mme.Heterogeneous("Subject")]
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"), residual=structures)
    assert (code, out) == (0, fit.summary())


def _animals(folder: Path) -> tuple[pd.DataFrame, list[tuple[str, str, str]]]:
    rng = np.random.default_rng(2)
    rows = [(f"0{i}", "0", "0") for i in range(8)]
    rows += [(f"0{i}", f"0{rng.integers(4)}", f"0{4 + rng.integers(4)}") for i in range(8, 60)]
    table = pd.DataFrame({"y": rng.normal(size=120), "animal": [rows[i % 60][0] for i in range(120)]})
    table["y"] += table["animal"].astype(int) % 7
    table.to_csv(folder / "cows.csv", index=False)
    pd.DataFrame(rows, columns=["animal", "sire", "dam"]).to_csv(folder / "ped.csv", index=False)
    return table, rows


@pytest.mark.parametrize("given", ["ped.csv", "animal=ped.csv"])
def test_a_pedigree_relates_the_levels_of_its_factor(command, tmp_path, given):
    table, rows = _animals(tmp_path)
    code, out, _ = command("fit", "y ~ 1 + (1 | animal)", "cows.csv", "--relationship", given)
    fit = mme.lmer("y ~ 1 + (1 | animal)", table, relationship={"animal": mme.Pedigree(*zip(*rows, strict=True))})
    assert (code, out) == (0, fit.summary())


# -- refusals and exit codes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--residual", "AR2(Days, Subject)"], "AR1, ARMA"),
        (["--residual", "Toeplitz(Days)"], "Toeplitz takes (occasion, group"),
        (["--residual", "AR1(Days, x + 1)"], "is no column"),
        (["--residual", "AR1(Dayz, Subject)"], "no column 'Dayz'"),
        (["--relationship", "nope.csv"], "there is no file nope.csv"),
        (["--relationship", "two.csv"], "two.csv has 2 columns; a pedigree has three"),
        (["--ddf", "residual"], "ddf"),
        (["--means", "nope"], "nope"),
        (["--out", "x.csv"], "--out is for the predictions"),
        (["--report", "-"], "--report needs the name of a file"),
        (["--json", "-", "--ranef", "-"], "is named twice"),
        (["--predict", "nope.csv"], "there is no file nope.csv"),
        (["--plot", "sleepstudy.csv"], "cannot make the directory sleepstudy.csv"),
        (["--family", "poisson", "--ddf", "none"], "--ddf is of a linear model"),
        (["--family", "poisson", "--residual", "AR1(Days, Subject)"], "--residual is of a linear model"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(command, arguments, said):
    Path("two.csv").write_text("animal,sire\n1,2\n")
    code, _, err = command("fit", "Reaction ~ Days + (1 | Subject)", "sleepstudy.csv", *arguments)
    assert code == 1
    assert err.count("mme: ") == 1
    assert said in err


def test_a_search_without_an_end_has_an_exit_code_of_its_own(command, monkeypatch):
    class Ended:
        converged = False

    fit = mme.lmer(SLEEP, mme.load("sleepstudy"))
    monkeypatch.setattr(type(fit), "optimum", property(lambda self: Ended()))
    assert command("fit", SLEEP, "sleepstudy.csv", "--sigma", "9")[0] == 3
    assert all(f"  {code} " in EXIT_CODES for code in (0, 1, 2, 3, 130))


# -- pages, data, shells -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_report_and_pictures_are_written(command):
    code, out, _ = command("fit", SLEEP, "sleepstudy.csv", "--report", "r.html", "--plot", "made/pictures")
    assert code == 0
    assert "r.html" in out
    assert Path("r.html").read_text().startswith("<!doctype html>")
    pictures = sorted(Path("made/pictures").iterdir())
    assert {"caterpillar.png", "residuals.png", "shrinkage.png"} <= {one.name for one in pictures}
    assert all(one.read_bytes().startswith(b"\x89PNG") for one in pictures)
    assert all(str(one) in out for one in pictures)


def test_a_data_set_is_printed_as_csv_and_without_a_name_all_are_listed(command):
    code, out, _ = command("data", "sleepstudy")
    assert (code, out) == (0, mme.load("sleepstudy").to_csv(index=False))
    code, out, _ = command("data")
    assert [line.split()[0] for line in out.splitlines()] == list(mme.tables.datasets.NAMES)
    assert command("data", "sleepstudi")[2].startswith("mme: no data set is named 'sleepstudi' (did you mean")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_a_shell_is_told_the_commands_and_options(command, shell):
    code, out, _ = command("completion", shell)
    assert code == 0
    for word in ("fit", "demo", "data", "--relationship" if shell != "tcsh" else "relationship"):
        assert word in out
