"""The report of a generalised fit is one file with tables, findings and pictures."""

import re

import pytest

import mme
from tests.glmm import glmm_case, glmm_fit

pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'mme[plot]'")


@pytest.mark.parametrize(
    ("name", "pictures"), [("cbpp_logit", 6), ("cross_pois", 8), ("sitka_gamma", 5), ("singular_slope", 6)]
)
def test_the_report_has_a_picture_of_each_factor_and_of_the_residuals(tmp_path, name, pictures):
    glmm_fit(name).report(tmp_path / "fit.html")
    page = (tmp_path / "fit.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == pictures
    assert "Four variances that are easily confused, on the scale of the link" in page
    assert "What is unusual" in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    text = glmm_fit(name).summary()
    for estimate in re.findall(
        r"^\S+ +(-?\d\S+) +\d", text.split("Fixed effects:")[1].split("Correlation")[0], re.MULTILINE
    ):
        assert estimate in page


def test_its_heading_is_the_response_or_what_is_said(tmp_path):
    fit = glmm_case("tiny_pois").fit()
    fit.report(tmp_path / "one.html", title="Counts & more")
    assert "<h1>Counts &amp; more</h1>" in (tmp_path / "one.html").read_text()
    fit.report(tmp_path / "two.html")
    assert f"<h1>{fit.model.response} by g</h1>" in (tmp_path / "two.html").read_text()
    with pytest.raises(mme.MMEError, match="title must be text or None, got 3"):
        fit.report(tmp_path / "x.html", title=3)
    with pytest.raises(mme.MMEError, match="cannot write"):
        fit.report(tmp_path / "no" / "x.html")
