"""Tables of means and of contrasts among them, written out of the coefficients by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mme

RNG = np.random.default_rng(21)
N = 40
DATA = pd.DataFrame({"f": np.repeat(list("abcd"), 10), "w": RNG.uniform(0.5, 1.5, N)})
DATA["y"] = 9.0 + (DATA["f"] == "b") + RNG.uniform(0.0, 4.0, N)
L = np.column_stack([np.ones(4), np.eye(4)[:, 1:]])  # of the means by the coefficients
PAIRS = np.array(
    [[1, -1, 0, 0], [1, 0, -1, 0], [1, 0, 0, -1], [0, 1, -1, 0], [0, 1, 0, -1], [0, 0, 1, -1]], dtype=float
)


def parts(fit):
    """The means, their covariance, degrees of freedom, and the quantile of 90 %."""
    cov = L @ fit.beta_cov.to_numpy() @ L.T if hasattr(fit.beta_cov, "to_numpy") else L @ fit.beta_cov @ L.T
    return L @ fit.beta.to_numpy(), cov, N - 4.0, stats.t.ppf(0.95, N - 4.0)


def test_differences_of_means_on_the_scale_of_the_response_are_by_the_delta_method_beside_an_offset():
    """Of a root the mean is eta^2, its slope 2 eta; eta has the mean of the offset in it."""
    fit = mme.lm("sqrt(y) ~ f + offset(w)", DATA)
    linear, cov, df, width = parts(fit)
    eta = linear + DATA["w"].mean()
    J = PAIRS * (2.0 * eta)
    estimate, se = PAIRS @ eta**2, np.sqrt(np.diag(J @ cov @ J.T))
    t = estimate / se
    expected = [
        estimate,
        se,
        np.full(6, df),
        estimate - width * se,
        estimate + width * se,
        t,
        2.0 * stats.t.sf(np.abs(t), df),
    ]
    found = fit.means("f", pairs=True, scale="response", adjust="none", level=0.9)
    np.testing.assert_allclose(found.to_numpy(dtype=float), np.column_stack(expected), rtol=1e-8)
    means = fit.means("f", scale="response", level=0.9)
    sd = np.sqrt(np.diag(cov))
    ends = [(eta - width * sd) ** 2, (eta + width * sd) ** 2]
    np.testing.assert_allclose(
        means.to_numpy(dtype=float), np.column_stack([eta**2, 2 * eta * sd, np.full(4, df), *ends]), rtol=1e-8
    )


def test_limits_of_a_mean_are_in_order_where_the_way_back_falls():
    fit = mme.lm("1/y ~ f", DATA)
    linear, cov, _, width = parts(fit)
    sd = np.sqrt(np.diag(cov))
    found = fit.means("f", scale="response", level=0.9)
    np.testing.assert_allclose(found["lower"], 1.0 / (linear + width * sd), rtol=1e-9)
    np.testing.assert_allclose(found["upper"], 1.0 / (linear - width * sd), rtol=1e-9)
    np.testing.assert_allclose(found["se"], sd / linear**2, rtol=1e-9)


def test_differences_of_logarithms_are_ratios_and_their_error_a_share_of_them():
    fit = mme.lm("log(y) ~ f + offset(w)", DATA)
    linear, cov, df, width = parts(fit)
    difference, se = PAIRS @ linear, np.sqrt(np.diag(PAIRS @ cov @ PAIRS.T))
    found = fit.means("f", pairs=True, scale="response", adjust="none", level=0.9)
    ratio = np.exp(difference)
    ends = [np.exp(difference - width * se), np.exp(difference + width * se)]
    np.testing.assert_allclose(
        found.iloc[:, :5].to_numpy(dtype=float), np.column_stack([ratio, ratio * se, np.full(6, df), *ends]), rtol=1e-8
    )
    np.testing.assert_allclose(found["t"], difference / se, rtol=1e-8)


def test_weights_of_ones_own_need_not_cancel_and_the_offset_counts_by_their_sum():
    fit = mme.lm("y ~ f + offset(w)", DATA)
    linear, cov, df, width = parts(fit)
    c = np.array([2.0, 0.0, 1.0, -0.5])
    found = fit.means("f", contrast={"mine": c}, level=0.9).iloc[0]
    estimate, se = c @ linear + c.sum() * DATA["w"].mean(), np.sqrt(c @ cov @ c)
    expected = [estimate, se, df, estimate - width * se, estimate + width * se]
    np.testing.assert_allclose(found.iloc[:5].to_numpy(dtype=float), expected, rtol=1e-9)


def test_weights_that_all_but_cancel_leave_what_they_leave():
    """A billion times a billionth is one."""
    data = DATA.assign(y=DATA["y"] + 1e9)
    fit = mme.lm("y ~ f", data)
    a, b = (data["y"][data["f"] == level].mean() for level in "ab")
    found = fit.means("f", contrast={"mine": {"a": 1.0, "b": -(1.0 - 1e-9)}})["estimate"].iloc[0]
    assert found == pytest.approx((a - b) + 1e-9 * b, abs=1e-5)


def test_effect_sizes_count_what_sigma_leaves_uncertain():
    fit = mme.lm("y ~ f", DATA)
    linear, cov, df, width = parts(fit)
    d, se = PAIRS @ linear / fit.sigma, np.sqrt(np.diag(PAIRS @ cov @ PAIRS.T)) / fit.sigma
    se = np.sqrt(se**2 + d**2 / (2.0 * df))
    found = fit.means("f", pairs=True, effect_size="residual", level=0.9)
    np.testing.assert_allclose(
        found.to_numpy(dtype=float), np.column_stack([d, se, np.full(6, df), d - width * se, d + width * se]), rtol=1e-8
    )


@pytest.mark.parametrize("side", [0.99, 1.01])
def test_means_share_a_letter_where_p_is_no_less_than_one_less_the_level(side):
    fit = mme.lm("y ~ f", DATA[DATA["f"].isin(["a", "b"])])
    p = fit.means("f", pairs=True, adjust="none")["p"].iloc[0]
    letters = fit.means("f", letters=True, adjust="none", level=1.0 - side * p)["letters"]
    assert (letters["a"] == letters["b"]) == (side < 1.0)


def test_a_covariate_is_put_at_one_number_however_that_is_held():
    fit = mme.lm("y ~ f + w", DATA)
    expected = fit.means("f", at={"w": 2.0})
    for one in (np.array(2.0), np.float64(2.0), 2, [2.0], np.array([2.0])):
        found = fit.means("f", at={"w": one})
        np.testing.assert_array_equal(found.to_numpy(dtype=float), expected.to_numpy(dtype=float))
        assert (found.index.nlevels == 1) == (np.ndim(one) == 0)


@pytest.mark.parametrize("day", ["2021-03-05", pd.Timestamp("2021-03-05"), np.datetime64("2021-03-05")])
def test_a_date_is_put_at_a_day_however_that_is_written(day):
    data = DATA.assign(day=pd.Timestamp("2021-03-01") + pd.to_timedelta(np.arange(N) % 7, unit="D"))
    data["later"] = np.arange(N) % 7.0
    found = mme.lm("y ~ f + day", data).means("f", at={"day": day})
    expected = mme.lm("y ~ f + later", data).means("f", at={"later": 4.0})
    np.testing.assert_allclose(found.to_numpy(dtype=float), expected.to_numpy(dtype=float), rtol=1e-7)


def test_a_note_counts_the_contrasts_of_each_family():
    g = np.array(list("uvw"))[np.arange(N) % 3]
    fit = mme.lm("y ~ f * g", DATA.assign(g=g))
    two_families = fit.means("f", by="g", pairs=True, adjust="holm")
    assert two_families.attrs["notes"] == ("p and 95 % intervals adjusted for 6 contrasts each: holm.",)
    nested = DATA.assign(k=DATA["f"].map({"a": "s", "b": "s", "c": "s", "d": "t"}), l=np.arange(N) % 2)
    nested["f"] = nested["f"].where(nested["f"] != "d", "d" + nested["l"].astype(str))
    uneven = mme.lm("y ~ k/f", nested).means("f", by="k", pairs=True, adjust="holm")
    assert uneven.attrs["notes"] == ("p and 95 % intervals adjusted for 1 to 3 contrasts each: holm.",)


@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e8])
def test_nests_and_counts_do_not_depend_on_the_unit_of_contrasts_nor_on_the_origin_of_two_values(unit):
    """Nor on a contrast of nothing."""
    rows = [(k // 2, k, c) for k in range(4) for c in (0, 1) for _ in range(2 + k + c)]
    data = pd.DataFrame(rows, columns=["a", "b", "c"])
    data = data.astype(str).assign(y=np.sin(np.arange(len(data)) ** 2), t=data["c"] == 1)
    sums = np.vstack([np.eye(3), -np.ones(3)])
    fits = [
        mme.lm("y ~ a + b + t", data.assign(t=data["t"] + at), contrasts={"b": contrasts})
        for at, contrasts in ((0.0, sums), (2.0**33, np.column_stack([unit * sums, np.zeros(4)])))
    ]
    for factor, weights in (("a", "equal"), ("a", "proportional"), ("b", "proportional")):
        one, other = (fit.means(factor, weights=weights)[["mean", "se"]] for fit in fits)
        np.testing.assert_allclose(other, one, atol=2.0**33 * 1e-15)
        assert one.notna().all(axis=None)
