"""Pictures of trials hold the numbers of their definitions: map, variogram, correlations, biplot."""

import numpy as np
import pandas as pd
import pytest

import mme

matplotlib = pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'mme[plot]'")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def plots(seed=3, rows=7, cols=9):
    rng = np.random.default_rng(seed)
    row, col = np.divmod(np.arange(rows * cols), cols)
    data = pd.DataFrame(
        {"row": row + 1, "col": col + 5, "gen": rng.permutation(np.arange(rows * cols) % 11).astype(str)}
    )
    data["y"] = rng.normal(size=len(data)) + data["row"] * 0.5
    data.loc[[3, 20], "y"] = np.nan
    return data


@pytest.fixture(scope="module")
def field():
    return mme.lmer("y ~ 1 + (1 | gen)", plots(), residual=mme.AR1("row") * mme.AR1("col"))


@pytest.fixture(scope="module")
def environments():
    rng = np.random.default_rng(7)
    gen, env = np.divmod(np.arange(240), 6)
    effects = rng.standard_normal((40, 2)) @ [[1, 2, 0.5, 1.5, -1, 1], [0, 1, -1, 0.5, 1, 0]]
    met = pd.DataFrame({"gen": gen.astype(str), "env": env.astype(str), "y": effects.ravel()})
    met = pd.concat([met, met])
    met["y"] += rng.standard_normal(480)
    return {k: mme.lmer(f"y ~ env + {bar}", met) for k, bar in BARS.items()}


BARS = {"fa": "fa(0 + env | gen, k = 2)", "rr": "rr(0 + env | gen, k = 1)", "us": "us(0 + env | gen)"}


def test_the_map_has_each_plot_in_its_place_and_missing_ones_blank(field):
    data = plots()
    ax = field.plot.field("row", "col")
    cells = ax.images[0].get_array()
    assert cells.shape == (7, 9)
    assert int(np.ma.getmaskarray(cells).sum()) == 2
    residual = np.asarray(field.residuals)
    for i in (0, 8, 30, 62):
        assert cells[data["row"][i] - 1, data["col"][i] - 5] == pytest.approx(residual[i])
    left, right, bottom, top = ax.images[0].get_extent()
    assert (left, right, bottom, top) == (4.5, 13.5, 7.5, 0.5)
    table = field.plot.field("row", "col", show="gen", data=True)
    blup = field.ranef()["gen"].iloc[:, 0]
    np.testing.assert_allclose(table["value"], blup.loc[data.dropna()["gen"].to_numpy()])
    np.testing.assert_allclose(
        field.plot.field("row", "col", show="scaled", data=True)["value"],
        np.asarray(field.scaled_residuals("normalised"))[data["y"].notna()],
    )


def test_fields_of_their_own_have_a_panel_each_and_arrays_do():
    data = pd.concat([plots(1).assign(trial="a"), plots(2).assign(trial="b")]).dropna()
    fit = mme.lmer("y ~ trial + (1 | gen)", data)
    axes = fit.plot.field("row", "col", by="trial", show="response")
    assert [ax.get_title(loc="left") for ax in axes] == ["a", "b"]
    given = {"row": data["row"].to_numpy(), "col": data["col"].to_numpy(), "by": data["trial"].to_numpy()}
    table = fit.plot.field(given["row"], given["col"], by=given["by"], data=True)
    assert list(table) == ["by", "row", "col", "value"]
    pairs = fit.plot.variogram("row", "col", by="trial", data=True)["pairs"]
    with pytest.raises(mme.MMEError, match="unknown column 'lane'"):
        fit.plot.field("lane", "col")
    with pytest.raises(mme.MMEError, match="'trial' must hold numbers of rows or columns, got 'a'"):
        fit.plot.field("row", "trial")
    alike = np.equal.outer(data["trial"].to_numpy(), data["trial"].to_numpy())
    beside = np.subtract.outer(data["col"].to_numpy(), data["col"].to_numpy()) == 1
    same_row = np.equal.outer(data["row"].to_numpy(), data["row"].to_numpy())
    assert pairs[0] == (alike & beside & same_row).sum()


def test_the_variogram_is_that_of_all_pairs_and_of_the_model(field):
    table = field.plot.variogram("row", "col", data=True).set_index(["row", "col"])
    data = plots().assign(e=np.asarray(field.residuals)).dropna()
    down, across = (np.abs(np.subtract.outer(data[c].to_numpy(), data[c].to_numpy())) for c in ("row", "col"))
    half = 0.5 * np.subtract.outer(data["e"].to_numpy(), data["e"].to_numpy()) ** 2
    for lag in ((0, 1), (1, 0), (2, 3), (3, 4)):
        at = np.triu((down == lag[0]) & (across == lag[1]), 1)
        assert table.loc[lag, "pairs"] == at.sum()
        assert table.loc[lag, "semivariance"] == pytest.approx(half[at].mean())
        rho = field.residual["rho.row"] ** lag[0] * field.residual["rho.col"] ** lag[1]
        assert table.loc[lag, "model"] == pytest.approx(field.sigma**2 * (1 - rho))
    assert len(field.plot.variogram("row", "col")) == 2


def test_correlations_are_those_of_the_fit_in_an_order_where_neighbours_are_alike(environments):
    fit = environments["fa"]
    table, R = fit.plot.correlations(data=True), fit.varcorr["gen"].corr
    names = [f"env{k}" for k in range(6)]
    np.testing.assert_allclose(table.loc[names, names], R)
    np.testing.assert_allclose(fit.plot.correlations("gen", order="given", data=True), R)
    beside = [np.mean(np.diag(one, 1)) for one in (table.to_numpy(), R)]
    assert beside[0] >= beside[1]
    ax = fit.plot.correlations()
    assert len(ax.texts) == 36
    with pytest.raises(mme.MMEError, match="one coefficient"):
        mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff")).plot.correlations()


@pytest.mark.parametrize("kind", list(BARS))
def test_scores_and_loadings_give_back_the_common_part_of_the_blups(environments, kind):
    """Lambda E[f | y] is E[Lambda f | y] = Lambda Lambda' G^-1 b_hat; of us() that is b_hat itself."""
    fit = environments[kind]
    table = fit.plot.biplot(data=True)
    axes = [name for name in table if name.startswith("axis")]
    loadings, scores = (table.loc[table["kind"] == one, axes].to_numpy() for one in ("loading", "score"))
    G, b = fit.varcorr["gen"].cov, fit.ranef()["gen"].to_numpy()
    np.testing.assert_allclose(loadings.T @ loadings, np.diag(np.diag(loadings.T @ loadings)), atol=1e-9)
    expected = b @ np.linalg.pinv(G, rcond=1e-10) @ loadings @ loadings.T
    np.testing.assert_allclose(scores @ loadings.T, expected, atol=1e-8)
    if kind == "us":
        np.testing.assert_allclose(scores @ loadings.T, b, atol=1e-6)
    ax = fit.plot.biplot()
    assert "axis 1" in ax.get_xlabel()


def test_on_dark_paper_the_middle_of_the_scale_is_dark(field):
    from mme.plot.shades import diverging

    assert sum(diverging()(0.5)[:3]) > 2.5
    with plt.style.context("dark_background"):
        assert sum(diverging()(0.5)[:3]) < 0.5
        ax = field.plot.field("row", "col")
        assert matplotlib.colors.same_color(ax.figure.get_facecolor(), "black")
        assert not matplotlib.colors.same_color(ax.xaxis.label.get_color(), "#222222")
