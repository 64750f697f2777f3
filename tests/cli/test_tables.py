"""Where the table of a command line comes from, and what of it is missing."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mme
from mme.__main__ import main
from mme.cli.quoted import words_of
from mme.cli.read import read_table
from mme.cli.source import Source

FORMULA = "y ~ x + (1 | g)"


def read(text: str, missing: str | None = None, formula: str = FORMULA) -> pd.DataFrame:
    """The table of a text that came through a pipe."""
    return read_table(Source("standard input", None, text.encode()), formula, "utf-8-sig", words_of(missing))


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
def test_a_label_in_quotes_that_reads_like_a_missing_value_is_a_label(separator):
    rows = ["y,x,g", '1,2,"NA"', "2,3,NA", '3,4,"None"', '4,5,"a"', '5,6,"null"', "6,7,"]
    table = read("\n".join(rows[: 6 if separator == " " else None]).replace(",", separator))
    assert table["g"].iloc[[0, 2, 3, 4]].tolist() == ["NA", "None", "a", "null"]
    assert table["g"].isna().tolist()[:2] == [False, True]
    assert table["y"].tolist()[:5] == [1, 2, 3, 4, 5]


def test_a_number_that_is_missing_in_quotes_is_missing():
    table = read('y,x,g\n1,"NA",b\n2,3,"NA"\n3,,a\n')
    np.testing.assert_array_equal(table["x"], [np.nan, 3, np.nan])
    assert table["g"].tolist() == ["b", "NA", "a"]


def test_a_quoted_field_may_hold_separators_and_line_ends_beside_such_a_label():
    table = read('y,x,g\n1,2,"a, ""NA"", b"\n2,3,"two\nlines"\n3,4,"NA"\n4,5,NA\n')
    assert table["g"].tolist()[:3] == ['a, "NA", b', "two\nlines", "NA"]
    assert table["g"].isna().tolist() == [False, False, False, True]


def test_words_of_the_user_are_missing_in_place_of_the_usual_ones():
    table = read("y,x,g\n.,-999,NA\n2,3,.\n3,4,b\n", ".,-999")
    np.testing.assert_array_equal(table["y"], [np.nan, 2, 3])
    np.testing.assert_array_equal(table["x"], [np.nan, 3, 4])
    assert table["g"].tolist()[::2] == ["NA", "b"]
    assert table["g"].isna().tolist() == [False, True, False]


def test_a_stray_value_is_named_with_its_row_and_column_and_what_to_do():
    rows = [f"{i},{i % 5},a" for i in range(30)]
    rows[16] = ".,1,a"
    with pytest.raises(mme.MMEError, match=r"'\.' in row 17 of column 'y' is not a number; .*--missing '\.'"):
        read("\n".join(["y,x,g", *rows]))


def test_a_stray_value_of_a_table_in_memory_is_named_too():
    data = {"y": ["1", "2", ".", "4"] * 6, "g": list("aabbcc") * 4, "z": ["1", "2.5"] * 12}
    with pytest.raises(mme.MMEError, match=r"'y' needs numbers, but '\.' in row 3 is none, nor are 5 others"):
        mme.lmer("y ~ 1 + (1 | g)", data)
    with pytest.raises(mme.MMEError, match="text that spells them"):
        mme.lmer("z ~ 1 + (1 | g)", data)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("parquet", [False, True])
def test_standard_input_is_a_file_like_any_other(monkeypatch, capsys, packed, parquet):
    sleep, into = mme.load("sleepstudy"), io.BytesIO()
    if parquet:
        sleep.to_parquet(into)
    else:
        sleep.to_csv(into, index=False)
    content = gzip.compress(into.getvalue()) if packed else into.getvalue()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    formula = "Reaction ~ Days + (Days | Subject)"
    assert main(["fit", formula, "-"]) == 0
    assert capsys.readouterr().out == mme.lmer(formula, sleep).summary()


def test_a_pipe_between_processes_is_read_once(tmp_path):
    if sys.platform == "win32":
        pytest.skip("no pipes with names here")
    Path(tmp_path / "s.csv").write_text(mme.load("sleepstudy").to_csv(index=False))
    command = f"{sys.executable} -m mme fit 'Reaction ~ Days + (1 | Subject)' <(cat {tmp_path}/s.csv)"
    root = Path(mme.__file__).parents[1]
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "REML criterion at convergence: 1786.4651" in done.stdout


def test_damaged_standard_input_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b"y,x,g\n1,2,3\n" * 99)[:25])))
    assert main(["fit", FORMULA, "-"]) == 1
    assert capsys.readouterr().err.startswith("mme: standard input cannot be unpacked")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_a_mark_of_the_encoding_is_enough(encoding, tmp_path):
    text = "y,x,g\n1,2,ä\n2,3,ß\n"
    held = Source("standard input", None, text.encode(encoding))
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    for source in (held, Source("a.csv", tmp_path / "a.csv")):
        assert read_table(source, FORMULA)["g"].tolist() == ["ä", "ß"]


@pytest.mark.parametrize("separator", [", ", "; ", "\t "])
def test_blanks_behind_separators_are_in_no_name_and_no_label(separator):
    table = read("y,x,g\n1,2,007\n2,3,b c\n".replace(",", separator))
    assert list(table.columns) == ["y", "x", "g"]
    assert table["g"].tolist() == ["007", "b c"]


def test_a_name_that_occurs_twice_is_refused_where_the_formula_takes_it(tmp_path, capsys):
    rows = [f"{(3 * i) % 7},{i % 5},{i},{i % 4}" for i in range(30)]
    (tmp_path / "a.csv").write_text("\n".join(["y,x,x,g", *rows]))
    assert main(["fit", FORMULA, str(tmp_path / "a.csv")]) == 1
    assert "several columns are called 'x'" in capsys.readouterr().err
    assert main(["fit", "y ~ 1 + (1 | g)", str(tmp_path / "a.csv")]) == 0
