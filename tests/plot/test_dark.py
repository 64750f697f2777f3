"""Pictures follow dark paper, are written as vectors, and give the tables behind them."""

import inspect
import io

import numpy as np
import pandas as pd
import pytest
from cases import load_data

import mme
from mme.plot.style import INK

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'mme[plot]'")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def sleep():
    return mme.lmer("Reaction ~ Days + (Days | Subject)", load_data("sleepstudy"))


def test_on_dark_paper_nothing_is_drawn_in_dark_ink(sleep):
    same = matplotlib.colors.same_color
    for name in ("residuals", "caterpillar", "effects", "coefficients"):
        arguments = ("Days",) if name == "effects" else ()
        with plt.style.context("dark_background"):
            ax = np.ravel(getattr(sleep.plot, name)(*arguments))[0]
        assert not any(same(line.get_color(), INK) for line in ax.lines)
        assert not same(ax.xaxis.label.get_color(), INK)
        assert same(ax.figure.get_facecolor(), "black")
    assert same(sleep.plot.residuals().lines[0].get_color(), INK)


def test_pictures_are_written_as_vectors(sleep):
    for kind, begins in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        file = io.BytesIO()
        sleep.plot.effects("Days").figure.savefig(file, format=kind)
        assert file.getvalue().startswith(begins)


def test_tables_behind_the_pictures(sleep):
    table = sleep.plot.caterpillar(data=True)
    assert list(table) == ["Subject", "coefficient", "estimate", "lower", "upper"]
    np.testing.assert_allclose(table["estimate"], sleep.ranef()["Subject"].to_numpy().ravel())
    np.testing.assert_allclose(sleep.plot.residuals(data=True)["residual"], sleep.scaled_residuals())
    assert sleep.plot.variance(data=True).equals(sleep.variance_shares())
    assert sleep.plot.shrinkage(data=True).equals(sleep.shrinkage()["Subject"])


def _every_picture():
    sleep = mme.lmer("Reaction ~ Days + (Days | Subject)", load_data("sleepstudy"))
    herds = mme.glmer("incidence ~ period + (1 | herd)", mme.load("cbpp"), "poisson", exposure="size")
    for fit in (sleep, herds):
        for name in dir(fit.plot):
            if not name.startswith("_") and callable(getattr(fit.plot, name)):
                yield fit, name


def test_every_picture_has_its_table():
    names = set()
    for fit, name in _every_picture():
        x = "Days" if fit.formula.startswith("Reaction") else "period"
        assert "data" in inspect.signature(getattr(fit.plot, name)).parameters, name
        if name in ("interaction", "field", "variogram", "correlations", "biplot"):
            continue  # of two variables, or of fields and several environments
        needed = (x,) if name == "effects" else ()
        found = getattr(fit.plot, name)(*needed, data=True)
        tables = found.values() if isinstance(found, dict) else [found]
        for table in tables:
            assert isinstance(table, pd.DataFrame), name
            assert len(table) > 0, name
            assert not table.select_dtypes("number").empty, name
        names.add(name)
        assert plt.get_fignums() == [], f"{name} draws although its table is asked for"
    assert len(names) >= 17


def test_tables_are_what_is_drawn(sleep):
    table = sleep.plot.qq(data=True)
    drawn = np.concatenate([part.get_offsets() for part in sleep.plot.qq().collections[1:]])
    order = np.argsort(drawn[:, 0])
    np.testing.assert_allclose(drawn[order], table[["normal", "value"]])
    profile = sleep.profile("sigma")
    table = sleep.plot.zeta(profile, data=True)
    assert set(table["parameter"]) == {"sigma"}
    checks = sleep.plot.check(data=True)
    assert {"residuals", "qq", "effects of Subject", "influence", "predictive"} == set(checks)
    regions = sleep.plot.pairs(data=True)
    assert {*regions["share"]} == {0.5, 0.8, 0.95}
    herds = mme.glmer("incidence ~ period + (1 | herd)", mme.load("cbpp"), "poisson", exposure="size")
    bars = herds.plot.rootogram(data=True)
    assert bars["observed"].sum() == 56
    assert bars["expected"].sum() == pytest.approx(56.0, rel=0.05)
    runs = herds.plot.binned(data=True)
    assert runs["records"].sum() == 56


def test_on_dark_paper_cells_and_notes_are_seen():
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(900), 4), rng.normal(size=3600)
    y = rng.normal(size=900)[g] + x * rng.normal(size=900)[g] + rng.normal(size=3600)
    fit = mme.lmer("y ~ x + (x | g)", {"y": y, "x": x, "g": g})
    with plt.style.context("dark_background"):
        cells = fit.plot.residuals().images[0]
        field = fit.plot.shrinkage()
    faint, dense = (sum(cells.get_cmap()(share)[:3]) for share in (0.0, 1.0))
    assert dense > faint
    boxes = [text.get_bbox_patch() for text in field.texts if text.get_bbox_patch() is not None]
    assert boxes
    assert all(sum(box.get_facecolor()[:3]) < 1.0 for box in boxes)
    said = " ".join(text.get_text() for text in field.texts)
    assert "means of all 900 levels" in said


def test_names_of_influential_levels_do_not_lie_on_each_other():
    from mme.plot.influence import place_names

    values = np.zeros(40)
    values[[10, 11, 12]] = [1.0, 0.99, 0.98]
    found = place_names(values, [10, 11, 12], ["first", "second", "third"])
    spans = [(start, end, y) for _, start, end, y in found]
    for i, (a, b, y) in enumerate(spans):
        for c, d, z in spans[:i]:
            assert b < c or d < a or abs(y - z) > 0.03


def test_a_binomial_response_is_called_by_its_successes():
    fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"), "binomial")
    assert fit.plot.effects("period").get_ylabel() == "probability of incidence"
