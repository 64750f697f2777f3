"""A fit as a paper shows it: one table, several models side by side, a paragraph."""

import re

import numpy as np
import pytest

import mme


@pytest.fixture(scope="module")
def slopes():
    return mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))


@pytest.fixture(scope="module")
def intercepts():
    return mme.lmer("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"), method="ML")


def cells(table):
    """The cells by their label, without those that are empty."""
    return {row[0]: [cell for cell in row[1:] if cell] for row in table.rows}


def test_the_table_of_a_fit_has_its_numbers(slopes):
    table = slopes.table()
    found, exact = cells(table), slopes.coefficients()
    assert found["Days"] == ["10.47", "1.55", "[7.21, 13.73]", "17.0", "6.77", "<0.001"]
    assert found["SD Days | Subject"] == ["5.92"]
    assert found["Cor (Intercept), Days | Subject"] == ["0.07"]
    assert found["SD residual"] == ["25.6"]
    np.testing.assert_allclose(table.frame["p"], exact["p"])
    np.testing.assert_allclose(table.frame[["lower", "upper"]], slopes.confint())
    assert max(map(len, repr(table).split("\n"))) <= 80
    assert "by Satterthwaite" in repr(table)
    assert "Kenward and Roger" in repr(slopes.table(ddf="kr"))


def test_tables_are_written_for_latex_markdown_html_and_word(slopes, intercepts, tmp_path):
    docx = pytest.importorskip("docx")
    for table in (slopes.table(), mme.compare(slopes, intercepts)):
        latex = table.to_latex()
        assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 1
        widths = {line.count("&") for line in latex.split("\n") if line.endswith(r"\\") and "multicolumn" not in line}
        assert len(widths) == 1
        assert latex.count("{") == latex.count("}")
        assert "| **Fixed effects** |" in re.sub(" +", " ", table.to_markdown())
        assert "<td" in table.to_html()
        table.to_docx(tmp_path / "t.docx")
        (made,) = docx.Document(tmp_path / "t.docx").tables
        assert len(made.rows) == len(table.rows) + 1


def test_models_stand_side_by_side_with_the_union_of_their_terms(slopes, intercepts):
    table = mme.compare(intercepts, slopes, names=["one", "two"])
    assert table.header == ("", "one", "two")
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["SD Days | Subject"] == ("", "5.92")
    assert rows["Days"] == ("10.467 (0.802)", "10.467 (1.546)")
    assert rows["Observations"] == ("180", "180")
    assert rows["AIC"][0] == f"{intercepts.aic:.2f}"
    assert rows["AIC (REML)"][1] == f"{slopes.aic:.2f}"
    assert rows["ICC"] == tuple(f"{fit.icc()['all']:.2f}" for fit in (intercepts, slopes))
    frame = table.frame.set_index(["model", "term"])
    assert frame.loc[("two", "Days"), "se"].item() == pytest.approx(slopes.se["Days"])


def test_styles_show_intervals_or_columns_of_their_own(slopes, intercepts):
    interval = {row[0]: row[1:] for row in mme.compare(slopes, style="interval").rows}
    assert interval["Days"] == ("10.47 [7.21, 13.73]",)
    apa = mme.compare(intercepts, slopes, style="apa")
    assert apa.header[1:4] == ("(1) b", "(1) 95% CI", "(1) p")
    assert {row[0]: row[3] for row in apa.rows}["Days"] == "< .001"
    assert max(map(len, repr(apa).split("\n"))) <= 80
    with pytest.raises(mme.MMEError, match="style must be one of 'se'"):
        mme.compare(slopes, style="nature")
    with pytest.raises(mme.MMEError, match="names must be 2 different names"):
        mme.compare(slopes, intercepts, names=["a"])
    with pytest.raises(mme.MMEError, match="one fit or more"):
        mme.compare()


def test_what_cannot_be_compared_is_said(slopes):
    other = slopes.update("~ . - Days")
    assert "with different fixed effects are of different data" in " ".join(repr(mme.compare(slopes, other)).split())
    fewer = slopes.update(subset="Days > 2", method="ML")
    assert "different numbers of records" in " ".join(repr(mme.compare(slopes, fewer)).split())


def test_generalised_fits_have_tables_and_words_too():
    fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"))
    found = cells(fit.table())
    assert found["period2"] == ["-0.992", "0.307", "[-1.593, -0.391]", "-3.24", "0.001"]
    assert found["SD (Intercept) | herd"] == ["0.642"]
    text = " ".join(fit.methods_text().split())
    assert "generalised linear mixed model (binomial distribution, logit link) to 56 observations" in text
    assert "maximum likelihood (Laplace)" in text


def test_the_paragraph_says_what_was_done_and_what_is_unusual(slopes):
    text = " ".join(slopes.methods_text().split())
    for part in (
        "linear mixed model to 180 observations of Reaction with fixed effects of Days",
        "intercepts and slopes of Days, correlated, for 18 levels of Subject",
        "restricted maximum likelihood (REML)",
        "Satterthwaite's method",
        f"mme {mme.__version__}",
    ):
        assert part in text
    assert "boundary" not in text
    assert "Kenward and Roger" in slopes.methods_text(ddf="kr")
    flat = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff2")).methods_text()
    assert "boundary of the model" in " ".join(flat.split())
    gaps = mme.load("sleepstudy").assign(Days=lambda d: d["Days"].where(d["Days"] > 0))
    text = mme.lmer("Reaction ~ Days + (1 | Subject)", gaps).methods_text()
    assert "18 rows with missing values were left out" in " ".join(text.split())
    least = " ".join(mme.lm("Reaction ~ Days", mme.load("sleepstudy")).methods_text().split())
    assert "a linear model" in least
    assert "on 178 degrees of freedom" in least
