"""Pictures of fixed effects are those of the means: their tables, their lines, their records."""

import itertools

import numpy as np
import pandas as pd
import pytest

import mme
from mme.plot.style import SERIES

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'mme[plot]'")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def pupils(n=300, groups=6):
    rng = np.random.default_rng(5)
    data = pd.DataFrame(
        {
            "year": rng.integers(1998, 2012, n),
            "method": rng.choice(["phonics", "whole word", "mixed"], n),
            "sex": rng.choice(["boy", "girl"], n),
            "treated": rng.integers(0, 2, n),
            "school": rng.integers(0, groups, n),
        }
    )
    steep = (data["method"] == "mixed") * 0.7
    data["score"] = 20.0 + (0.5 + steep) * (data["year"] - 2005) + data["treated"] + rng.normal(size=n)
    data["score"] += rng.normal(size=groups)[data["school"]]
    data["passed"] = (data["score"] + rng.normal(size=n) > 20.0).astype(int)
    data.loc[::29, "sex"] = None
    return data


@pytest.fixture(scope="module")
def data():
    return pupils()


@pytest.fixture(scope="module")
def fit(data):
    return mme.lmer("score ~ year * method + sex + treated + (1 | school)", data)


@pytest.fixture(scope="module")
def binary(data):
    return mme.glmer("passed ~ year * sex + (1 | school)", data, family="binomial")


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_table_of_an_effect_is_that_of_the_means(fit):
    table = fit.plot.effects("year", by="method", data=True)
    assert list(table) == ["year", "method", "mean", "se", "df", "lower", "upper"]
    assert table["year"].min() == 1998
    assert table["year"].max() == 2011
    means = fit.means("method", at={"year": [1998, 2011]})
    for year in (1998, 2011):
        here = table[table["year"] == year].set_index("method")
        np.testing.assert_allclose(here[["mean", "lower"]], means.loc[year][["mean", "lower"]], rtol=1e-10)


def test_lines_bands_and_records_are_of_the_levels_of_by(fit, data):
    ax = fit.plot.effects("year", by="method")
    table = fit.plot.effects("year", by="method", data=True)
    assert labels(ax) == ["method:", "mixed", "phonics", "whole word"]
    for line, level in zip(ax.lines, ["mixed", "phonics", "whole word"], strict=True):
        here = table[table["method"] == level]
        np.testing.assert_allclose(line.get_xydata(), here[["year", "mean"]])
    points = [one for one in ax.collections if type(one).__name__ == "PathCollection"]
    for one, level, colour in zip(points, ["mixed", "phonics", "whole word"], SERIES, strict=False):
        here = data[(data["method"] == level) & data["sex"].notna()]
        np.testing.assert_allclose(one.get_offsets(), here[["year", "score"]])
        assert matplotlib.colors.same_color(one.get_facecolor()[0][:3], colour)
    ax.figure.canvas.draw()
    assert "2000" in [text.get_text() for text in ax.get_xticklabels()]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("year", "score")


def test_a_factor_and_a_column_of_two_numbers_have_points_at_their_levels(fit):
    for name, levels in (("method", ["mixed", "phonics", "whole word"]), ("treated", ["0", "1"])):
        ax = fit.plot.effects(name, records=False)
        assert [text.get_text() for text in ax.get_xticklabels()] == levels
        points = next(one for one in ax.collections if type(one).__name__ == "PathCollection").get_offsets()
        np.testing.assert_allclose(points[:, 1], fit.means(name)["mean"])


def test_a_covariate_in_by_is_at_its_mean_and_a_deviation_from_it(fit, data):
    ax = fit.plot.effects("method", by="year", records=False)
    year = data["year"][data["sex"].notna()]
    expected = [f"{round(year.mean() + k * year.std(ddof=0))}" for k in (-1, 0, 1)]
    assert labels(ax) == ["year:", *expected]
    assert labels(fit.plot.effects("method", by="year", at={"year": [2000, 2010]})) == ["year:", "2000", "2010"]


def test_a_second_variable_makes_panels_and_so_do_many_levels():
    many = pupils(1200, 160)
    many["town"] = [f"town {k}" for k in many["school"] % 40]
    fit = mme.lmer("score ~ year + method + sex + town + (1 | school)", many)
    axes = fit.plot.effects("year", by=["method", "sex"])
    assert [ax.get_title(loc="left") for ax in axes.ravel()[:2]] == ["sex boy", "sex girl"]
    axes = fit.plot.effects("year", by="town")
    assert sum(ax.get_visible() for ax in axes.ravel()) == 24
    ax = fit.plot.effects("town")
    assert ax.get_yticklabels()[0].get_text() == "town 0"
    assert len(ax.get_yticks()) == 40
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


def test_effects_of_a_generalised_fit_are_on_the_scale_of_the_response(binary):
    table = binary.plot.effects("year", by="sex", data=True)
    means = binary.means("sex", at={"year": [2011]}, scale="response")
    here = table[table["year"] == 2011].set_index("sex")
    np.testing.assert_allclose(here["mean"], means["mean"], rtol=1e-10)
    assert binary.plot.effects("year").get_ylabel() == "probability of passed"
    link = binary.plot.effects("year", scale="link")
    assert link.get_ylabel() == "logit of passed"
    assert not [one for one in link.collections if type(one).__name__ == "PathCollection"]


def test_ordered_categories_have_a_line_each(data):
    graded = data.assign(grade=pd.cut(data["score"], 3, labels=["low", "middle", "high"]))
    fit = mme.glmer("grade ~ sex + year + (1 | school)", graded, family="ordinal")
    ax = fit.plot.effects("year")
    assert labels(ax) == ["category:", "low", "middle", "high"]
    np.testing.assert_allclose(sum(line.get_ydata() for line in ax.lines), 1.0)


def test_what_was_done_to_the_response_is_undone(data):
    fit = mme.lmer("log(score) ~ year + (1 | school)", data[data["score"] > 1.0])
    inside, outside = (fit.plot.effects("year", scale=scale, data=True) for scale in (None, "response"))
    np.testing.assert_allclose(np.log(outside["upper"]), inside["upper"])
    assert fit.plot.effects("year", scale="response").get_ylabel() == "score  (back from log(score))"


def test_without_its_table_a_fit_draws_what_its_matrix_tells(fit, tmp_path):
    fit.save(tmp_path / "fit.mme")
    loaded = mme.load_fit(tmp_path / "fit.mme")
    pd.testing.assert_frame_equal(
        loaded.plot.effects("year", by="method", data=True), fit.plot.effects("year", by="method", data=True)
    )


def test_names_that_are_none_of_the_fixed_part_are_refused(fit):
    with pytest.raises(mme.MMEError, match="'school' is no variable of the fixed part; its variables are"):
        fit.plot.effects("school")
    with pytest.raises(mme.MMEError, match="at most two others"):
        fit.plot.effects("year", by=["sex", "method", "treated"])
