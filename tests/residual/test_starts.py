"""Where a search begins, by the moments of residuals, and where it looks again: each structure says it of itself."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.residual import Bound, bind

# Six complete groups by four occasions, sorted; strata, arms and a covariate.
COLUMNS = {
    "t": np.tile(np.arange(4), 6),
    "g": np.repeat(np.arange(6), 4),
    "f": np.tile([0, 1, 1, 2], 6),
    "arm": np.repeat([0, 1], 12),
    "v": np.linspace(1.0, 3.0, 24),
}
RESIDUAL = np.random.default_rng(3).standard_normal(24) * np.tile([1.0, 4.0, 0.5, 2.0], 6)


def with_gaps(structure) -> tuple[Bound, np.ndarray]:
    """The structure without two records, so that occasions and arms have several numbers of them."""
    there = ~np.isin(np.arange(24), [5, 14])
    return bind(structure, lambda name: COLUMNS[name][there], 22), there


def read(structure) -> Bound:
    return bind(structure, COLUMNS.__getitem__, 24)


def root_mean_squares(of: str, residual: np.ndarray) -> np.ndarray:
    return np.array([np.sqrt(np.mean(residual[COLUMNS[of] == one] ** 2)) for one in np.unique(COLUMNS[of])])


def of_variances(structure, residual: np.ndarray) -> np.ndarray:
    of = read(structure)
    return of.natural(of.start(residual))[[name.startswith("sd.") for name in of.names]]


BY_LEVEL = [
    (mme.Heterogeneous("f"), "f"),
    (mme.AnteDependence("t", "g"), "t"),
    (mme.Unstructured("t", "g"), "t"),
    (mme.AR1("t", "g").by("arm"), "arm"),
]
by_level = pytest.mark.parametrize(("structure", "level"), BY_LEVEL, ids=["het", "ante", "un", "by"])


@by_level
def test_standard_deviations_begin_at_ratios_of_root_mean_squares(structure, level):
    of, there = with_gaps(structure)
    own = COLUMNS[level][there]
    rms = np.array([np.sqrt(np.mean(RESIDUAL[there][own == one] ** 2)) for one in np.unique(own)])
    found = of.natural(of.start(RESIDUAL[there]))[[name.startswith("sd.") for name in of.names]]
    np.testing.assert_allclose(found, rms[1:] / rms[0], rtol=1e-12)


@by_level
def test_where_a_level_has_residuals_of_zero_standard_deviations_begin_alike_and_elsewhere_within_their_reach(
    structure, level
):
    """exp(4) either way; covariances of moments keep a thousandth of the largest."""
    last = COLUMNS[level] == COLUMNS[level].max()
    small, large, none = (np.where(last, RESIDUAL * by, RESIDUAL) for by in (1e-9, 1e9, 0.0))
    found = [of_variances(structure, residual)[-1] for residual in (small, large, none)]
    if structure is BY_LEVEL[2][0]:
        rms = root_mean_squares(level, RESIDUAL)
        expected = [1e-3 * rms.max() / rms[0], 1e3, 1e-3 * rms.max() / rms[0]]
    else:
        expected = [np.exp(-4.0), np.exp(4.0), 1.0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_level_by_level_start_begins_in_the_units_of_its_variances():
    """RMS of residuals over the standard deviations at which the parts begin."""
    of = read(mme.Heterogeneous("f").by("arm"))
    ratios = []
    for arm in (0, 1):
        e, f = RESIDUAL[COLUMNS["arm"] == arm], COLUMNS["f"][COLUMNS["arm"] == arm]
        rms = np.sqrt([np.mean(e[f == one] ** 2) for one in range(3)])
        ratios.append((rms[1:] / rms[0], np.sqrt(np.mean((e / (rms / rms[0])[f]) ** 2))))
    expected = [*ratios[0][0], *ratios[1][0], ratios[1][1] / ratios[0][1]]
    np.testing.assert_allclose(of.natural(of.start(RESIDUAL)), expected, rtol=1e-12)


@pytest.mark.parametrize("equal_variances", [False, True])
def test_correlations_begin_at_those_of_pairs_drawn_to_the_identity_until_no_eigenvalue_is_below_a_tenth(
    equal_variances,
):
    """Over the groups that have both occasions; of two groups the four correlations are singular."""
    rng, cor, J = np.random.default_rng(1), np.triu_indices(4, 1), 40
    there = rng.uniform(size=4 * J) > 0.2
    occasion, group = np.tile(np.arange(4), J), np.repeat(np.arange(J), 4)
    structure = mme.Unstructured(occasion[there], group[there], equal_variances=equal_variances)
    of, e = bind(structure, np.asarray, int(there.sum())), rng.standard_normal(4 * J) * (1.0 + occasion)
    table, seen = np.where(there, e, 0.0).reshape(J, 4), there.reshape(J, 4).astype(float)
    S = (table.T @ table) / (seen.T @ seen)
    C = S / np.sqrt(np.outer(S.diagonal(), S.diagonal()))
    assert np.linalg.eigvalsh(C)[0] > 0.1
    np.testing.assert_allclose(of.natural(of.start(e[there]))[:6], C.T[cor], rtol=1e-10)

    few = read(mme.Unstructured("t", "g", equal_variances=equal_variances))
    e = np.tile(rng.standard_normal((2, 4)), (3, 1))  # two groups, thrice
    C = (e.T @ e) / np.sqrt(np.outer((e**2).sum(axis=0), (e**2).sum(axis=0)))
    lowest = np.linalg.eigvalsh(C)[0]
    share = (0.1 - lowest) / (1.0 - lowest)
    np.testing.assert_allclose(few.natural(few.start(e.ravel()))[:6], (1.0 - share) * C.T[cor], rtol=1e-10)
    np.testing.assert_allclose(few.natural(few.start(np.zeros(24)))[:6], 0.0, atol=1e-12)


@pytest.mark.parametrize("structure", [mme.PowerOfCovariate("v"), mme.ExponentialOfCovariate("v")])
def test_a_power_begins_at_the_slope_of_log_residuals(structure):
    logs = np.log(COLUMNS["v"]) if isinstance(structure, mme.PowerOfCovariate) else COLUMNS["v"]
    of = read(structure)
    slope = np.polyfit(logs, np.log(np.abs(RESIDUAL)), 1)[0]
    np.testing.assert_allclose(of.natural(of.start(RESIDUAL)), [slope], rtol=1e-10)
    steep = of.start(np.exp(40.0 * logs))
    np.testing.assert_allclose((steep, of.start(np.exp(-40.0 * logs))), [[4.0], [-4.0]], rtol=1e-12)
    zero = np.where(np.arange(24) == 5, 0.0, RESIDUAL)
    np.testing.assert_array_equal((of.start(zero), of.start()), np.zeros((2, 1)))


def test_parts_of_a_product_begin_at_what_those_before_them_leave():
    strata, covariate = mme.Heterogeneous("f"), mme.PowerOfCovariate("v")
    whole, one, two, three = (
        read(s)
        for s in (
            [mme.Unstructured("t", "g", equal_variances=True), strata, covariate],
            strata,
            covariate,
            mme.Unstructured("t", "g", equal_variances=True),
        )
    )
    first = one.start(RESIDUAL)
    second = two.start(RESIDUAL / np.exp(one.log_sd(first)))
    third = three.start(RESIDUAL / np.exp(one.log_sd(first)) / np.exp(two.log_sd(second)))
    np.testing.assert_allclose(whole.start(RESIDUAL), np.concatenate([third, first, second]), rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"isotropic": False}, {"smoothness": None}])
def test_beside_a_nugget_a_search_begins_at_the_likeliest_of_short_ranges(options):
    """Of the first range, and of a tenth to seven tenths of it beside nuggets from .001 to .9: -2 log L by dense R."""
    rng = np.random.default_rng(2)
    places = {"a": rng.uniform(0, 9, 30), "b": rng.uniform(0, 9, 30), "g": np.repeat([0, 1], 15)}
    of = bind(mme.Spatial("matern", ["a", "b"], "g", nugget=True, **options), places.__getitem__, 30)
    ranges = 2 if "isotropic" in options else 1
    first, every = of.start(), np.arange(30)
    assert of.natural(first)[-1] == pytest.approx(0.2, rel=1e-12)
    begun = [first]
    for times in (0.1, 0.2, 0.4, 0.7):
        for nugget in (1e-3, 0.05, 0.2, 0.6, 0.9):
            x = first.copy()
            x[:ranges] += np.log(times)
            x[-1] = np.log(nugget / (1.0 - nugget))
            begun.append(x)

    def unlikely(x, e):
        R = of.covariance(x, every)
        return np.linalg.slogdet(R)[1] + 30 * np.log(e @ np.linalg.solve(R, e))

    chosen = set()
    for at in (*begun, np.append(first[:-1] + 2.0, -5.0)):
        e = 7.0 * of.colour(at, rng.standard_normal((1, 30)))[0]
        best = min(begun, key=lambda x: unlikely(x, e))
        np.testing.assert_allclose(of.start(e), best, rtol=1e-12)
        chosen.add(tuple(best))
    assert {x[-1] for x in chosen} == {x[-1] for x in begun[:6]}


@pytest.mark.parametrize("equal_variances", [False, True])
def test_fewer_complete_groups_than_occasions_show_a_sum_that_does_not_vary(equal_variances):
    """At the coordinates returned, the sum without variance is zero in the residuals of all complete groups."""
    rng = np.random.default_rng(5)
    occasion, group = np.append(np.tile([0, 1, 2], 2), [0, 1, 1, 2]), np.append([0, 0, 0, 1, 1, 1], [2, 2, 3, 3])
    structure = mme.Unstructured(occasion, group, equal_variances=equal_variances)
    of = bind(structure, np.asarray, 10)
    for _ in range(4):
        e = rng.standard_normal(10) * np.array([1.0, 2.0, 0.7])[occasion]
        x = of.singular(e)
        if x is None:
            assert equal_variances
            continue
        C = of.covariance(x, np.arange(3))
        values, vectors = np.linalg.eigh(C)
        assert 0.0 < values[0] < 1e-10 * values[-1]
        assert values[1] > 1e-4 * values[-1]
        np.testing.assert_allclose(e[:6].reshape(2, 3) @ vectors[:, 0], 0.0, atol=1e-5)
    assert bind(mme.Unstructured([0, 1, 0, 1], [0, 0, 1, 1]), np.asarray, 4).singular(rng.standard_normal(4)) is None
    apart = mme.Unstructured([0, 1, 1, 2, 0, 2], [0, 0, 1, 1, 2, 2], equal_variances=True)
    assert bind(apart, np.asarray, 6).singular(rng.standard_normal(6)) is None  # no group is complete


# --- where a search looks again --------------------------------------------------------------------------------------


def shares(logits) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.asarray(logits)))


RANGES = np.exp([-0.7, 0.0, 0.5, 1.0, 1.5, 2.2, 3.0])
CLOSER = np.exp([*np.arange(0.1, 2.6, 0.2), 3.0, 3.5])
AR1 = np.tanh([-2.0, -0.5, 0.5, 2.0])
ELSEWHERE = {
    "weak and strong correlations of both signs": (mme.AR1("t", "g"), [[rho] for rho in AR1]),
    "the same, each beside a small and a large nugget": (
        mme.AR1("t", "g").with_nugget(),
        [[rho, nugget] for rho in AR1 for nugget in shares([-2.0, 1.0])],
    ),
    "a correlation within a group from near its lowest to near one": (
        mme.CompoundSymmetry("g"),
        [[-1 / 3 + 4 / 3 * p] for p in shares([-3.0, -1.0, 1.0, 3.0])],
    ),
    "powers of both signs": (mme.PowerOfCovariate("v"), [[z / np.log(COLUMNS["v"]).std()] for z in (-0.7, 0.7)]),
    "phi of both signs, with gamma of several sizes": (
        mme.ARMA("t", "g"),
        [np.tanh([z, c - z / 2]) for z in (-2.0, -0.7, 0.7, 2.0) for c in (-0.5, 0.0, 0.5)],
    ),
    "ranges from half a gap to twenty, beside three nuggets": (
        mme.Exponential("t", "g", nugget=True),
        [[r, nugget] for r in RANGES for nugget in (0.05, 0.3, 0.8)],
    ),
    "ranges of a Gaussian correlation": (mme.Spatial("gaussian", ["t"], "g"), [[r] for r in RANGES]),
    "ranges at which a correlation ends stand closer": (mme.Spatial("spherical", ["t"], "g"), [[r] for r in CLOSER]),
    "not so beside a nugget": (
        mme.Spatial("linear", ["t"], "g", nugget=True),
        [[r, nugget] for r in RANGES for nugget in (0.05, 0.3, 0.8)],
    ),
    "nowhere": (mme.Exponential("t", "g"), []),
}


@pytest.mark.parametrize("claim", ELSEWHERE)
def test_a_search_looks_again_at(claim):
    structure, places = ELSEWHERE[claim]
    of = read(structure)
    found = [of.natural(x) for x in of.elsewhere(of.start())]
    np.testing.assert_allclose(np.reshape(found, (len(places), of.k)), np.reshape(places, (-1, of.k)), rtol=1e-12)


def test_ranges_of_two_directions_are_tried_alike_and_what_else_there_is_stays():
    places = np.random.default_rng(4).uniform(size=(3, 12))
    structure = mme.Spatial("matern", list(places[:2]), ["a"] * 12, isotropic=False, smoothness=None)
    of = bind(structure, np.asarray, 12)
    x = np.array([0.1, 0.2, -0.4])
    np.testing.assert_allclose(of.elsewhere(x), [[np.log(r), np.log(r), -0.4] for r in RANGES], rtol=1e-12)


def test_a_product_looks_at_all_places_of_few_parts_together_and_of_many_one_part_at_a_time():
    one, other, third = mme.AR1("t", "g"), mme.PowerOfCovariate("v"), mme.ExponentialOfCovariate("t")
    few, many = read([one, other]), read([one, other, third])
    rho, power = [-2.0, -0.5, 0.5, 2.0], [-0.7, 0.7]
    every = [[a, b] for a in (0.1, *rho) for b in (0.2, *power)][1:]
    np.testing.assert_allclose(few.elsewhere(np.array([0.1, 0.2])), every)
    apart = [[a, 0.2, 0.3] for a in rho] + [[0.1, b, 0.3] for b in power] + [[0.1, 0.2, c] for c in power]
    np.testing.assert_allclose(many.elsewhere(np.array([0.1, 0.2, 0.3])), apart)


def test_which_structures_are_searched_from_several_places():
    nugget = {"nugget": True}
    said = {
        (of.kind, of.has_valleys, of.has_one_valley_alone)
        for of in map(
            read,
            (
                mme.AR1("t", "g"),
                mme.CompoundSymmetry("g"),
                mme.PowerOfCovariate("v"),
                mme.ARMA("t", "g"),
                mme.Spatial("gaussian", ["t"], "g"),
                mme.Spatial("gaussian", ["t"], "g", **nugget),
                mme.Unstructured("t", "g"),
            ),
        )
    }
    assert said == {
        ("AR1", False, True), ("CompoundSymmetry", False, True), ("PowerOfCovariate", False, True),
        ("ARMA(1, 1)", False, False), ("Spatial gaussian", False, False), ("Spatial gaussian with nugget", True, False),
        ("Unstructured", False, False),
    }  # fmt: skip


# --- how far it goes -------------------------------------------------------------------------------------------------


BAND = mme.Toeplitz("t", "g", bands=2)


@pytest.mark.parametrize(
    ("structure", "radius"),
    [
        (mme.AR1("t", "g"), [0.5]),
        (mme.ARMA("t", "g"), [0.5, 0.5]),
        (mme.AR1("t", "g").with_nugget(), [0.5, 0.5]),
        (mme.Toeplitz("t", "g"), [0.3, 0.3, 0.3]),
        (BAND, [0.75, 0.75]),
        ([BAND, mme.PowerOfCovariate("v")], [0.75, 0.75, 0.5]),
        (mme.AnteDependence("t", "g").by("arm"), [0.3] * 12 + [0.5]),
    ],
    ids=str,
)
def test_how_far_off_a_start_may_be(structure, radius):
    """Half a coordinate; of occasions a third; of a band a quarter of a correlation, in coordinates of T - 1 steps."""
    np.testing.assert_array_equal(read(structure).radius(), radius)


def test_coordinates_that_are_far_out_go_further_to_their_ends_and_a_band_along_its_ray():
    x, far = np.array([6.0, -8.0, 0.5]), np.array([True, True, False])
    product = read([mme.AR1("t", "g") * mme.Exponential("v"), mme.PowerOfCovariate("v")])
    np.testing.assert_array_equal(product.further(x, far, 2.0), [8.0, -10.0, 0.5])
    np.testing.assert_array_equal(product.further(x, far, -2.0), [4.0, -6.0, 0.5])  # and back
    band = read(BAND)
    x = np.array([3.0, -4.0])
    np.testing.assert_allclose(band.further(x, np.array([False, True]), 2.0), 1.4 * x, rtol=1e-15)
    np.testing.assert_array_equal(band.further(x, np.array([False, False]), 2.0), x)


def test_a_correlation_that_ends_at_its_range_has_a_kink_where_the_range_is_a_distance():
    """Places 0, 1 and twice 4: a range of 2 is a factor of 3/2 from the distance 3."""
    places = [0.0, 1.0, 4.0, 4.0]
    for kind, nearest in (("spherical", np.log(1.5)), ("linear", np.log(1.5)), ("gaussian", np.inf)):
        of = bind(mme.Spatial(kind, [places], ["a"] * 4, nugget=True), np.asarray, 4)
        x = of.coordinates(np.array([2.0, 0.3]))
        np.testing.assert_allclose(of.smooth_within(x), [nearest, np.inf], rtol=1e-12)


@pytest.mark.parametrize(("sign", "z"), [(1.0, 0.7), (-1.0, -0.7)])
def test_far_out_along_its_limits_ARMA_has_equal_correlations_or_those_of_alternating_signs(sign, z):
    of = read(mme.ARMA("t", "g"))
    direction = of.intrinsic[0 if sign > 0 else 1]
    np.testing.assert_array_equal(direction, [sign, -0.5 * sign])
    C = of.covariance(np.array([z, 0.2]) + 12.0 * direction, np.arange(4))
    gamma = C[0, 1]
    assert 0.05 < sign * gamma < 0.95
    np.testing.assert_allclose(C[0, 1:], gamma * sign ** np.arange(3), rtol=1e-8)
