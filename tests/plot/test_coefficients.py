"""Pictures of coefficients and of interactions hold the numbers of the tables."""

import numpy as np
import pandas as pd
import pytest
from cases import load_data

import mme

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'mme[plot]'")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def oats():
    return mme.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", load_data("Oats"))


def points(ax):
    return [np.asarray(one.get_offsets()) for one in ax.collections if type(one).__name__ == "PathCollection"]


def test_one_model_has_a_row_a_coefficient_with_its_interval(oats):
    ax = oats.plot.coefficients(level=0.9)
    expected = oats.confint(method="wald", level=0.9).loc[list(oats.fixed_names[1:])]
    assert [text.get_text() for text in ax.get_yticklabels()] == list(oats.fixed_names[:0:-1])
    np.testing.assert_allclose(points(ax)[0][:, 0], oats.beta[1:])
    lines = next(one for one in ax.collections if hasattr(one, "get_segments")).get_segments()
    np.testing.assert_allclose([line[:, 0] for line in lines], expected.to_numpy(), rtol=1e-6)
    assert "(Intercept)" in set(oats.plot.coefficients(intercept=True, data=True)["term"])


def test_several_models_stand_side_by_side(oats):
    small = oats.update("~ . - nitro:Variety")
    table = oats.plot.coefficients(small, names=["full", "small"], data=True)
    assert table["model"].value_counts().to_dict() == {"full": 5, "small": 3}
    ax = oats.plot.coefficients(small, names=["full", "small"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["full", "small"]
    np.testing.assert_allclose(points(ax)[1][:, 0], small.beta[1:])
    assert not set(points(ax)[0][:, 1]) & set(points(ax)[1][:, 1])
    with pytest.raises(mme.MMEError, match="2 different names are needed"):
        oats.plot.coefficients(small, names=["a"])
    with pytest.raises(mme.MMEError, match="draws fits"):
        oats.plot.coefficients(3)


def test_means_of_an_interaction_are_joined_within_levels(oats):
    ax = oats.plot.interaction("Variety", "nitro", at={"nitro": [0.0, 0.6]})
    means = oats.means("Variety", at={"nitro": [0.0, 0.6]})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["nitro:", "0", "0.6"]
    for line, nitro in zip(ax.lines, (0.0, 0.6), strict=True):
        np.testing.assert_allclose(line.get_ydata(), means.loc[nitro]["mean"])
    pd.testing.assert_frame_equal(
        oats.plot.interaction("Variety", "nitro", data=True), oats.plot.effects("Variety", "nitro", data=True)
    )


def test_effects_beside_calendar_years_are_those_of_the_centred_model():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"year": np.tile(np.arange(2001.0, 2013.0), 20), "g": np.repeat(np.arange(20), 12)})
    data["arm"] = np.where(data["g"] % 2, "b", "a")
    slope = rng.normal(0.1, 0.05, 20)[data["g"]]
    data["y"] = slope * (data["year"] - 2006.5) + rng.normal(size=20)[data["g"]] + rng.normal(size=240)
    fit = mme.lmer("y ~ arm * year + (year | g)", data)
    centred = mme.lmer("y ~ arm * year + (year | g)", data.assign(year=data["year"] - 2006.5))
    table, expected = fit.plot.coefficients(data=True), centred.plot.coefficients(data=True)
    numbers = ["estimate", "se", "lower", "upper"]
    np.testing.assert_allclose(table[numbers], expected[numbers], rtol=1e-4)
    assert "at the mean, year 2006" in fit.plot.coefficients().get_xlabel()
    plain = fit.plot.coefficients(centre=False, data=True).set_index("term")["estimate"]
    assert plain["armb"] == pytest.approx(fit.beta["armb"])
    levels, at_mean = fit.plot.caterpillar(data=True), centred.plot.caterpillar(data=True)
    assert levels["coefficient"].iloc[0] == "(Intercept) at year 2006"
    np.testing.assert_allclose(levels[["estimate", "upper"]], at_mean[["estimate", "upper"]], atol=2e-4)
    drawn, own = points(fit.plot.shrinkage())[:2], centred.shrinkage()["g"]
    np.testing.assert_allclose(drawn[0][:, 0], own["no_pooling"].to_numpy()[::2], atol=1e-3)


def test_a_dollar_is_a_dollar_and_a_level_without_a_mean_is_named():
    data = load_data("Oats")
    data["pay"] = np.where(data["Variety"] == "Victory", "$1 or $2", "none")
    data = data[~((data["pay"] == "none") & (data["nitro"] == 0.0))]
    fit = mme.lmer("yield ~ pay * factor(nitro) + (1 | Block)", data)
    ax = fit.plot.effects("factor(nitro)", by="pay")
    assert [text.get_text() for text in ax.texts] == ["not estimable"]
    assert not any(text.get_parse_math() for text in ax.get_legend().get_texts())
