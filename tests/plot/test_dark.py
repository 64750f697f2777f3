"""Pictures follow dark paper, are written as vectors, and give the tables behind them."""

import io

import numpy as np
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
