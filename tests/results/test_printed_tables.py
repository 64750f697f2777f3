"""Tables of results as text, Markdown, LaTeX, HTML and Word."""

import pickle
from xml.etree import ElementTree

import pandas as pd
import pytest

import mme
from mme.results.frames import framed
from mme.results.latex import table as latex_table


@pytest.fixture(scope="module")
def table():
    return mme.lmer("yield ~ nitro * Variety + (1 | Block)", mme.load("Oats")).coefficients()


def test_a_frame_of_results_prints_its_numbers_aligned_and_p_as_papers_do(table):
    assert repr(table).split("\n")[:3] == [
        "                        estimate    se   df      t      p",
        "(Intercept)                81.90  8.29 11.8  9.879 <0.001",
        "nitro                      75.33 14.13 61.0  5.331 <0.001",
    ]
    assert isinstance(table, pd.DataFrame)
    assert table["p"].iloc[0] < 1e-6  # the numbers are all there
    assert type(table.round(3)) is pd.DataFrame


def test_no_column_is_left_out_of_eighty_characters(table):
    wide = framed(pd.concat([table, table.add_prefix("other_"), table.add_prefix("third_")], axis=1))
    text = repr(wide)
    assert max(map(len, text.split("\n"))) <= 80
    assert "..." not in text
    for name in wide.columns:
        assert name in text


def test_of_many_rows_the_first_and_last_are_printed_and_the_others_counted():
    frame = framed(pd.DataFrame({"estimate": range(1000), "p": 0.5}))
    assert "950 rows between the first 40 and the last 10 are not shown." in repr(frame)
    assert len(frame.table().rows) == 1000


def test_missing_values_are_empty_cells():
    frame = framed(
        pd.DataFrame({"npar": [3, 4], "lrt": [float("nan"), 2.5], "p": [float("nan"), 0.2]}, index=["a", "b"])
    )
    assert repr(frame) == "  npar   lrt     p\na    3\nb    4 2.500 0.200"


def test_latex_has_the_rules_of_booktabs_and_escapes_names():
    frame = framed(pd.DataFrame({"estimate": [-1.5], "p": [1e-9]}, index=["x_1:f&g"]), "50% of it", ["a < b."])
    text = frame.table().to_latex(label="tab:x")
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"x\_1:f\&g & $-$1.5", r"$<$0.001 \\", r"50\% of it"):
        assert part in text
    assert r"\label{tab:x}" in text
    assert r"\begin{tabular}{lrr}" in text
    assert r"a $<$ b." in text


def test_markdown_has_a_row_of_dashes_and_no_bare_bars():
    frame = framed(pd.DataFrame({"estimate": [1.5]}, index=["a|b"]))
    lines = frame.table().to_markdown().split("\n")
    assert lines[1] == "| ---- | -------: |"
    assert lines[2] == "| a\\|b |      1.5 |"


def test_html_is_well_formed_and_escaped(table):
    root = ElementTree.fromstring(framed(table.rename(index={"nitro": "a<b"}), "T & U")._repr_html_())
    assert root.find("table/caption").text == "T & U"
    assert len(root.findall("table/tbody/tr")) == len(table)
    assert root.find("table/tbody/tr[2]/td").text == "a<b"


def test_word_documents_hold_the_cells(table, tmp_path):
    docx = pytest.importorskip("docx")
    table.table().to_docx(tmp_path / "t.docx")
    (made,) = docx.Document(tmp_path / "t.docx").tables
    cells = [[cell.text for cell in row.cells] for row in made.rows]
    assert cells[0] == ["", "estimate", "se", "df", "t", "p"]
    assert cells[1] == ["(Intercept)", "81.90", "8.29", "11.8", "9.879", "<0.001"]
    with pytest.raises(mme.MMEError, match="cannot write"):
        table.table().to_docx(tmp_path / "no" / "t.docx")


def test_frames_of_results_survive_pickling(table):
    again = pickle.loads(pickle.dumps(table))
    assert again.equals(table)
    assert repr(again) == repr(table)


def test_rows_of_very_different_sizes_have_decimals_of_their_own():
    frame = framed(pd.DataFrame({"estimate": [-1062.29, 0.0005], "se": [263.3, 0.00021]}, index=["a", "b"]))
    assert repr(frame) == "  estimate      se\na    -1062     263\nb  0.00050 0.00021"


def test_parts_of_a_frame_print_themselves_too(table):
    assert repr(table.head(2)).split("\n")[1].split() == ["(Intercept)", "81.90", "8.29", "11.8", "9.879", "<0.001"]
    assert "..." not in repr(table.sort_values("p").tail(3))
    assert repr(table.query("p < 0.001")).count("\n") == 2


def test_wide_tables_are_in_smaller_letters_in_latex():
    narrow = latex_table(("a", "b"), [("x", "1.0")], (), 1, "", ())
    wide = latex_table(("a", *"bcdefg"), [("a term with a long name", *["[-1.234, 5.678]"] * 6)], (), 1, "", ())
    assert "tabcolsep" not in narrow
    assert wide.index(r"\scriptsize") < wide.index(r"\setlength{\tabcolsep}{4pt}") < wide.index(r"\begin{tabular}")
