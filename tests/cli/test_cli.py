"""The command line: what it prints, what it writes, and how it says no."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import load_case

import mme
from mme.__main__ import main
from mme.cli.read import read_table
from mme.cli.source import source_of
from mme.files.export import as_dict, ranef_table

FORMULA = "Reaction ~ Days + (Days | Subject)"
ROOT = Path(mme.__file__).parents[1]


@pytest.fixture(scope="module")
def sleepstudy():
    return mme.load("sleepstudy")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def csv(here, sleepstudy):
    sleepstudy.to_csv("sleep.csv", index=False)
    return "sleep.csv"


@pytest.fixture
def command(capsys):
    """Run ``mme ARGUMENTS`` -> exit code, stdout, stderr."""

    def run(*arguments):
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


# -- fit ---------------------------------------------------------------------------------------------------------------


def test_fit_prints_the_summary_and_nothing_else(command, csv, sleepstudy):
    assert command("fit", FORMULA, csv) == (0, mme.lmer(FORMULA, sleepstudy).summary(), "")


@pytest.mark.parametrize(
    "name", ["s.csv", "s.csv.gz", "s.tsv", "trailing.csv", "semicolon.csv", "bom.csv", "crlf.csv", "s.parquet"]
)
def test_one_table_in_any_format_gives_one_answer(command, here, sleepstudy, name):
    options = {
        "s.tsv": {"sep": "\t"},
        "semicolon.csv": {"sep": ";"},
        "bom.csv": {"encoding": "utf-8-sig"},
        "crlf.csv": {"lineterminator": "\r\n"},
        "trailing.csv": {"lineterminator": ",\n"},
    }
    if name.endswith("parquet"):
        sleepstudy.to_parquet(name)
    else:
        sleepstudy.to_csv(name, index=False, **options.get(name, {}))
    assert command("fit", FORMULA, name) == (0, mme.lmer(FORMULA, sleepstudy).summary(), "")


# What R's write.table, write.csv2 and their arguments make of three columns.
WRITTEN_BY_R = {
    "write.table(d, f)": '"y" "x" "g"\n"1" 1.5 0 "the a"\n"2" NA 1 "the a"\n"3" 2.25 2 "the \\"b\\""\n',
    "row.names": '"y" "x" "g"\n"row 1" 1.5 0 "the a"\n"row 2" NA 1 "the a"\n"row 3" 2.25 2 "the \\"b\\""\n',
    "row.names = FALSE": '"y" "x" "g"\n1.5 0 "the a"\nNA 1 "the a"\n2.25 2 "the \\"b\\""\n',
    'sep = "\\t"': '"y"\t"x"\t"g"\n"1"\t1.5\t0\t"the a"\n"2"\tNA\t1\t"the a"\n"3"\t2.25\t2\t"the ""b"""\n',
    'sep = ","': '"y","x","g"\n"1",1.5,0,"the a"\n"2",NA,1,"the a"\n"3",2.25,2,"the ""b"""\n',
    "write.csv(d, f)": '"","y","x","g"\n"1",1.5,0,"the a"\n"2",NA,1,"the a"\n"3",2.25,2,"the ""b"""\n',
    "write.csv2(d, f)": '"";"y";"x";"g"\n"1";1,5;0;"the a"\n"2";NA;1;"the a"\n"3";2,25;2;"the ""b"""\n',
    'dec = ","': '"y" "x" "g"\n"1" 1,5 0 "the a"\n"2" NA 1 "the a"\n"3" 2,25 2 "the \\"b\\""\n',
    "quote = FALSE": "y x g\n1 1.5 0 thea\n2 NA 1 thea\n4 2.25 2 theb\n",
    "trailing commas": 'y,x,g\n1.5,0,the a,\n,1,the a,\n2.25,2,"the ""b""",\n',
    "aligned by hand": '  y    x  g\n 1.5   0  "the a"\n  NA   1  "the a"\n 2.25  2  "the \\"b\\""\n',
}


@pytest.mark.parametrize("how", WRITTEN_BY_R)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_a_file_that_r_wrote_is_the_table_that_it_wrote(here, how, encoding):
    Path("d.txt").write_text(WRITTEN_BY_R[how].replace("the", "thé"), encoding=encoding)
    table = read_table(source_of(Path("d.txt")), "y ~ x + (1 | g)", encoding)[["y", "x", "g"]]
    expected = pd.DataFrame({"y": [1.5, None, 2.25], "x": [0, 1, 2], "g": ["thé a", "thé a", 'thé "b"']})
    if how == "quote = FALSE":
        expected["g"] = ["théa", "théa", "théb"]
    pd.testing.assert_frame_equal(table, expected)


def test_an_encoding_reaches_the_file(command, here, sleepstudy):
    sleepstudy.rename(columns={"Days": "Tage später"}).to_csv("s.csv", index=False, encoding="latin-1")
    formula = "Reaction ~ `Tage später` + (1 | Subject)"
    code, out, _ = command("fit", formula, "s.csv", "--encoding", "latin-1")
    assert (code, out) == (0, mme.lmer(formula, sleepstudy.rename(columns={"Days": "Tage später"})).summary())


@pytest.mark.parametrize("call", ["factor(dose)", "C(dose, contr.sum)", "I(dose == 'none')", "relevel(dose, 'none')"])
def test_labels_among_numbers_are_a_factor_where_the_formula_says_so(here, call):
    Path("d.csv").write_text("y,dose,g\n1,0,a\n2,1,a\n3,2,b\n4,none,b\n5,none,c\n6,3,c\n")
    assert read_table(source_of(Path("d.csv")), f"y ~ {call} + (1 | g)", "utf-8")["dose"].tolist()[3] == "none"
    with pytest.raises(mme.MMEError, match="'none' in row 4 of column 'dose' is not a number, nor are 1 others"):
        read_table(source_of(Path("d.csv")), "y ~ dose + (1 | g)", "utf-8")


def test_options_reach_the_fit(command, here, sleepstudy):
    data = sleepstudy.assign(w=np.tile([1.0, 2.0, 4.0], 60), known=np.linspace(0.0, 9.0, 180))
    data.to_csv("s.csv", index=False)
    code, out, _ = command("fit", FORMULA, "s.csv", "--ml", "--weights", "w", "--offset", "known", "--sigma", "30")
    expected = mme.lmer(FORMULA, data, method="ML", weights="w", offset="known", sigma=30.0)
    assert (code, out) == (0, expected.summary())


def test_rows_with_gaps_are_left_out_and_counted(command, here, sleepstudy):
    data = sleepstudy.astype({"Reaction": object})
    data.loc[[3, 7, 20], "Reaction"] = ["NA", "", "NA"]
    data.to_csv("s.csv", index=False)
    code, out, _ = command("fit", FORMULA, "s.csv", "--json", "f.json")
    assert code == 0
    assert "3 rows with missing values were left out." in out
    written = json.loads(Path("f.json").read_text())
    assert (written["nobs"], written["n_dropped"]) == (177, 3)


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        (["007", "010", "2", "30"], ["007", "010", "2", "30"]),
        (["7", "10", "2", "30"], ["2", "7", "10", "30"]),
        (["1234567890123456781", "1234567890123456782", "3", "4"], None),
        (["b", "a", "1", "2"], ["1", "2", "a", "b"]),
    ],
)
def test_labels_are_the_texts_of_the_file(command, here, labels, kept):
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": rng.normal(size=40), "g": np.repeat(labels, 10)})
    data["y"] += data["g"].map({label: 2.0 * i for i, label in enumerate(labels)})
    data.to_csv("s.csv", index=False)
    assert command("fit", "y ~ 1 + (1 | g)", "s.csv", "--ranef", "r.csv")[0] == 0
    assert pd.read_csv("r.csv", dtype="str")["level"].tolist() == (kept or sorted(labels))


def test_a_column_that_is_label_and_covariate_stays_a_number(command, csv, sleepstudy):
    formula = "Reaction ~ Days + (1 | Days) + (1 | Subject)"
    code, out, _ = command("fit", formula, csv)
    assert (code, out) == (0, mme.lmer(formula, sleepstudy).summary())


def test_progress_goes_to_stderr(command, csv):
    code, out, err = command("fit", FORMULA, csv, "--progress")
    assert code == 0
    assert out.startswith("Linear mixed model")
    assert re.match(r" +1 +\d+\.\d+ +theta \[", err)


def test_a_warning_is_one_plain_line(command, csv):
    code, _, err = command("fit", "Days ~ 1 + (1 | Reaction)", csv)
    lines = err.splitlines()
    assert code == 1
    assert lines[0].startswith("mme: warning: grouping factor 'Reaction' holds continuous numbers")
    assert len(lines) == 2


# -- files -------------------------------------------------------------------------------------------------------------


def test_json_is_the_documented_structure(command, csv):
    code, out, _ = command("fit", FORMULA, csv, "--json", "fit.json")
    assert code == 0
    assert out.endswith("\nWritten: fit.json\n")
    written = json.loads(Path("fit.json").read_text())
    assert list(written) == [
        *("format", "version", "formula", "response", "method", "nobs", "n_dropped", "groups"),
        *("criterion", "loglik", "aic", "bic", "dof", "sigma", "theta", "ddf", "level"),
        *("beta", "beta_cov", "dropped"),
        *("varcorr", "relationships", "optimum"),
    ]
    assert all(f"``{field}``" in as_dict.__doc__ for field in written if field != "version")
    assert written["groups"] == {"Subject": 18}
    assert [entry["name"] for entry in written["beta"]] == ["(Intercept)", "Days"]
    assert set(written["beta"][0]) == {"name", "estimate", "se", "t", "df", "p", "lower", "upper"}
    assert set(written["varcorr"][0]) == {"term", "names", "sd", "corr", "cov"}
    fields = {"verdict", "converged", "singular", "boundary", "undetermined", "evaluations", "reason"}
    assert set(written["optimum"]) == fields


@pytest.mark.parametrize(
    ("name", "options"),
    [("sleepstudy_slope_reml", []), ("sleepstudy_diag_ml", ["--ml"]), ("oats_nitro_reml", []), ("dyestuff2_reml", [])],
)
def test_json_holds_lme4s_numbers(command, here, name, options):
    case = load_case(name)
    case.data.to_csv("d.csv", index=False)
    assert command("fit", case.json["formula"], "d.csv", "--json", "f.json", *options)[0] == 0
    written, peer = json.loads(Path("f.json").read_text()), case.json
    assert written["criterion"] == pytest.approx(peer["objective"], abs=1e-6)
    assert (written["aic"], written["bic"]) == pytest.approx((peer["AIC"], peer["BIC"]), abs=1e-6)
    assert written["sigma"] == pytest.approx(peer["sigma"], rel=1e-4)
    assert [entry["name"] for entry in written["theta"]] == peer["theta_names"]
    assert [entry["value"] for entry in written["theta"]] == pytest.approx(peer["theta"], abs=1e-4)
    assert [entry["estimate"] for entry in written["beta"]] == pytest.approx(peer["beta"], rel=1e-5)
    assert [entry["se"] for entry in written["beta"]] == pytest.approx(peer["se"], rel=1e-4)
    assert written["optimum"]["singular"] == (name == "dyestuff2_reml")


def test_what_does_not_exist_is_null(sleepstudy):
    written = as_dict(mme.lmer(FORMULA, sleepstudy, theta=[0, 0, 0]).internals)
    assert written["varcorr"][0]["corr"] == [[1.0, None], [None, 1.0]]
    json.dumps(written, allow_nan=False)
    assert as_dict(mme.fit([1.0, 2, 4, 7], np.ones((4, 1)), [mme.Term(list("aabb"))]).internals)["formula"] is None


def test_ranef_is_one_row_a_random_effect_with_both_variances(command, here):
    data = mme.load("Machines")
    data.to_csv("m.csv", index=False)
    formula = "score ~ Machine + (Machine | Worker)"
    assert command("fit", formula, "m.csv", "--ranef", "blup.csv")[0] == 0
    table, fit = pd.read_csv("blup.csv", dtype={"level": "str"}), mme.lmer(formula, data)
    assert table.columns.tolist() == ["term", "level", "coefficient", "blup", "condsd", "pev"]
    assert len(table) == 18
    b = table.pivot(index="level", columns="coefficient", values="blup")
    pd.testing.assert_frame_equal(b, fit.ranef()["Worker"], check_names=False, check_index_type=False)
    condvar = np.einsum("gii->gi", fit.condvar()["Worker"]).ravel()
    assert table["condsd"].to_numpy() ** 2 == pytest.approx(condvar, rel=1e-12)
    assert table["pev"].to_numpy() == pytest.approx(np.einsum("gii->gi", fit.pev()["Worker"]).ravel(), rel=1e-12)
    assert (table["pev"] >= table["condsd"] ** 2 - 1e-12).all()


def test_several_terms_follow_one_another_in_the_table(sleepstudy):
    table = ranef_table(mme.lmer("Reaction ~ Days + (Days || Subject)", sleepstudy).internals)
    assert table.groupby("term", sort=False)["coefficient"].unique().map(list).to_dict() == {
        "Subject": ["(Intercept)", "Days"],
    }


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([FORMULA, "nope.csv"], "there is no file nope.csv"),
        ([FORMULA, "."], "is a directory"),
        ([FORMULA, "empty.csv"], "empty.csv is empty"),
        ([FORMULA, "header.csv"], "header.csv has a header and no rows"),
        ([FORMULA, "binary.csv"], "binary.csv cannot be read as a CSV table in UTF-8"),
        ([FORMULA, "latin.csv"], "name its encoding: --encoding latin-1"),
        ([FORMULA, "ragged.csv"], "ragged.csv cannot be read as a CSV table in UTF-8"),
        ([FORMULA, "notgz.csv.gz"], "notgz.csv.gz cannot be read as a CSV table"),
        ([FORMULA, "binary.parquet"], "binary.parquet cannot be read as a Parquet file"),
        ([FORMULA, "shifted.csv"], "the rows have more fields than the header has names"),
        ([FORMULA, "unquoted.txt"], "name every column, and quote labels that hold blanks"),
        ([FORMULA, "sleep.csv", "--encoding", "klingon"], "there is no encoding 'klingon'"),
        (
            [FORMULA, "typo.csv"],
            "typo.csv: '3o' in row 4 of column 'Days' is not a number; mend it, name it as missing",
        ),
        ([FORMULA, "dots.txt"], "dots.txt: '.' in row 2 of column 'Reaction' is not a number, nor are 1 others; mend"),
        (["Reaction ~ Dayz + (1 | Subject)", "sleep.csv"], "unknown column 'Dayz'; did you mean 'Days'?"),
        (["Reaction ~ Days + (Days | Subject", "sleep.csv"], "'(' is never closed"),
        (["", "sleep.csv"], "no '~' in the formula"),
        ([FORMULA, "sleep.csv", "--weights", "nope"], "unknown column 'nope'"),
        (
            [FORMULA, "sleep.csv", "--weights", "Days"],
            "must be positive",
        ),
        ([FORMULA, "sleep.csv", "--sigma", "0"], "sigma must be a positive number"),
        ([FORMULA, "sleep.csv", "--json", "no/f.json"], "cannot write no/f.json: there is no directory no"),
        ([FORMULA, "sleep.csv", "--ranef", "."], "cannot write .: it is a directory"),
        ([FORMULA, "sleep.csv", "--json", "./sleep.csv"], "sleep.csv is the file with the data"),
        ([FORMULA, "sleep.csv", "--json", "x", "--ranef", "./x"], "is named twice"),
    ],
)
def test_input_that_cannot_be_used_is_one_message_and_exit_code_1(command, here, sleepstudy, arguments, said):
    text = sleepstudy.to_csv(index=False)
    Path("sleep.csv").write_text(text)
    Path("empty.csv").write_text("")
    Path("header.csv").write_text("Reaction,Days,Subject\n")
    Path("binary.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    Path("binary.parquet").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff" * 9)
    Path("latin.csv").write_bytes("Reaction,Days,Über\n1,2,3\n".encode("latin-1"))
    Path("ragged.csv").write_text("Reaction,Days,Subject\n1,2,3\n1,2,3,4,5\n")
    Path("shifted.csv").write_text("Reaction,Days,Subject\nold,249.5,0,308\nnew,258.7,1,308\n")
    Path("unquoted.txt").write_text("Reaction Days Subject\n249.5 0 the 308th\n258.7 1 the 308th\n")
    Path("typo.csv").write_text(text.replace(",3.0,308", ",3o,308"))
    Path("dots.txt").write_text("Reaction Days Subject\n1 0 a\n. 1 a\n3 2 b\n4 2 b\n. 1 b\n")
    Path("notgz.csv.gz").write_text(text)
    code, out, err = command("fit", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("mme: ")
    assert err.count("mme: ") == 1
    assert said in err
    assert Path("sleep.csv").read_text() == text


# Files as they come: what pandas says of a damaged archive is no OSError, and text of many digits no number.
ODD_FILES = {
    "notzip.csv.zip": b"no archive",
    "notxz.csv.xz": b"no archive",
    "nottar.tar": b"no archive",
    "nottar.tar.gz": b"no archive",
    "cut.csv.gz": gzip.compress(b"Reaction,Days,Subject\n1,2,3\n" * 99)[:60],
    "damaged.csv.gz": gzip.compress(b"Reaction,Days,Subject\n1,2,3\n")[:15] + b"xxxxxxxx",
    "unpacker.csv.zst": b"no archive",
    "utf16.csv": "Reaction,Days,Subject\n1,2,3\n".encode("utf-16"),
    "utf16le.csv": "Reaction,Days,Subject\n1,2,3\n".encode("utf-16-le"),
    "zeros.csv": b"\0" * 500,
    "digits.csv": b"Reaction,Days,Subject\n" + b"".join(b"1%0400d,%d,%d\n" % (i, i % 3, i % 4) for i in range(20)),
    "infinite.csv": b"Reaction,Days,Subject\n1e999,0,1\n2,1,1\n3,0,2\n4,1,2\n",
    "headless.csv": b"249.5,0,308\n258.7,1,308\n",
    "blank.csv": b"\n\n",
    "open.csv": b'Reaction,Days,Subject\n"1,2,3\n',
    "web.csv": b"<html><body>moved</body></html>",
    "decimals.csv": b"Reaction,Days,Subject\n249,5,0,308\n258,7,1,308\n",
}


@pytest.mark.parametrize("name", ODD_FILES)
def test_a_file_that_is_no_table_is_one_sentence(command, here, name):
    Path(name).write_bytes(ODD_FILES[name])
    code, out, err = command("fit", FORMULA, name)
    assert (code, out) == (1, "")
    assert err.startswith("mme: ")


@pytest.mark.parametrize("sigma", ["-1", "0", "nan", "inf", "1e-400", "1e308", "1e-300", "1e-30"])
def test_a_residual_deviation_out_of_reach_is_one_sentence(command, csv, sigma):
    code, out, err = command("fit", FORMULA, csv, f"--sigma={sigma}")
    assert (code, out) == (1, "")
    assert err.startswith("mme: sigma ")


def test_a_sum_of_thousands_of_terms_is_read_to_its_end(command, csv):
    formula = f"Reaction ~ {' + '.join(['Days'] * 3000)} + (1 | Subject)"
    assert command("fit", formula, csv)[0] == 0


def test_a_file_with_bars_between_its_fields_is_read(command, csv, sleepstudy):
    sleepstudy.to_csv("bars.txt", sep="|", index=False)
    assert command("fit", FORMULA, "bars.txt") == (0, mme.lmer(FORMULA, sleepstudy).summary(), "")


def test_a_formula_error_has_its_caret_under_the_place(command, csv):
    _, _, err = command("fit", "Reaction ~ Dayz + (1 | Subject)", csv)
    problem, formula, caret = err.splitlines()
    assert problem.startswith("mme: unknown column")
    assert formula.index("Dayz") == caret.index("^")


@pytest.mark.parametrize(
    "arguments", [[], ["fit"], ["fit", FORMULA], ["nonsense"], ["fit", FORMULA, "a", "b"], ["fit", "--sigma", "x"]]
)
def test_a_wrong_command_line_is_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_disk_that_is_full_is_said(command, csv):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    code, out, err = command("fit", FORMULA, csv, "--json", "/dev/full")
    assert code == 1
    assert out.startswith("Linear mixed model")
    assert err.startswith("mme: cannot write /dev/full: ")


def test_an_interrupt_has_its_own_exit_code(command, csv, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(mme, "lmer", interrupted)
    assert command("fit", FORMULA, csv) == (130, "", "mme: interrupted\n")


# -- the module as a program -------------------------------------------------------------------------------------------


def test_the_version_is_the_packages(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"mme {mme.__version__}\n"


def test_python_m_mme_runs_and_a_reader_that_stops_early_is_no_error(csv):
    program = [sys.executable, "-m", "mme"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*program, "fit", FORMULA, csv],
        stdout=write,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        check=False,
    )
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


def test_help_tells_every_option_and_the_columns_of_the_files(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    text = capsys.readouterr().out
    options = ("--ml", "--weights", "--offset", "--sigma", "--ranef", "--json", "--encoding", "--progress")
    for word in (*options, "condsd", "varcorr"):
        assert word in text


# -- demo --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo") / "made" / "here"
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert main(["demo", "--output", str(directory)]) == 0
    return directory, out.getvalue()


def test_the_demo_fits_a_terminal(demonstrated):
    directory, text = demonstrated
    lines = text.replace(str(directory), "demo-output").splitlines()
    assert len(lines) <= 70
    assert max(map(len, lines)) <= 80


def test_the_demo_shows_every_subject_with_its_blups(demonstrated, sleepstudy):
    fit = mme.lmer(FORMULA, sleepstudy)
    assert fit.summary() in demonstrated[1]
    rows = re.findall(r"^(\d{3}) +10 +(\S+) +(\S+) +(\S+) +(\S+) +(\S+) +(\S+) ", demonstrated[1], re.MULTILINE)
    assert len(rows) == 18
    for subject, *cells in rows:
        own_intercept, intercept, _, own_slope, slope, weight = map(float, cells)
        records = sleepstudy[sleepstudy["Subject"] == subject]
        line = np.polyfit(records["Days"], records["Reaction"], 1)
        assert (own_slope, own_intercept) == pytest.approx(line, abs=0.051)
        assert (intercept, slope) == pytest.approx(fit.ranef()["Subject"].loc[subject].to_numpy(), abs=0.051)
        assert 0.0 < weight < 1.0


def test_the_demo_finds_hendersons_equations_in_agreement(demonstrated):
    differences = re.search(
        r"^BLUE (\S+), BLUP (\S+), standard error (\S+), PEV (\S+)\.$", demonstrated[1], re.MULTILINE
    )
    assert all(float(number) < 1e-8 for number in differences.groups())


def test_the_demo_writes_the_files_it_names(demonstrated):
    directory, text = demonstrated
    named = re.search(r"^Written: (.*)$", text, re.MULTILINE).group(1).split(", ")
    assert [Path(name).name for name in named] == ["summary.txt", "blup.csv", "fit.json"]
    assert sorted(directory.iterdir()) == sorted(map(Path, named))
    assert json.loads((directory / "fit.json").read_text())["method"] == "REML"
    assert (directory / "summary.txt").read_text() in text
    assert len(pd.read_csv(directory / "blup.csv")) == 36


def test_a_demo_that_cannot_write_says_so(command, here):
    Path("file").write_text("")
    code, out, err = command("demo", "--output", "file/inside")
    assert (code, out) == (1, "")
    assert err.startswith("mme: cannot make the directory file/inside: ")


def test_the_readme_shows_what_the_command_line_prints(command, csv):
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("installed without its README")
    shown = re.search(r'```console\n\$ python -m mme fit "(.*)" .*\n((?s:.*?))```', readme.read_text(encoding="utf-8"))
    code, out, _ = command("fit", shown.group(1), csv)
    number = re.compile(r"-?\d+\.\d+")
    assert (code, number.sub("#", out)) == (0, number.sub("#", shown.group(2)))
    for ours, theirs in zip(number.findall(out), number.findall(shown.group(2)), strict=True):
        unit = 10.0 ** -len(theirs.partition(".")[2])
        assert float(ours) == pytest.approx(float(theirs), abs=1.01 * unit)  # the last digit is the platform's
