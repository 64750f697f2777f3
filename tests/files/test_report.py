"""The report of a linear fit: sections that fold, pictures with words, checks in sentences."""

import re

import pytest
from cases import load_data

import mme

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'mme[plot]'")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "fit.html"
    mme.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", load_data("Oats")).report(path)
    return path.read_text(encoding="utf-8")


def test_sections_fold_under_their_headings(page):
    assert re.findall(r"<summary>(.*?)</summary>", page) == [
        *("Summary", "Effects", "Checks", "Variance"),
        *("Variety:Block: 18 levels", "Block: 6 levels", "Observed and fitted", "Methods", "Session"),
    ]
    assert page.count("<details") == page.count("</details>") == 9


def test_variables_that_interact_share_a_picture_and_every_picture_has_words(page):
    assert "Mean of yield over nitro within Variety, other variables at what is typical." in page
    assert all(len(text) > 20 for text in re.findall(r'alt="(.*?)"', page))
    assert page.count("alt=") == page.count("<img")


def test_checks_methods_and_session_are_told(page):
    fit = mme.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", load_data("Oats"))
    group = next(iter(fit.ranef()))
    distance = fit.cooks_distance(group)
    told = f"The most influential level of {group} is {distance.idxmax()}: Cook's distance {distance.max():.3g}."
    assert told in page
    assert "0 of 72 standardised residuals are beyond 3 standard deviations" in page
    assert "Variances were estimated by" in page
    assert f"mme {mme.__version__}, Python" in page


def test_the_page_is_alone_and_has_both_colour_schemes_and_print(page):
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert "aria-sort" in page


def test_a_picture_that_a_model_has_not_leaves_its_reason(tmp_path):
    data = load_data("Oats")
    data["t"], data["line"], data["g"] = range(72), [k // 24 for k in range(72)], [k % 6 for k in range(72)]
    fit = mme.lmer("yield ~ nitro + (1 | g)", data, residual=mme.AR1("t", "line"))
    fit.report(tmp_path / "fit.html")
    page = (tmp_path / "fit.html").read_text(encoding="utf-8")
    assert "so that no level has an estimate from its own records alone." in page
    assert "72 normalised residuals" in page
