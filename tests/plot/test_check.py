"""The panel of checks and its parts hold the numbers of the diagnoses that they show."""

import numpy as np
import pandas as pd
import pytest
from cases import load_data

import mme
from mme.plot.style import running

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


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=240), "g": np.arange(240) % 24})
    data["y"] = rng.poisson(np.exp(0.5 + 0.4 * data["x"] + 0.5 * rng.normal(size=24)[data["g"]]))
    return mme.glmer("y ~ x + (1 | g)", data, family="poisson")


def titles(axes):
    return [ax.get_title(loc="left") for ax in axes.ravel() if ax.get_visible()]


def test_the_panel_shows_residuals_effects_influence_and_draws(sleep, counts):
    assert titles(sleep.plot.check(nsim=10)) == [
        *("Residuals against fitted values", "Residuals", "Homogeneity of spread"),
        *("(Intercept) by Subject", "Days by Subject", "Influence of Subject", "Responses that the model draws"),
    ]
    shown = titles(counts.plot.check(nsim=10))
    assert shown[0] == "Residuals against the linear predictor"
    assert shown[-2:] == ["Influence of g", "Responses that the model draws"]


def test_a_model_without_groups_has_a_panel_too():
    fit = mme.lmer("Reaction ~ Days", load_data("sleepstudy"))
    assert titles(fit.plot.check(nsim=5))[-1] == "Responses that the model draws"


def test_residuals_that_are_whitened_together_are_normalised_ones():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"y": rng.normal(size=60), "t": np.arange(60), "line": np.arange(60) // 20, "g": np.arange(60) % 6}
    )
    fit = mme.lmer("y ~ t + (1 | g)", data, residual=mme.AR1("t", "line"))
    axes = fit.plot.check(nsim=5)
    assert axes[0, 0].get_ylabel() == "normalised residual"
    assert "Influence of g" not in titles(axes)


def test_influence_is_cooks_distance_and_names_the_greatest(sleep, counts):
    pd.testing.assert_series_equal(sleep.plot.influence(data=True)["cooks_distance"], sleep.cooks_distance("Subject"))
    ax = sleep.plot.influence()
    greatest = sleep.cooks_distance("Subject").nlargest(3).index
    assert {text.get_text() for text in ax.texts} == set(greatest)
    np.testing.assert_allclose(counts.plot.influence(data=True).iloc[:, 0], counts.cooks_distance("g"))


def test_the_density_of_the_response_integrates_to_one_and_has_its_mean(sleep):
    table = sleep.plot.predictive(nsim=8, data=True)
    assert table["draw"].nunique() == 9
    observed = table[table["draw"] == 0]
    step = observed["value"].diff().iloc[-1]
    assert observed["density"].sum() * step == pytest.approx(1.0, abs=0.02)
    mean = (observed["value"] * observed["density"]).sum() * step
    assert mean == pytest.approx(load_data("sleepstudy")["Reaction"].mean(), rel=0.02)


def test_counts_have_their_frequencies(counts):
    table = counts.plot.predictive(nsim=8, data=True)
    observed = table[table["draw"] == 0].set_index("value")["density"]
    y = counts.internals.problem.data.y
    np.testing.assert_allclose(observed[observed > 0], np.unique(y, return_counts=True)[1] / y.size)


def test_residuals_by_group_are_sorted_by_their_median(sleep):
    table = sleep.plot.by_group(data=True)
    r = pd.Series(sleep.scaled_residuals().to_numpy()).groupby(load_data("sleepstudy")["Subject"].to_numpy()).median()
    np.testing.assert_allclose(table["median"], r.sort_values())
    ax = sleep.plot.by_group()
    assert [text.get_text() for text in ax.get_yticklabels()] == table.index.tolist()


def test_running_quartiles_reach_both_ends():
    x = np.arange(100.0)
    centre, quartiles = running(x, x**2, 5)
    assert (centre[0], centre[-1]) == (0.0, 99.0)
    assert quartiles.shape == (3, 7)
    np.testing.assert_array_equal(quartiles[:, 0], quartiles[:, 1])


def test_names_of_levels_do_not_lie_on_each_other():
    rng = np.random.default_rng(3)
    g = np.repeat([f"a long name of a level {k}" for k in range(28)], 8)
    x = rng.normal(size=g.size)
    data = {"y": x + np.repeat(rng.normal(size=28), 8) + rng.normal(size=g.size), "x": x, "g": g}
    ax = mme.lmer("y ~ x + (x | g)", data).plot.shrinkage()
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text().startswith("a long")]
    assert 2 <= len(boxes) < 28
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
