"""What the pictures show: contents of the axes, at 10, 100 and 10,000 groups; no pixels."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from cases import load_data
from scipy.stats import norm

import mme
from mme.plot.style import LINES, NAMED, POINTS, central, density, png, spread
from mme.plot.words import units

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'mme[plot]'")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def simulated(J, seed=1):
    """Scores of J children over some weeks."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), rng.integers(3, 12, J))
    week = rng.uniform(0.0, 10.0, g.size).round(1)
    b = rng.multivariate_normal([0.0, 0.0], [[4.0, 0.6], [0.6, 0.3]], J)
    score = 20.0 + 1.2 * week + b[g, 0] + b[g, 1] * week + 2.0 * rng.normal(size=g.size)
    return pd.DataFrame({"score": score, "week": week, "child": [f"c{i:05d}" for i in g]})


@pytest.fixture(scope="module")
def fits():
    return {J: mme.lmer("score ~ week + (week | child)", simulated(J)) for J in (10, 100, 10_000)}


@pytest.fixture(scope="module")
def scalar():
    return {J: mme.lmer("score ~ week + (1 | child)", simulated(J)) for J in (10, 100, 10_000)}


@pytest.fixture(scope="module")
def sleep():
    return mme.lmer("Reaction ~ Days + (Days | Subject)", load_data("sleepstudy"))


def offsets(ax):
    """Points of all scatters of the axes, one array each."""
    return [np.asarray(one.get_offsets()) for one in ax.collections if one.__class__.__name__ == "PathCollection"]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def ticks(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


# -- caterpillar ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("J", [10, 100])
@pytest.mark.parametrize("variance", ["pev", "condvar"])
def test_the_caterpillar_has_every_blup_with_its_interval_in_order(fits, J, variance):
    fit = fits[J]
    axes = fit.plot.caterpillar(level=0.9, variance=variance)
    assert [ax.get_title(loc="left") for ax in axes] == ["(Intercept) by child", "week by child"]
    sd = np.sqrt(np.einsum("gii->gi", (fit.pev() if variance == "pev" else fit.condvar())["child"]))
    for j, ax in enumerate(axes):
        b = fit.ranef()["child"].iloc[:, j].to_numpy()
        points = np.vstack(offsets(ax))
        points = points[np.argsort(points[:, 1])]
        np.testing.assert_allclose(points[:, 0], np.sort(b), rtol=1e-12)
        np.testing.assert_array_equal(points[:, 1], np.arange(J))
        lines = [line for one in ax.collections if hasattr(one, "get_segments") for line in one.get_segments()]
        half = np.array(sorted((line[0, 1], np.ptp(line[:, 0]) / 2.0) for line in lines))[:, 1]
        np.testing.assert_allclose(half, norm.ppf(0.95) * sd[np.argsort(b, kind="stable"), j], rtol=1e-9)


def test_levels_have_their_names_while_there_are_few_and_then_the_outermost(fits):
    few = fits[10].plot.caterpillar()[0]
    assert ticks(few) == fits[10].ranef()["child"]["(Intercept)"].sort_values().index.tolist()
    many = fits[100].plot.caterpillar()[1]
    order = fits[100].ranef()["child"]["week"].sort_values().index
    assert ticks(many) == [order[0], order[-1]]
    assert ticks(fits[100].plot.caterpillar(sort=False)[0]) == ["c00099", "c00000"]
    assert fits[100].plot.caterpillar()[0].get_ylabel() == "100 levels of child, sorted"


def test_intervals_that_leave_zero_out_are_told_apart(sleep):
    ax = sleep.plot.caterpillar()[1]
    b, sd = sleep.ranef()["Subject"]["Days"], np.sqrt(sleep.pev()["Subject"][:, 1, 1])
    apart = int((np.abs(b) > norm.ppf(0.975) * sd).sum())
    assert legend(ax) == ["interval covers zero", "leaves zero out"]
    assert [len(points) for points in offsets(ax)] == [18 - apart, apart]


def test_ten_thousand_intervals_are_a_band_of_few_shapes(fits, scalar):
    for ax in [*fits[10_000].plot.caterpillar(), *scalar[10_000].plot.caterpillar()]:
        assert legend(ax) == ["range of intervals", "mean interval", "BLUP"]
        assert sum(len(path.vertices) for one in ax.collections for path in one.get_paths()) < 2000
        (curve,) = [line for line in ax.lines if len(line.get_xdata()) > 2]
        assert (np.diff(curve.get_xdata()) > 0.0).all()


# -- shrinkage --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("J", [10, 100])
def test_arrows_of_shrinkage_go_from_the_levels_own_estimate_to_its_blup(fits, J):
    fit = fits[J]
    ax = fit.plot.shrinkage()
    own, partial, pooled = offsets(ax)
    table = fit.shrinkage()["child"]
    for points, name in ((own, "no_pooling"), (partial, "partial_pooling")):
        np.testing.assert_allclose(points, table[name].unstack()[["(Intercept)", "week"]], rtol=1e-12)
    np.testing.assert_allclose(pooled[0], fit.beta, rtol=1e-12)
    (arrows,) = [one for one in ax.collections if one.__class__.__name__ == "Quiver"]
    ends = np.column_stack([arrows.X + arrows.U, arrows.Y + arrows.V])
    nearest = np.abs(ends[:, None, :] - partial[None]).max(axis=2).min(axis=1)
    assert arrows.U.size == J
    assert nearest.max() < 1e-9
    assert ax.get_xlabel() == "(Intercept)  (score)"
    assert ax.get_ylabel() == "week  (score per week)"


def test_ellipses_hold_half_and_95_percent_of_the_prior(sleep):
    ax = sleep.plot.shrinkage()
    G, beta = sleep.varcorr["Subject"].cov, sleep.beta.to_numpy()
    radii = []
    for line in ax.lines:
        points = np.column_stack(line.get_data()) - beta
        distance = np.einsum("ia,ab,ib->i", points, np.linalg.inv(G), points)
        assert np.ptp(distance) < 1e-9 * distance.max()
        radii.append(1.0 - np.exp(-distance[0] / 2.0))
    np.testing.assert_allclose(radii, [0.5, 0.95], atol=1e-4)
    assert {text.get_text() for text in ax.texts} >= {"50%", "95%", "308"}


_POOLINGS = ("no_pooling", "partial_pooling")


def cell_means(places, values):
    """Means of values by the cell of 13 x 11 that the places are in, and the cells with three or more."""
    from scipy.stats import binned_statistic_2d

    ends = [central(places[:, i], 0.98) for i in (0, 1)]
    count = binned_statistic_2d(*places.T, None, "count", [13, 11], ends).statistic.ravel()
    means = [binned_statistic_2d(*places.T, one, "mean", [13, 11], ends).statistic.ravel() for one in values.T]
    return np.array(means).T, count >= 3


def test_ten_thousand_levels_have_a_field_of_all_rasterised_points_and_a_note(fits):
    ax = fits[10_000].plot.shrinkage()
    (arrows,) = [one for one in ax.collections if one.__class__.__name__ == "Quiver"]
    estimates = [fits[10_000].shrinkage()["child"][name].to_numpy().reshape(-1, 2) for name in _POOLINGS]
    for start, expected in zip(
        ([arrows.X, arrows.Y], [arrows.X + arrows.U, arrows.Y + arrows.V]), estimates, strict=True
    ):
        means, filled = cell_means(estimates[0], expected)
        np.testing.assert_allclose(np.sort(start[0]), np.sort(means[filled, 0]))
        np.testing.assert_allclose(np.sort(start[1]), np.sort(means[filled, 1]))
    own, partial, _ = (one for one in ax.collections if one.__class__.__name__ == "PathCollection")
    assert own.get_rasterized()
    assert partial.get_rasterized()
    notes = " ".join(text.get_text() for text in ax.texts)
    assert "arrows: means of all 10,000 levels by cell" in notes
    assert "points: 3,000 of 10,000 levels" in notes
    assert len(own.get_offsets()) == len(partial.get_offsets()) == POINTS
    beyond = int(re.search(r"([\d,]+) own estimates beyond", notes)[1].replace(",", ""))
    assert 0 < beyond < 500


@pytest.mark.parametrize("J", [10, 100, 10_000])
def test_a_scalar_term_shrinks_along_a_line(scalar, J):
    fit = scalar[J]
    ax = fit.plot.shrinkage()
    table = fit.shrinkage()["child"].sort_values("no_pooling", kind="stable")
    own, partial = offsets(ax)
    drawn = spread(J, POINTS)
    for points, name in ((own, "no_pooling"), (partial, "partial_pooling")):
        np.testing.assert_allclose(points[:, 0], table[name].to_numpy()[drawn], rtol=1e-12)
        np.testing.assert_array_equal(points[:, 1], drawn)
    assert [text.get_text() for text in ax.texts] == (["3,000 of 10,000 levels"] if J > POINTS else [])
    assert legend(ax) == ["no pooling", "partial pooling (BLUP)", "complete pooling"]
    assert ticks(ax) == (table.index.tolist() if J <= NAMED else [])


def test_two_of_several_coefficients_can_be_chosen():
    fit = mme.lmer("score ~ Machine + (Machine | Worker)", load_data("Machines"))
    ax = fit.plot.shrinkage(coefficients=("MachineB", "MachineC"))
    assert ax.get_ylabel() == "MachineC  (score per MachineC)"
    with pytest.raises(mme.MMEError, match=r"coefficients are two of '\(Intercept\)', 'MachineB', 'MachineC'"):
        fit.plot.shrinkage(coefficients=("MachineB", "x"))


# -- residuals and quantiles ------------------------------------------------------------------------------------------


def test_residuals_are_points_while_there_are_few_and_then_cells(fits, sleep):
    ax = sleep.plot.residuals()
    (points,) = offsets(ax)
    np.testing.assert_allclose(points, np.column_stack([sleep.fitted, sleep.scaled_residuals()]), rtol=1e-12)
    assert ax.get_xlabel() == "fitted value  (Reaction)"
    assert ax.get_ylabel() == "standardised residual"
    ax = fits[10_000].plot.residuals("response")
    (cells,) = ax.images
    assert offsets(ax) == []
    assert cells.get_array().sum() == fits[10_000].nobs > POINTS
    assert legend(ax)[0] == f"1 to {cells.get_array().max()} records"
    left, right, low, high = cells.get_extent()
    r, fitted = fits[10_000].residuals, fits[10_000].fitted
    counts, *_ = np.histogram2d(r, fitted, bins=cells.get_array().shape, range=[(low, high), (left, right)])
    np.testing.assert_array_equal(cells.get_array().filled(0), counts)
    assert ax.get_ylabel() == "y - fitted  (score)"


def test_quantiles_are_those_of_the_normal_distribution(sleep):
    ax = sleep.plot.qq()
    points = np.vstack(offsets(ax))
    points = points[np.argsort(points[:, 0])]
    np.testing.assert_allclose(points[:, 1], np.sort(sleep.scaled_residuals()), rtol=1e-12)
    np.testing.assert_allclose(points[:, 0], norm.ppf((np.arange(180) + 0.5) / 180), rtol=1e-9)


def test_blups_are_divided_by_their_own_standard_deviation(sleep):
    axes = sleep.plot.qq("Subject")
    for j, ax in enumerate(axes):
        var = sleep.varcorr["Subject"].cov[j, j] - sleep.pev()["Subject"][:, j, j]
        expected = np.sort(sleep.ranef()["Subject"].iloc[:, j] / np.sqrt(var))
        np.testing.assert_allclose(np.sort(np.vstack(offsets(ax))[:, 1]), expected, rtol=1e-12)


def test_many_quantiles_are_thinned_between_their_tails(fits):
    fit = fits[10_000]
    points = np.vstack(offsets(fit.plot.qq()))
    assert len(points) <= 900
    r = np.sort(fit.scaled_residuals())
    np.testing.assert_allclose(np.sort(points[:, 1])[-300:], r[-300:], rtol=1e-12)
    np.testing.assert_allclose(np.sort(points[:, 1])[:300], r[:300], rtol=1e-12)


def test_blups_of_a_variance_of_zero_are_said_to_be_so():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff2"))
    (ax,) = fit.plot.qq("Batch")
    assert [text.get_text() for text in ax.texts] == ["its variance is zero"]
    fit.plot.caterpillar()
    fit.plot.shrinkage()


# -- variance, groups -------------------------------------------------------------------------------------------------


def test_bars_are_the_shares_of_the_variance(sleep):
    ax = sleep.plot.variance()
    table = sleep.variance_shares()
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], table["share"], rtol=1e-12)
    assert ticks(ax) == ["fixed effects", "Subject", "residual"]
    assert ax.texts[1].get_text() == "52.1%   (1698)"


def test_a_lattice_has_a_panel_a_group_with_its_records_and_lines(sleep):
    axes = sleep.plot.groups()
    assert axes.shape == (3, 6)
    data = load_data("sleepstudy")
    order = sleep.ranef()["Subject"]["(Intercept)"].sort_values().index
    for ax, subject in zip(axes.ravel(), order, strict=True):
        here = data["Subject"] == subject
        assert ax.get_title(loc="left") == subject
        (points,) = offsets(ax)
        np.testing.assert_allclose(points, data.loc[here, ["Days", "Reaction"]])
        population, own = ax.lines
        np.testing.assert_allclose(own.get_ydata(), sleep.fitted[here])
        np.testing.assert_allclose(population.get_ydata(), sleep.predict(random=False)[here])


def test_scales_of_a_lattice_stand_at_its_left_and_below_each_column():
    axes = mme.lmer("score ~ week + (1 | child)", simulated(7)).plot.groups()
    assert axes.shape == (2, 4)
    axes[0, 0].figure.canvas.draw()
    assert [ax.get_visible() for ax in axes.ravel()] == [True] * 7 + [False]
    assert [ax.yaxis.get_visible() for ax in axes.ravel()[:7]] == [True, False, False, False, True, False, False]
    below = [ax for ax in axes.ravel()[:7] if ax.xaxis.get_visible()]
    assert below == [axes[0, 3], *axes[1, :3]]
    assert all(any(label.get_visible() for label in ax.get_xticklabels()) for ax in below)


def test_of_many_groups_an_even_choice_is_drawn(fits):
    axes = fits[10_000].plot.groups(kind="lattice")
    assert axes.shape == (4, 6)
    order = fits[10_000].ranef()["child"]["(Intercept)"].sort_values().index
    assert axes[0, 0].get_title(loc="left") == order[0]
    assert axes[-1, -1].get_title(loc="left") == order[-1]
    ax = fits[10_000].plot.groups()
    (strands,) = [one for one in ax.collections if hasattr(one, "get_segments")]
    assert len(strands.get_segments()) == 300
    (cells,) = ax.images
    assert cells.get_array().sum() == fits[10_000].nobs
    assert legend(ax) == [f"1 to {cells.get_array().max()} records", "300 of 10,000 groups", "population"]
    assert len(fits[100].plot.groups().collections[1].get_segments()) == 100


def test_a_group_of_many_records_is_drawn_by_an_even_choice_of_them():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat([0, 1, 2], [20, 500, 5000]), "x": rng.normal(size=5520)})
    data["y"] = data["x"] + data["g"] + rng.normal(size=5520)
    fit = mme.lmer("y ~ x + (1 | g)", data, theta=[0.5])
    axes = fit.plot.groups().ravel()
    assert [len(offsets(ax)[0]) for ax in axes] == [20, 300, 300]
    assert [len(ax.lines[1].get_xdata()) for ax in axes] == [20, 60, 60]
    assert axes[2].lines[1].get_xdata()[[0, -1]].tolist() == [data["x"][520:].min(), data["x"][520:].max()]
    assert [text.get_text() for text in axes[0].figure.legends[0].get_texts()][2] == "records, at most 300 a group"
    (strands,) = [one for one in fit.plot.groups(kind="spaghetti").collections if hasattr(one, "get_segments")]
    assert [len(strand) for strand in strands.get_segments()] == [20, 60, 60]


def test_lines_of_groups_are_curves_of_the_model_whatever_else_differs_between_records():
    rng = np.random.default_rng(4)
    data = simulated(8)
    data["sex"], data["dose"] = rng.choice(["f", "m"], len(data)), rng.normal(size=len(data))
    data["score"] += 5.0 * (data["sex"] == "m") + 3.0 * data["dose"]
    fit = mme.lmer("score ~ sex + dose + np.sqrt(week) + (week | child)", data)
    lines = fit.plot.groups(data=True)
    assert list(lines) == ["child", "week", "fitted", "population"]
    for child, line in lines.groupby("child"):
        own = data[data["child"] == child]
        assert line["week"].iloc[[0, -1]].tolist() == [own["week"].min(), own["week"].max()]
        new = line[["child", "week"]].assign(sex=own["sex"].mode()[0], dose=own["dose"].mean())
        np.testing.assert_allclose(line["fitted"], fit.predict(new), rtol=1e-9)
        np.testing.assert_allclose(line["population"], fit.predict(new, random=False), rtol=1e-9)
    with pytest.raises(mme.MMEError, match="no column 'sexm'"):
        fit.plot.groups("sexm")


def test_a_column_of_numbers_that_is_a_factor_is_at_its_most_frequent_value():
    data = simulated(6)
    data["kids"] = np.arange(len(data)) % 3
    fit = mme.lmer("score ~ week + C(kids) + (1 | child)", data)
    for child, line in fit.plot.groups(data=True).groupby("child"):
        new = line[["child", "week"]].assign(kids=data.loc[data["child"] == child, "kids"].mode()[0])
        np.testing.assert_allclose(line["fitted"], fit.predict(new), rtol=1e-9)
    with pytest.raises(mme.MMEError, match="no column 'kids'"):
        fit.plot.groups("kids")


def test_lines_over_what_the_model_does_not_know_go_once_through_each_value(sleep):
    fit = mme.fit(*_arrays(simulated(5)))
    for lines in (fit.plot.groups(data=True), sleep.plot.groups(load_data("sleepstudy")["Days"] // 2, data=True)):
        for _, line in lines.groupby(next(iter(lines))):
            assert (np.diff(line.iloc[:, 1]) > 0.0).all()


def _arrays(data):
    X = np.column_stack([np.ones(len(data)), data["week"]])
    return data["score"].to_numpy(), X, [mme.Term(data["child"], X, name="child")]


@pytest.mark.parametrize("values", [np.zeros(5000), np.tile([0.0, 1.0], 2500), np.full(5000, 1e-300)])
def test_cells_of_values_that_hardly_differ(values):
    _, ax = plt.subplots()
    density(ax, values, np.arange(5000.0), "black")
    (cells,) = ax.images
    assert cells.get_array().sum() == 5000
    ax.figure.canvas.draw()


def test_any_covariate_can_be_on_the_axis(sleep):
    data = load_data("sleepstudy")
    ax = sleep.plot.groups(data["Days"] ** 2, kind="spaghetti")
    assert ax.get_xlim()[1] > 81.0
    assert ax.get_xlabel() == "Days"
    with pytest.raises(mme.MMEError, match=r"no column 'Nights' in the model \(Days\)"):
        sleep.plot.groups("Nights")
    with pytest.raises(mme.MMEError, match="no covariate of this model varies"):
        mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff")).plot.groups()


# -- profiles ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def profiled(sleep):
    return sleep.profile()


def test_zeta_is_drawn_from_a_profile_or_from_a_table_of_three_columns(sleep, profiled):
    table = profiled.to_frame()
    for given in (profiled, table[["parameter", "value", "zeta"]]):
        axes = sleep.plot.zeta(given)
        assert [ax.get_title(loc="left") for ax in axes] == list(profiled.curves)
        curve = profiled.curves["Days"]
        x, y = axes[-1].lines[-1].get_data()
        assert x[0] == pytest.approx(curve.values[0])
        # between knots half a zeta apart the interpolation is good to a hundredth
        np.testing.assert_allclose(np.interp(curve.values, x, y), curve.zeta, atol=0.01)


def test_regions_of_two_parameters_touch_the_limits_of_each(sleep, profiled):
    axes = sleep.plot.pairs(profiled, parameters=["sd_Days|Subject", "sigma"])
    assert axes.shape == (2, 2)
    region = axes[1, 0].lines[1]  # 80%: radius sqrt(chi2_2(0.8))
    x, y = region.get_data()
    radius = np.sqrt(-2.0 * np.log(1.0 - 0.8))
    for values, name in ((x, "sd_Days|Subject"), (y, "sigma")):
        curve = profiled.curves[name]
        width = curve.limit(radius) - curve.limit(-radius)
        assert values.min() == pytest.approx(curve.limit(-radius), abs=0.01 * width)
        assert values.max() == pytest.approx(curve.limit(radius), abs=0.01 * width)


def test_regions_of_a_quadratic_likelihood_are_ellipses():
    C = np.array(
        [[2.0, 1.2], [1.2, 3.0]]
    )  # covariance of two parameters: zeta_i = x_i / sd_i, trace x_j = C_ij / C_ii x_i
    steps = np.linspace(-3.5, 3.5, 15)
    rows = []
    for i, name in enumerate("ab"):
        for zeta in steps:
            x = C[i] / C[i, i] * zeta * np.sqrt(C[i, i])
            rows.append({"parameter": name, "value": x[i], "zeta": zeta, "a": x[0], "b": x[1]})
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff"))
    axes = fit.plot.pairs(pd.DataFrame(rows))
    for line, share in zip(axes[1, 0].lines[:3], (0.5, 0.8, 0.95), strict=True):
        points = np.column_stack(line.get_data())
        distance = np.einsum("ia,ab,ib->i", points, np.linalg.inv(C), points)
        np.testing.assert_allclose(distance, -2.0 * np.log(1.0 - share), rtol=0.02)


def test_a_table_that_is_no_profile_is_refused(sleep, profiled):
    with pytest.raises(mme.MMEError, match="missing: zeta"):
        sleep.plot.zeta(profiled.to_frame()[["parameter", "value"]])
    with pytest.raises(mme.MMEError, match="pairs need two profiles with their traces"):
        sleep.plot.pairs(profiled.to_frame()[["parameter", "value", "zeta"]])


# -- all of them ------------------------------------------------------------------------------------------------------


def test_pictures_go_on_the_users_axes_and_leave_the_users_settings_alone(sleep):
    before = dict(matplotlib.rcParams)
    _, axes = plt.subplots(2, 3)
    assert sleep.plot.residuals(ax=axes[0, 0]) is axes[0, 0]
    assert sleep.plot.qq(ax=axes[0, 1]) is axes[0, 1]
    assert sleep.plot.variance(ax=axes[0, 2]) is axes[0, 2]
    assert list(sleep.plot.caterpillar(ax=axes[1, :2])) == list(axes[1, :2])
    assert sleep.plot.shrinkage(ax=axes[1, 2]) is axes[1, 2]
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(mme.MMEError, match="2 axes are needed"):
        sleep.plot.caterpillar(ax=axes[0, 0])


def test_a_term_that_is_not_there_is_refused_by_name(sleep):
    with pytest.raises(mme.MMEError, match="no term 'Days'; the fit has 'Subject'"):
        sleep.plot.caterpillar("Days")


def test_without_matplotlib_a_sentence_says_how_to_get_it(sleep, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(mme.MMEError, match=r"pip install 'mme\[plot\]'"):
        sleep.plot.qq()


def test_methods_keep_the_documentation_of_what_they_draw(sleep):
    assert "Arrows from each level" in sleep.plot.shrinkage.__doc__
    assert "shrinkage" in repr(sleep.plot)


def test_an_even_choice_has_both_ends_and_units_are_those_of_the_model():
    assert spread(10_000, 5).tolist() == [0, 2500, 5000, 7499, 9999]
    assert spread(LINES, LINES).size == LINES
    assert units("y", "(Intercept)") == "y"


# -- the report -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "name", "pictures"),
    [
        ("Reaction ~ Days + (Days | Subject)", "sleepstudy", 10),
        ("Yield ~ 1 + (1 | Batch)", "Dyestuff2", 7),
        ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", 10),
    ],
)
def test_the_report_is_one_file_with_tables_findings_and_pictures(tmp_path, formula, name, pictures):
    fit = mme.lmer(formula, load_data(name))
    fit.report(tmp_path / "out.html", title="A <report>")
    page = (tmp_path / "out.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<h1>A &lt;report&gt;</h1>" in page
    assert page.count('src="data:image/png;base64,') == page.count("<img") == pictures
    assert page.count('alt="') == pictures
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert ("Singular fit" in page) == fit.singular
    assert formula in page
    assert plt.get_fignums() == []


def test_captions_say_what_pictures_of_many_leave_out(fits, sleep, tmp_path):
    notes = ("Mean and range of the intervals", "part of the levels is drawn", "All points of the tails", "Cells are")
    for fit, many in ((sleep, False), (fits[10_000], True)):
        fit.report(tmp_path / "out.html")
        page = (tmp_path / "out.html").read_text()
        assert [note in page for note in notes] == [many] * 4


def test_a_picture_of_the_report_is_what_savefig_writes(sleep):
    buffers = io.BytesIO(), io.BytesIO(png(sleep.plot.caterpillar()[0].figure, 110))
    sleep.plot.caterpillar()[0].figure.savefig(buffers[0], format="png", dpi=110)
    saved, drawn = (plt.imread(io.BytesIO(buffer.getvalue())) for buffer in buffers)
    np.testing.assert_array_equal(drawn, saved)


def test_a_report_that_cannot_be_written_says_where(sleep, tmp_path):
    with pytest.raises(mme.MMEError, match=r"cannot write .*nowhere"):
        sleep.report(tmp_path / "nowhere" / "out.html")


def test_a_profile_that_runs_level_to_a_bound_far_away_is_drawn_where_it_bends(sleep):
    value = np.geomspace(1.0, 1e8, 33)
    level = pd.DataFrame({"parameter": "range", "value": value, "zeta": 0.9 - 10.0 / value})
    straight = pd.DataFrame({"parameter": "sigma", "value": value[:9], "zeta": np.linspace(-3.0, 3.0, 9)})
    axes = sleep.plot.zeta(pd.concat([level, straight]))
    left, right = axes[0].get_xlim()
    assert left < 1.0
    assert 100.0 < right < 400.0
    assert axes[1].get_xlim()[1] > value[8]


def test_long_names_of_levels_leave_room_for_the_picture():
    rng = np.random.default_rng(1)
    names = [f"District of Upper Somewhere {j:03d} (north)" for j in range(6)]
    data = {"g": np.repeat(names, 8), "year": np.tile(np.arange(2015, 2023), 6), "y": rng.normal(size=48).cumsum()}
    fit = mme.lmer("y ~ year + (1 | g)", data)
    titles = [ax.get_title(loc="left") for ax in fit.plot.groups().ravel()]
    assert len(set(titles)) == 6
    assert max(map(len, titles)) <= 26
    ticks = [text.get_text() for text in np.ravel(fit.plot.caterpillar())[0].get_yticklabels()]
    assert len(set(ticks)) == 6
    assert max(map(len, ticks)) <= 26
