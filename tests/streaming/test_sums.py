"""Sums over chunks: the likelihood of the records, whatever the order and the sizes of the chunks."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mme
from mme.numeric.kernels import kernel
from mme.numeric.limits import Limits, within
from mme.numeric.places import GappedPlaces, Places
from mme.numeric.triangles import add_rows, rotate, rotate_two, triangles, with_rows


def table(n=600, seed=0, J=25, K=9):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(J, size=n), rng.integers(K, size=n)
    x = 3.0 + rng.standard_normal(n)
    f = np.array(["lo", "mid", "hi"], dtype=object)[rng.integers(3, size=n)]
    y = 5.0 + 0.3 * x + 0.6 * (f == "mid") + rng.standard_normal(J)[g] + 0.4 * rng.standard_normal(J)[g] * x
    y = y + 0.7 * rng.standard_normal(K)[h] + rng.standard_normal(n)
    text = np.array([f"s{one}" for one in g], dtype=object)
    made = {"y": y, "x": x, "f": f, "g": g, "h": h, "text": text}
    made |= {
        "w": rng.uniform(0.5, 2.0, n),
        "o": rng.standard_normal(n),
        "side": np.where(rng.random(n) < 0.4, "r", "l"),
    }
    return pd.DataFrame(made)


def cut(data, size=130):
    return [data[i : i + size] for i in range(0, len(data), size)]


def close(one, other, rtol):
    np.testing.assert_allclose(np.asarray(one, float), np.asarray(other, float), rtol=rtol, atol=rtol)


# A criterion of thirteen digits places its minimum to half of them: where two searches of one function end apart.
SEARCHED = 1e-5

MODELS = [
    ("y ~ x + (x | g)", {}),
    ("y ~ x + (1 | g)", {"method": "ML"}),
    ("y ~ x + f + (x | text) + (1 | h)", {}),
    ("y ~ scale(x) * f + (scale(x) || g)", {}),
    ("y ~ x + (1 | g/h)", {"weights": "w"}),
    ("log(y + 50) ~ poly(x, 2) + (0 + x | g)", {"offset": "o"}),
    ("y ~ factor(h) + x + (1 | g)", {"subset": "x > 2"}),
    ("y ~ f + (1 | g)", {"contrasts": {"f": "sum"}}),
    ("y ~ f + dsum((x | g) | f)", {}),
    ("y ~ x + dsum((1 | g) | f:side) + (1 | h)", {"subset": "x > 2"}),
]


@pytest.mark.parametrize(("formula", "options"), MODELS)
def test_a_fit_of_chunks_is_the_fit_of_the_table(formula, options):
    data = table()
    data.loc[[5, 300, 301], "x"] = np.nan
    whole, fit = mme.lmer(formula, data, **options), mme.lmer(formula, cut(data), **options)
    assert fit.nobs == whole.nobs
    assert fit.n_dropped == whole.n_dropped
    assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12
    close(fit.beta, whole.beta, 1e-7)
    assert list(fit.beta.index) == list(whole.beta.index)
    close(fit.coefficients(), whole.coefficients(), SEARCHED)
    for name, effects in whole.ranef().items():
        assert effects.index.equals(fit.ranef()[name].index)
        close(fit.ranef()[name], effects, SEARCHED)
        close(fit.condvar()[name], whole.condvar()[name], SEARCHED)
    close(np.asarray(fit.fitted), whole.fitted, SEARCHED)


def test_chunks_without_a_level_of_dsum_are_read_by_the_levels_of_all():
    data = table().sort_values("f", ignore_index=True)
    formula = "y ~ x + dsum((1 | g) | f)"
    whole, fit = mme.lmer(formula, data), mme.lmer(formula, cut(data))
    assert list(fit.varcorr) == list(whole.varcorr) == ["g.hi", "g.lo", "g.mid"]
    close(fit.criterion, whole.criterion, 1e-12)
    close(fit.ranef()["g"], whole.ranef()["g"], SEARCHED)
    with pytest.raises(mme.MMEError, match="takes a pass of its own; give chunks that can be read again"):
        mme.lmer(formula, iter(cut(data)))
    with pytest.raises(mme.MMEError, match="'f' has the one level 'hi'"):
        mme.lmer(formula, cut(data.assign(f="hi")))


@pytest.mark.parametrize(("formula", "options"), MODELS)
def test_at_one_theta_all_is_the_same_to_ten_digits(formula, options):
    data = table(300)
    theta = mme.lmer(formula, data, **options).theta
    whole, fit = (mme.lmer(formula, one, theta=theta, **options) for one in (data, cut(data, 70)))
    assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12
    close(fit.beta, whole.beta, 1e-10)
    close(fit.beta_cov, whole.beta_cov, 1e-10)
    for name, effects in whole.ranef().items():
        close(fit.ranef()[name], effects, 1e-10)
        close(fit.pev()[name], whole.pev()[name], 1e-10)


QUESTIONS = {
    "satterthwaite": lambda fit: fit.coefficients(),
    "kenward_roger": lambda fit: fit.coefficients(ddf="kenward-roger"),
    "anova": lambda fit: fit.anova(type=2),
    "contrast": lambda fit: fit.contrast([1.0, 3.0, 0.0, 1.0]),
    "means": lambda fit: fit.means("f").select_dtypes("number"),
    "pev": lambda fit: fit.pev()["g"],
    "reliability": lambda fit: fit.reliability()["g"],
    "shrinkage": lambda fit: fit.shrinkage()["g"],
    "wald": lambda fit: fit.confint(),
    "profile": lambda fit: fit.profile("sigma").confint(),
    "r2": lambda fit: fit.r2(),
    "shares": lambda fit: fit.variance_shares(),
    "tidy": lambda fit: fit.tidy().select_dtypes("number"),
    "glance": lambda fit: fit.glance().select_dtypes("number"),
    "leverage": lambda fit: fit.leverage(),
    "residuals": lambda fit: fit.residuals,
    "predict": lambda fit: fit.predict(table(40, seed=3), interval="confidence", random=False),
}


@pytest.fixture(scope="module")
def pair():
    data = table()
    formula = "y ~ x + f + (x | g)"
    return mme.lmer(formula, data), mme.lmer(formula, cut(data))


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=list(QUESTIONS))
def test_what_needs_no_records_is_what_the_table_gives(pair, ask):
    whole, fit = pair
    close(ask(fit), ask(whole), SEARCHED)


def test_covariates_are_held_at_the_same_values_whether_rows_come_in_chunks_or_not():
    """At their means; one of two values at the middle of the two, one of many whole numbers not."""
    data = table()
    data["treated"] = np.where(np.arange(len(data)) % 5 == 0, 3.0, 1.0)
    data["day"] = pd.Timestamp("2024-03-01") + pd.to_timedelta(data.index % 9, "D")
    formula = "y ~ f * treated + f * x + as.numeric(as.Date(day)) + (1 | g)"
    whole, fit = mme.lmer(formula, data), mme.lmer(formula, cut(data))
    close(fit.means("f"), whole.means("f"), SEARCHED)
    close(fit.means("f"), whole.means("f", at={"treated": 2.0}), SEARCHED)


def test_a_summary_of_sums_has_all_but_the_quantiles_of_residuals(pair):
    whole, fit = (one.summary() for one in pair)
    begin, end = whole.index("Scaled residuals"), whole.index("Random effects")
    assert fit == whole[:begin] + whole[end:]


def test_nested_fits_of_sums_are_compared_as_those_of_the_table():
    data = table()
    formulas = ["y ~ x + (1 | g)", "y ~ x + f + (x | g)"]
    of_table = mme.anova(*(mme.lmer(one, data, method="ML") for one in formulas))
    of_sums = mme.anova(*(mme.lmer(one, cut(data), method="ML") for one in formulas))
    close(of_sums.select_dtypes("number").fillna(0.0), of_table.select_dtypes("number").fillna(0.0), 1e-6)
    other = mme.lmer(formulas[0], cut(data.assign(y=data.y + data.o)), method="ML")
    with pytest.raises(mme.MMEError, match="do not share their records"):
        mme.anova(mme.lmer(formulas[1], cut(data), method="ML"), other)


def test_least_squares_and_deletions_of_sums_are_those_of_the_table():
    data = table()
    whole, fit = (mme.lmer("y ~ x * f", one) for one in (data, cut(data)))
    assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12
    close(fit.beta_cov, whole.beta_cov, 1e-10)
    whole, fit = (mme.lmer("y ~ x + f + (x | g)", one).ranova() for one in (data, cut(data)))
    assert list(fit["reference"]) == list(whole["reference"])
    close(fit.select_dtypes("number").fillna(0.0), whole.select_dtypes("number").fillna(0.0), 1e-8)


@pytest.mark.parametrize("ask", ["simulate", "cooks_distance", "scaled_residuals", "predict", "augment", "bootstrap"])
def test_what_needs_records_says_so(pair, ask):
    with pytest.raises(mme.MMEError, match=f"{ask}.* records"):
        getattr(pair[1], ask)()


@pytest.mark.property
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_order_and_sizes_of_chunks_change_nothing_beyond_rounding(seed, parts):
    rng = np.random.default_rng(seed)
    data = table(160, seed % 7, J=12, K=4).sample(frac=1.0, random_state=seed % 2**31)
    formula = "y ~ x + w + (x | g) + (1 | h)"
    known = mme.lmer(formula, data, theta=THETA)
    ends = np.sort(rng.integers(1, len(data), parts))
    pieces = [one for one in np.split(np.arange(len(data)), ends) if one.size]
    sums = [mme.CrossProducts.from_chunks(formula, [data.iloc[piece]]) for piece in pieces]
    total = sums[0]
    for one in (sums[j] for j in rng.permutation(np.arange(1, len(sums)))):
        total = total + one if rng.integers(2) else one + total
    fit = total.fit(theta=THETA)
    assert abs(fit.criterion - known.criterion) < 1e-10 * abs(known.criterion)
    close(fit.beta, known.beta, 1e-9)
    close(fit.ranef()["g"], known.ranef()["g"], 1e-9)


THETA = [1.0, 0.2, 0.4, 0.7]


def test_addition_is_associative_and_leaves_its_parts_alone():
    data = table(300)
    a, b, c = (mme.CrossProducts.from_chunks("y ~ x + (x | g)", part) for part in cut(data, 100))
    before = a.fit(theta=[1.0, 0.1, 0.5]).criterion
    left, right = (a + b) + c, a + (b + c)
    assert left.n == right.n == 300
    one, other = (each.fit(theta=[1.0, 0.1, 0.5]).criterion for each in (left, right))
    assert abs(one - other) < 1e-11 * abs(one)
    assert a.n == 100
    assert a.fit(theta=[1.0, 0.1, 0.5]).criterion == before


def test_sums_of_a_design_add_to_those_it_came_from_and_of_another_do_not():
    data = table(400)
    formula = "y ~ scale(x) + f + (1 | text)"
    a = mme.CrossProducts.from_chunks(formula, data[:250])
    b = mme.CrossProducts.from_chunks(a.design, [data[250:300], data[300:]])
    assert (a + b).n == 400
    with pytest.raises(mme.MMEError, match=r"first\.design"):
        a + mme.CrossProducts.from_chunks(formula, data[250:])


def test_sums_are_written_and_read_again(tmp_path):
    formula = "y ~ x * f + (x | text) + (1 | h)"
    sums = mme.CrossProducts.from_chunks(formula, cut(table()), weights="w")
    sums.save(tmp_path / "sums.mme")
    read = mme.CrossProducts.load(tmp_path / "sums.mme")
    with pytest.raises(mme.MMEError, match="holds cross-products"):
        mme.load_fit(tmp_path / "sums.mme")
    assert read.levels == sums.levels
    for other in (read, pickle.loads(pickle.dumps(sums))):
        assert other.fit().criterion == sums.fit().criterion
        assert (other + sums).n == 2 * sums.n


def test_weighted_sums_count_every_record_once_where_a_question_does(tmp_path):
    """Through additions from other origins, files of sums and files of fits; x and y are far from zero."""
    data = table()
    data["x"], data["y"] = data.x + 1e4 + 5.0 * (np.arange(len(data)) < 100), data.y + 1e5
    formula = "y ~ x * f + (x | g)"
    whole = mme.lmer(formula, data, weights="w")
    first = mme.CrossProducts.from_chunks(formula, [data[:100]], weights="w")
    sums = first + mme.CrossProducts.from_chunks(first.design, [data[100:]])
    sums.save(tmp_path / "sums")
    fit = mme.CrossProducts.load(tmp_path / "sums").fit()
    fit.save(tmp_path / "fit")
    for one in (fit, mme.load_fit(tmp_path / "fit")):
        for ask in (
            lambda fit: fit.drop1(),
            lambda fit: fit.anova(type=1),
            lambda fit: fit.variance_shares(),
            lambda fit: fit.means("f", weights="cells"),
            lambda fit: np.array([*fit.r2(), *fit.icc(), fit.criterion_contrasts, fit.glance().icc[0]]),
        ):
            np.testing.assert_allclose(np.asarray(ask(one), dtype=float), ask(whole), rtol=1e-5)


def test_a_fit_of_sums_is_saved_with_what_its_rows_stand_for(tmp_path, pair):
    pair[1].save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    assert again.nobs == pair[1].nobs
    assert again.criterion == pair[1].criterion
    with pytest.raises(mme.MMEError, match="sums alone"):
        _ = again.fitted
    with pytest.raises(mme.MMEError, match="holds a fit"):
        mme.CrossProducts.load(tmp_path / "fit.mme")


def test_the_state_of_a_random_slope_is_48_bytes_a_level():
    sums = mme.CrossProducts.from_chunks("y ~ x + (x | g)", table())
    assert sums.sums.held[: sums.sums.size].nbytes == 48 * 25


@pytest.mark.parametrize("far", [2.0e3, 1.0e7])
def test_covariates_and_responses_far_from_zero_keep_their_digits(far):
    data = table()
    moved = data.assign(x=data.x + far, y=data.y + 10.0 * far)
    whole, fit = mme.lmer("y ~ x + (x | g)", moved), mme.lmer("y ~ x + (x | g)", cut(moved))
    assert abs(fit.criterion - whole.criterion) < 1e-10 * abs(whole.criterion)
    assert abs(fit.beta["x"] / whole.beta["x"] - 1.0) < 1e-7


@pytest.mark.parametrize("right", ["x * f + (1 | g)", "x * f + (x | g)", "0 + f + x:f + (1 | g)"])
def test_slopes_within_levels_far_from_zero_are_those_of_the_table(right):
    data = table()
    data["x"] = 1e4 + 1e-3 * (data.x - 3.0)
    whole, sums = (mme.lmer(f"y ~ {right}", one) for one in (data, cut(data)))
    assert whole.dropped == sums.dropped == ()
    assert sums.criterion == pytest.approx(whole.criterion, abs=1e-5)
    slopes = [name for name in whole.fixed_names if "x" in name]
    close(sums.beta[slopes] / whole.se[slopes], whole.beta[slopes] / whole.se[slopes], 1e-5)
    close(sums.se[slopes] / whole.se[slopes], np.ones(len(slopes)), 1e-5)


def test_balanced_levels_and_levels_with_one_record_are_told_apart_from_the_residual():
    balanced = pd.DataFrame({"y": np.random.default_rng(4).standard_normal(60), "x": np.tile(np.arange(6.0), 10)})
    balanced["g"] = np.repeat(np.arange(10), 6)
    balanced["y"] += np.random.default_rng(5).standard_normal(10)[balanced["g"]] * (1.0 + balanced["x"])
    whole, fit = mme.lmer("y ~ x + (x | g)", balanced), mme.lmer("y ~ x + (x | g)", cut(balanced, 7))
    assert abs(fit.criterion - whole.criterion) < 1e-10 * abs(whole.criterion)
    single = balanced.assign(g=np.arange(60))
    for data in (single, cut(single, 7)):
        with pytest.raises(mme.MMEError, match="cannot be told apart"):
            mme.lmer("y ~ x + (1 | g)", data)


def test_a_pedigree_stands_beside_sums():
    pedigree = mme.Pedigree([1, 2, 3, 4, 5, 6], [0, 0, 1, 1, 3, 3], [0, 0, 2, 2, 4, 4])
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"animal": rng.integers(1, 7, 80), "y": rng.standard_normal(80)})
    data["y"] += rng.standard_normal(7)[data["animal"]]
    whole, fit = (
        mme.lmer("y ~ 1 + (1 | animal)", one, relationship={"animal": pedigree}) for one in (data, cut(data, 30))
    )
    assert abs(fit.criterion - whole.criterion) < 1e-10 * abs(whole.criterion)
    close(fit.reliability()["animal"], whole.reliability()["animal"], 1e-6)


@pytest.mark.parametrize("width", [400, 2**62])
def test_places_are_those_of_first_appearance(width):
    rng = np.random.default_rng(1)
    keys = rng.integers(-width, width, 300)[rng.integers(300, size=5000)]
    keys[20:] += 1  # the range grows
    places, first = Places(), dict[int, int]()
    expected = [first.setdefault(key, len(first)) for key in keys.tolist()]
    found = np.concatenate([places.of(part) for part in np.split(keys, [7, 8, 900])])
    assert found.tolist() == expected
    assert places.keys.tolist() == list(first)


@given(st.lists(st.lists(st.integers(-40, 5000) | st.integers(-(2**62), 2**62), max_size=30), max_size=8))
def test_places_with_gaps_are_places_of_their_own_and_can_be_chosen(parts):
    """However the range grows: one place an integer, for ever; the chosen ones as if they alone had come."""
    places, known = GappedPlaces(), dict[int, int]()
    for part in parts:
        found = places.of(np.array(part, dtype=np.int64))
        for key, place in zip(part, found.tolist(), strict=True):
            assert known.setdefault(key, place) == place
            assert places.keys[place] == key
    assert len(set(known.values())) == len(known)
    came = np.array(sorted(known.values()), dtype=np.int64)
    chosen = places.chosen(came)
    assert chosen.size == len(known)
    assert chosen.of(places.keys[came]).tolist() == list(range(len(known)))
    assert chosen.of(np.array([2**62 + 1])).tolist() == [len(known)]


def test_levels_with_gaps_between_them_are_those_that_came():
    """Integers from 3 on, every third; the second chunk goes below the first, the third far above."""
    data = table(900)
    data["g"] = np.where(np.arange(900) < 300, 50, np.where(np.arange(900) < 600, 20, 10**7)) + 3 * data["g"]
    whole, fit = (mme.lmer("y ~ x + (x | g)", one) for one in (data, cut(data, 300)))
    assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12
    assert list(fit.ranef()["g"].index) == list(whole.ranef()["g"].index)
    sums = [mme.CrossProducts.from_chunks("y ~ x + (x | g)", one) for one in (cut(data, 300), cut(data[::-1], 450))]
    assert sums[0].levels == sums[1].levels == {"g": data["g"].nunique()}
    assert (sums[0] + sums[1]).levels == sums[0].levels
    assert abs(sums[1].fit().criterion / whole.criterion - 1.0) < 1e-12


@pytest.mark.parametrize("missing", [(), (3,), (0, 59), (0, 1, 2), (58, 59)])
def test_levels_of_a_range_keep_their_sums_whatever_part_of_it_comes(missing):
    """Integers of a narrow range have places before they come; those beside the ones that came are left out."""
    data = table(900)
    data["g"] = 200 + np.arange(900) * 7 % 60
    data = data[~data.g.isin([200 + g for g in missing])]
    whole = mme.lmer("y ~ x + (x | g)", data)
    for chunks in (cut(data, 300), cut(data.sort_values("g"), 300), cut(data.sort_values("g")[::-1], 300)):
        sums = mme.CrossProducts.from_chunks("y ~ x + (x | g)", chunks)
        assert sums.levels == {"g": 60 - len(missing)}
        fit = (sums + mme.CrossProducts.from_chunks(sums.design, chunks[:1])).fit()
        assert fit.nobs == len(data) + len(chunks[0])
        fit = sums.fit()
        assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12
        assert fit.ranef()["g"].index.equals(whole.ranef()["g"].index)


@pytest.mark.parametrize("apart", [1e-3, 1e-6, 1e-9, 1e-12, 1e-14, 1e-16])
def test_rows_that_are_nearly_alike_before_others_come_cost_no_digits(apart):
    """The direction between them is as long as they are apart, and what it says of y is divided by that."""
    rows = np.array([[1.0, 0.0, 2.0], [1.0, apart, -1.0], [1.0, 1.3, 0.5], [1.0, -2.0, 1.0], [1.0, 0.5, 0.25]])
    held = np.zeros((1, 2, 3))
    left = add_rows(held, np.zeros(5, dtype=np.int64), rows.T.copy())
    R = np.linalg.qr(rows, mode="r")
    R *= np.where(np.diag(R) < 0.0, -1.0, 1.0)[:, None]
    np.testing.assert_allclose(triangles(held)[0], R[:2], rtol=0, atol=2e-15)
    assert np.linalg.norm(left) == pytest.approx(R[2, 2], rel=1e-14)


@pytest.mark.parametrize("unrolled", [0, 10**9])
@pytest.mark.parametrize(("q", "m"), [(1, 1), (1, 4), (2, 2), (2, 4), (3, 4)])
def test_rotated_rows_keep_every_inner_product(q, m, unrolled):
    rng = np.random.default_rng(3)
    rows, cells = rng.standard_normal((200, m)), rng.integers(5, size=200)
    held, left = np.zeros((5, q, m)), np.zeros((m - q, m - q))
    with within(Limits(unrolled_steps=unrolled)):
        for at in np.split(np.arange(200), [13, 14, 80]):
            left = with_rows(left, add_rows(held, cells[at], rows[at].T.copy()).T)
    R = triangles(held)
    inner = np.einsum("gij,gik->jk", R, R)
    inner[q:, q:] += left.T @ left
    np.testing.assert_allclose(inner, rows.T @ rows, rtol=1e-13, atol=1e-13 * 200)
    for g in range(5):
        own = rows[cells == g]
        np.testing.assert_allclose(R[g][:, :q].T @ R[g], own.T[:q] @ own, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("q", "m"), [(1, 1), (1, 3), (2, 2), (2, 3), (2, 5)])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_loop_of_one_or_two_columns_gives_the_bits_of_that_of_any_number(q, m, compiled):
    """Rows of zeros, of a column that depends on the first, of an entry alone and of many sizes."""
    rng = np.random.default_rng(8)
    columns, cells = rng.standard_normal((m, 600)) * 10.0 ** rng.integers(-9, 9, 600), rng.integers(40, size=600)
    columns[:, ::7] = 0.0
    columns[0, ::5] = 0.0
    columns[-1, 100:200] = 3.0 * columns[0, 100:200]
    columns[0, cells < 5] = 1.0
    found = []
    for plain in (rotate, rotate_two):
        held, given = np.zeros((40, q, m)), columns.copy()
        kernel(plain, 10**9 if compiled else 0)(held, cells, given, np.empty(m + q))
        found.append((held, given[q:]))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
