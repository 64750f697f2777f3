"""Tests of a variance that is zero: mixtures of chi-squares, and the exact distribution by simulation."""

import numpy as np
import pytest
from cases import load_case, load_data
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import chi2, f, kstest, norm

import mme
from mme.inference.comparison.boundary import spectrum
from mme.inference.comparison.nested import Difference

# RLRsim 3.1-8 (R 4.2.2), exactRLRT and RLRTSim with 200,000 draws: statistic, p, share of zeros, quantiles of the null.
RLRSIM = {
    "dyestuff": ("Dyestuff", "Yield ~ 1 + (1 | Batch)", 6.368955314, 0.004655, 0.56107, (1.32119, 2.31911, 5.02571)),
    "pastes": ("Pastes", "strength ~ 1 + (1 | batch)", 8.583749375, 0.001455, 0.54812, (1.37904, 2.35323, 5.00464)),
    "oats": ("Oats", "yield ~ nitro + Variety + (1 | Block)", 31.37259319, 0.0, 0.57610, (1.22985, 2.19721, 4.74597)),
    "slopes": (
        "sleepstudy",
        "Reaction ~ Days + (0 + Days | Subject)",
        127.138636,
        0.0,
        0.54046,
        (1.42352, 2.42688, 5.02940),
    ),
    "unbalanced": ("sim_singletons", "y ~ x + (1 | grp)", 310.026148, 0.0, 0.52035, (1.52929, 2.57278, 5.22339)),
}


def unbalanced(seed: int, sizes: list[int], sd: float = 0.0) -> mme.Fit:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.standard_normal(g.size)
    y = 1.0 + x + sd * rng.standard_normal(len(sizes))[g] + rng.standard_normal(g.size)
    return mme.fit(y, np.column_stack([np.ones(g.size), x]), [mme.Term(g, name="g")])


# -- the mixture --------------------------------------------------------------------------------------------------


def test_one_variance_is_half_zero_and_half_one_degree_of_freedom():
    large = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff"))
    small = mme.fit(large.internals.model.y, large.internals.model.X, [])
    test = mme.variance_test(large, small)
    assert_allclose(test.statistic, small.criterion - large.criterion, rtol=1e-12)
    assert_allclose(test.p, 0.5 * chi2.sf(test.statistic, 1), rtol=1e-12)
    assert test.reference == "0.5 chi2(0) + 0.5 chi2(1)"
    assert_allclose(mme.variance_test(large).p, test.p, rtol=1e-6)


def test_a_slope_with_its_correlation_is_half_one_and_half_two():
    data = load_data("sleepstudy")
    large, small = (mme.lmer(f"Reaction ~ Days + ({bar} | Subject)", data) for bar in ("Days", "1"))
    test = mme.variance_test(large, small)
    stored = [load_case(name).json["objective"] for name in ("sleepstudy_int_reml", "sleepstudy_slope_reml")]
    assert_allclose(test.statistic, stored[0] - stored[1], atol=1e-6)
    assert_allclose(test.p, 0.5 * (chi2.sf(test.statistic, 1) + chi2.sf(test.statistic, 2)), rtol=1e-12)


def test_a_slope_without_correlation_is_one_variance():
    data = load_data("sleepstudy")
    large, small = (
        mme.lmer(f"Reaction ~ Days + {bar}", data, method="ML") for bar in ("(Days || Subject)", "(1 | Subject)")
    )
    assert mme.variance_test(large, small).reference == "0.5 chi2(0) + 0.5 chi2(1)"


def test_a_ratio_is_of_two_optima():
    data = load_data("sleepstudy")
    given = mme.lmer("Reaction ~ Days + (1 | Subject)", data, theta=[0.2])
    for test in (mme.variance_test, mme.exact_rlrt):
        with pytest.raises(mme.MMEError, match="theta was given"):
            test(given)
    ar1 = mme.AR1("Days", "Subject")
    large = mme.lmer("Reaction ~ Days + (1 | Subject)", data, residual=ar1)
    with pytest.raises(mme.MMEError, match="a residual structure, which is estimated anew"):
        mme.variance_test(large)
    small = mme.fit(
        large.internals.model.y, large.internals.model.X, [], residual=mme.AR1(data["Days"], data["Subject"])
    )
    test = mme.variance_test(large, small)
    assert test.statistic == pytest.approx(small.criterion - large.criterion, rel=1e-12)
    assert test.statistic < large.internals.objective(np.zeros(1)) - large.criterion - 1.0  # at the phi of the larger


def test_a_variance_estimated_as_zero_has_p_of_one():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff2"))
    assert mme.variance_test(fit).p == 1.0
    assert mme.variance_test(fit).statistic == 0.0
    assert mme.exact_rlrt(fit, 1000, seed=1).p == 1.0


def test_fits_that_differ_otherwise_are_refused():
    data = load_data("sleepstudy")
    slopes = mme.lmer("Reaction ~ Days + (Days | Subject)", data)
    intercepts = mme.lmer("Reaction ~ Days + (1 | Subject)", data)
    with pytest.raises(mme.MMEError, match=r"second fit has more parameters \(6\) than the first \(4\)"):
        mme.variance_test(intercepts, slopes)
    with pytest.raises(mme.MMEError, match="do not differ by a variance"):
        mme.variance_test(slopes, mme.lmer("Reaction ~ Days + (Days || Subject)", data))
    with pytest.raises(mme.MMEError, match="this fit has 3 variance parameters"):
        mme.variance_test(slopes)
    ml = [
        mme.lmer(f, data, method="ML") for f in ("Reaction ~ Days + (Days | Subject)", "Reaction ~ 1 + (1 | Subject)")
    ]
    with pytest.raises(mme.MMEError, match="differ in their fixed effects too"):
        mme.variance_test(*ml)
    with pytest.raises(mme.MMEError, match="REML with ML"):
        mme.variance_test(slopes, ml[1])


# -- the mixture in a table of fits ---------------------------------------------------------------------------------


def sleep_fits(*random: str, fixed: str = "Days", method: str = "REML") -> list[mme.Fit]:
    data = load_data("sleepstudy")
    return [mme.lmer(f"Reaction ~ {fixed} + {bars}", data, method=method) for bars in random]


@pytest.mark.parametrize("c", [0, 1, 2, 5])
@pytest.mark.parametrize("t", [0.3, 2.7, 11.0])
def test_the_tail_is_that_of_the_projection_on_a_half_space(c, t):
    """P(|v|^2 + max(z, 0)^2 > t), v in R^c and z standard normal, by quadrature over z."""

    def given(z: float) -> float:
        left = t - max(z, 0.0) ** 2
        return norm.pdf(z) * (1.0 if left <= 0 else chi2.sf(left, c) if c else 0.0)

    exact = quad(given, -12.0, 0.0)[0] + quad(given, 0.0, np.sqrt(t))[0] + norm.sf(np.sqrt(t))
    assert_allclose(Difference(free=c, edge=1).tail(t), exact, rtol=1e-9)


def test_a_table_names_the_reference_of_each_comparison():
    fits = sleep_fits("(1 | Subject)", "(Days || Subject)", "(Days | Subject)")
    table = mme.anova(*fits, boundary=True)
    plain = mme.anova(*fits)
    assert table["reference"].tolist() == ["", "0.5 chi2(0) + 0.5 chi2(1)", "chi2(1)"]
    assert_allclose(table["p"], plain["p"] * [1.0, 0.5, 1.0], rtol=1e-12)
    assert table.drop(columns=["p", "reference"]).equals(plain.drop(columns="p"))
    assert "reference" not in plain


@pytest.mark.parametrize(
    ("data", "fixed", "without", "having", "reference"),
    [
        ("sleepstudy", "Reaction ~ Days", "(1 | Subject)", "(Days | Subject)", "0.5 chi2(1) + 0.5 chi2(2)"),
        ("sleepstudy", "Reaction ~ Days", "(1 | Subject)", "(scale(Days) | Subject)", "0.5 chi2(1) + 0.5 chi2(2)"),
        ("sleepstudy", "Reaction ~ Days", "(0 + Days | Subject)", "(Days || Subject)", "0.5 chi2(0) + 0.5 chi2(1)"),
        ("sleepstudy", "Reaction ~ Days", "(1 | Subject)", "diag(Days | Subject)", "0.5 chi2(0) + 0.5 chi2(1)"),
        ("Pastes", "strength ~ 1", "(1 | batch)", "(1 | batch) + (1 | sample)", "0.5 chi2(0) + 0.5 chi2(1)"),
        ("Pastes", "strength ~ 1", "(1 | sample)", "(1 | batch/cask)", "0.5 chi2(0) + 0.5 chi2(1)"),
        ("Machines", "score ~ Machine", "(1 | Worker)", "(1 | Worker/Machine)", "0.5 chi2(0) + 0.5 chi2(1)"),
        (
            "Machines",
            "score ~ Machine",
            "(1 | Worker)",
            "(1 | Worker) + diag(0 + Machine | Worker, hom = TRUE)",
            "0.5 chi2(0) + 0.5 chi2(1)",
        ),
        ("Oxboys", "height ~ age", "(age | Subject)", "(age + I(age^2) | Subject)", "0.5 chi2(2) + 0.5 chi2(3)"),
        ("Oxboys", "height ~ age", "(age || Subject)", "(age + I(age^2) | Subject)", "0.5 chi2(3) + 0.5 chi2(4)"),
    ],
)
def test_the_table_and_the_test_of_one_variance_agree(data, fixed, without, having, reference):
    small, large = (mme.lmer(f"{fixed} + {bars}", load_data(data)) for bars in (without, having))
    row = mme.anova(large, small, boundary=True).iloc[1]
    test = mme.variance_test(large, small)
    assert (row["chisq"], row["p"], row["reference"]) == (test.statistic, test.p, test.reference)
    assert test.reference == reference
    assert large.dof - small.dof == int(reference[-2])


def test_fixed_effects_and_covariances_alone_keep_the_chi_square_of_wilks():
    flat, line = (sleep_fits("(1 | Subject)", fixed=fixed, method="ML")[0] for fixed in ("1", "Days"))
    table = mme.anova(flat, line, boundary=True)
    assert table["reference"].tolist() == ["", "chi2(1)"]
    assert_allclose(table["p"], mme.anova(flat, line)["p"], rtol=1e-12)
    same = mme.anova(line, line, boundary=True)
    assert same["reference"].tolist() == ["", ""]
    assert same["p"].isna().all()


def test_the_first_variance_of_a_model_is_tested_against_none():
    large = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff"))
    table = mme.anova(mme.fit(large.internals.model.y, large.internals.model.X, []), large, boundary=True)
    assert_allclose(table["p"].iloc[1], 0.5 * chi2.sf(table["chisq"].iloc[1], 1), rtol=1e-12)


def test_with_equal_groups_the_mixture_approaches_the_exact_level():
    """One-way layout at the F of exact level 0.05: the ratio is that of F, and its error falls like 1 / sqrt(J)."""
    m, errors = 3, []
    for J in (25, 100, 400):
        F = f.isf(0.05, J - 1, J * (m - 1))
        rng = np.random.default_rng(J)
        g = np.repeat(np.arange(J), m)
        between = rng.standard_normal(J)
        between = (between - between.mean()) * np.sqrt(F / (m * between.var(ddof=1)))
        within = rng.standard_normal((J, m))
        within -= within.mean(axis=1, keepdims=True)
        y = between[g] + within.ravel() * np.sqrt(J * (m - 1) / (within**2).sum())
        X = np.ones((J * m, 1))
        row = mme.anova(mme.fit(y, X, []), mme.fit(y, X, [mme.Term(g, name="g")]), boundary=True).iloc[1]
        nu = J * m - 1
        ratio = nu * np.log(((J - 1) * F + J * (m - 1)) / nu) - (J - 1) * np.log(F)
        assert_allclose(row["chisq"], ratio, atol=1e-6)
        errors.append(abs(row["p"] - 0.05))
    assert_allclose(np.array(errors[:-1]) / errors[1:], 2.0, rtol=0.15)


@pytest.mark.parametrize(
    ("small", "large", "message"),
    [
        (("1", "(1 | Subject)"), ("Days", "(Days | Subject)"), "differ in their fixed effects too"),
        (("Days", "(1 | Subject)"), ("Days", "(Days + I(Days^2) | Subject)"), "larger model has 2 variances more"),
        (("Days", "(0 + Days | Subject)"), ("Days", "(I(Days^2) | Subject)"), "'Subject' of one is no part of"),
        (("I(Days^2)", "(1 | Subject)"), ("Days", "(Days | Subject)"), "neither X holds the other"),
        (("Days", "(1 | Subject)"), ("Days", "cs(Days + I(Days^2) | Subject)"), "'Subject' of one is no part of"),
        (
            ("Days", "(1 | Subject)"),
            ("Days", "(1 | Subject) + cs(0 + Days + I(Days^2) | Subject)"),
            "'Subject.1' has a correlation or another parameter that means nothing where its variance is zero",
        ),
    ],
)
def test_comparisons_whose_reference_is_not_known_are_refused(small, large, message):
    fits = [sleep_fits(bars, fixed=fixed, method="ML")[0] for fixed, bars in (small, large)]
    with pytest.raises(mme.MMEError, match=message) as refusal:
        mme.anova(*fits, boundary=True)
    assert f"Reaction ~ {small[0]} + {small[1]} beside Reaction ~ {large[0]}" in str(refusal.value)
    assert len(mme.anova(*fits)) == 2


def test_a_process_is_no_diagonal_covariance():
    rng = np.random.default_rng(3)
    g, times = np.repeat(np.arange(12), 8), np.tile(np.arange(8.0), 12)
    y, X = rng.normal(size=12)[g] + rng.normal(size=96), np.ones((96, 1))
    process = mme.fit(y, X, [mme.Term.ou(times, g)])
    with pytest.raises(mme.MMEError, match="has a correlation or another parameter that means nothing where"):
        mme.variance_test(process, mme.fit(y, X, []))


def test_a_process_in_both_models_is_no_difference_between_them():
    rng = np.random.default_rng(3)
    g, h, times = np.repeat(np.arange(12), 8), np.tile(np.arange(4), 24), np.tile(np.arange(8.0), 12)
    y, X = rng.normal(size=12)[g] + rng.normal(size=4)[h] + rng.normal(size=96), np.ones((96, 1))
    small, large = (mme.fit(y, X, [mme.Term.ou(times, g), *more]) for more in ([], [mme.Term(h)]))
    assert mme.variance_test(large, small).reference == "0.5 chi2(0) + 0.5 chi2(1)"


def test_a_smaller_fit_that_is_singular_is_refused():
    data = load_data("Dyestuff2").assign(half=np.tile([0, 1], 15))
    small, large = (mme.lmer(f"Yield ~ 1 + {bars}", data) for bars in ("(1 | Batch)", "(1 | Batch) + (1 | Batch:half)"))
    with pytest.raises(mme.MMEError, match=r"singular itself \(Batch.\(Intercept\) at zero\)"):
        mme.anova(small, large, boundary=True)


def test_records_seen_differently_are_refused():
    data = load_data("sleepstudy").assign(w=np.tile([1.0, 2.0], 90), g=np.repeat(np.arange(18), 10))
    small = mme.lmer("Reaction ~ Days + (1 | Subject)", data)
    weighted = mme.lmer("Reaction ~ Days + (Days | Subject)", data, weights="w")
    with pytest.raises(mme.MMEError, match="different weights"):
        mme.anova(small, weighted, boundary=True)
    ar1 = mme.lmer("Reaction ~ Days + (1 | Subject)", data, residual=mme.AR1("Days", "Subject"))
    with pytest.raises(mme.MMEError, match="different residual structures"):
        mme.anova(small, ar1, boundary=True)
    both = mme.lmer("Reaction ~ Days + (Days | Subject)", data, residual=mme.AR1("Days", "Subject"))
    assert mme.anova(ar1, both, boundary=True)["reference"].iloc[1] == "0.5 chi2(1) + 0.5 chi2(2)"
    given = mme.lmer("Reaction ~ Days + (Days | Subject)", data, theta=[1.0, 0.0, 0.2])
    with pytest.raises(mme.MMEError, match="theta or phi was given"):
        mme.anova(small, given, boundary=True)
    renamed = mme.lmer("Reaction ~ Days + (Days | g)", data)  # the same partition under another name
    assert mme.anova(small, renamed, boundary=True)["reference"].iloc[1] == "0.5 chi2(1) + 0.5 chi2(2)"


def test_a_relationship_is_part_of_what_a_term_is():
    rng = np.random.default_rng(3)
    animal = np.tile(np.arange(12), 4)
    K = np.eye(12) + 0.3 * (np.add.outer(np.arange(12), np.arange(12)) % 2 == 0)
    related = [mme.Relationship(covariance=K, levels=np.arange(12)) for _ in range(2)]
    y = rng.standard_normal(12)[animal] + rng.standard_normal(48)
    X = np.ones((48, 1))
    own = mme.Term(animal, name="own")
    small = mme.fit(y, X, [own])
    large = mme.fit(y, X, [own, mme.Term(animal, name="animal", relationship=related[0])])
    other = mme.fit(y, X, [mme.Term(animal, name="animal", relationship=related[1])])
    assert mme.anova(small, large, boundary=True)["reference"].iloc[1] == "0.5 chi2(0) + 0.5 chi2(1)"
    assert mme.anova(other, large, boundary=True)["reference"].iloc[1] == "0.5 chi2(0) + 0.5 chi2(1)"


# -- the exact distribution ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RLRSIM)
def test_statistic_p_and_distribution_are_rlrsims(name):
    data, formula, statistic, p, zeros, quantiles = RLRSIM[name]
    n = 50_000
    test = mme.exact_rlrt(mme.lmer(formula, load_data(data)), n, seed=1)
    assert_allclose(test.statistic, statistic, atol=1e-6)
    # four standard errors of both simulations
    assert abs(test.p - p) < 4.0 * np.sqrt(max(p, 1.0 / n) / n * 1.25)
    assert abs((test.null < 1e-8).mean() - zeros) < 4.0 * np.sqrt(zeros * (1.0 - zeros) / n * 1.25)
    for level, quantile in zip((0.9, 0.95, 0.99), quantiles, strict=True):
        exceeding = (test.null > quantile).mean()
        assert abs(exceeding - (1.0 - level)) < 4.0 * np.sqrt(level * (1.0 - level) / n * 1.25)


@pytest.mark.parametrize(("J", "m"), [(6, 5), (3, 4), (20, 2)])
def test_with_equal_groups_it_is_the_f_test(J, m):
    """The statistic is then a function of F = MSB / MSW that increases where F > 1 and is zero elsewhere."""
    rng = np.random.default_rng(J)
    g = np.repeat(np.arange(J), m)
    y = 0.6 * rng.standard_normal(J)[g] + rng.standard_normal(J * m)
    fit = mme.fit(y, np.ones((J * m, 1)), [mme.Term(g, name="g")])
    test = mme.exact_rlrt(fit, 100_000, seed=2)
    means = y.reshape(J, m).mean(axis=1)
    between = m * ((means - y.mean()) ** 2).sum() / (J - 1)
    within = ((y - means[g]) ** 2).sum() / (J * (m - 1))
    exact = f.sf(between / within, J - 1, J * (m - 1)) if between > within else 1.0
    assert abs(test.p - exact) < 4.0 * test.error + 1e-5
    assert abs((test.null < 1e-9).mean() - f.cdf(1.0, J - 1, J * (m - 1))) < 4.0 * 0.5 / np.sqrt(100_000)


@pytest.mark.parametrize("seed", range(3))
def test_the_spectrum_is_that_of_the_projected_design(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 14).tolist()
    fit = unbalanced(seed, sizes)
    X, Z = fit.internals.model.X, fit.internals.model.terms[0].Z.toarray()
    P = np.eye(X.shape[0]) - X @ np.linalg.solve(X.T @ X, X.T)
    dense = np.linalg.eigvalsh(Z.T @ P @ Z)
    values, counts = spectrum(fit.internals.objective)
    assert_allclose(np.repeat(values, counts.round().astype(int)), dense[dense > 1e-9], rtol=1e-8)
    assert_allclose(counts, counts.round(), atol=1e-9)


def test_weights_are_part_of_the_spectrum():
    rng = np.random.default_rng(4)
    g, w = np.repeat(np.arange(8), 4), rng.uniform(0.5, 3.0, 32)
    fit = mme.fit(rng.standard_normal(32), np.ones((32, 1)), [mme.Term(g, name="g")], weights=w)
    root = np.sqrt(w)[:, None]
    X, Z = root * fit.internals.model.X, root * fit.internals.model.terms[0].Z.toarray()
    P = np.eye(32) - X @ np.linalg.solve(X.T @ X, X.T)
    dense = np.linalg.eigvalsh(Z.T @ P @ Z)
    values, counts = spectrum(fit.internals.objective)
    assert_allclose(np.repeat(values, counts.astype(int)), dense[dense > 1e-9], rtol=1e-8)


def ratios_to_noise(fit: mme.Fit, n: int, seed: int) -> np.ndarray:
    """Ratios (n,) of fits to noise: the criterion without the variance, by least squares, less that of the search."""
    Y = np.random.default_rng(seed).standard_normal((n, fit.nobs)).T
    Q = np.linalg.qr(fit.internals.model.X)[0]
    n_p, rss = fit.nobs - Q.shape[1], ((Y - Q @ (Q.T @ Y)) ** 2).sum(axis=0)
    own = float(((fit.internals.model.y - Q @ (Q.T @ fit.internals.model.y)) ** 2).sum())
    without = fit.internals.objective(np.zeros(1)) + n_p * np.log(rss / own)  # the criterion grows by (n - p) log rss
    return np.maximum(without - fit.refit(Y).criterion, 0.0)


def test_the_null_is_the_distribution_of_fits_to_noise():
    """Brute force: the model fitted to responses without the variance; the supremum by the library's own search."""
    fit = unbalanced(5, [1, 2, 2, 3, 5, 8, 13])
    null = mme.exact_rlrt(fit, 20_000, seed=3).null
    drawn = ratios_to_noise(fit, 400, 6)
    zeros = (drawn < 1e-7).mean()
    assert abs(zeros - (null < 1e-7).mean()) < 4.0 * 0.5 / np.sqrt(400)
    assert kstest(drawn[drawn > 1e-7], null[null > 1e-7]).pvalue > 0.001


def test_the_test_has_its_size_where_the_mixture_has_not():
    """Over noise, p is uniform below the share of zeros; the mixture is conservative with few groups."""
    fit = unbalanced(7, [4, 4, 5, 6])
    null = mme.exact_rlrt(fit, 50_000, seed=4).null
    statistics = ratios_to_noise(fit, 500, 8)
    exact = (null >= statistics[:, None] - 1e-9).mean(axis=1)
    mixture = np.where(statistics > 0.0, 0.5 * chi2.sf(statistics, 1), 1.0)
    rejected = [(p < 0.1).mean() for p in (exact, mixture)]
    assert abs(rejected[0] - 0.1) < 4.0 * np.sqrt(0.09 / 500)
    assert rejected[1] < rejected[0]


def test_a_seed_makes_the_same_draws():
    fit = unbalanced(9, [2, 3, 4, 5], sd=1.0)
    assert mme.exact_rlrt(fit, 500, seed=1).p == mme.exact_rlrt(fit, 500, seed=1).p
    assert mme.exact_rlrt(fit, 500, seed=1).error < 0.025
    assert mme.variance_test(fit).error == 0.0


def test_many_groups_of_few_sizes_have_few_distinct_eigenvalues():
    rng = np.random.default_rng(10)
    g = np.repeat(np.arange(20_000), rng.integers(1, 5, 20_000))
    x = rng.standard_normal(g.size)
    fit = mme.fit(rng.standard_normal(g.size), np.column_stack([np.ones(g.size), x]), [mme.Term(g, name="g")])
    values, counts = spectrum(fit.internals.objective)
    assert values.size < 30
    assert 19_990 < counts.sum() <= 20_000
    assert 0.0 < mme.exact_rlrt(fit, 1000, seed=1).p <= 1.0


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        ("Reaction ~ Days + (Days | Subject)", {}, "has 3 parameters of 1 random terms"),
        ("Reaction ~ Days + (1 | Subject)", {"method": "ML"}, "needs a fit by REML"),
        ("Reaction ~ Days + (1 | Subject)", {"sigma": 30.0}, "not available with sigma="),
    ],
)
def test_models_that_the_exact_test_does_not_know_are_refused(formula, options, message):
    fit = mme.lmer(formula, load_data("sleepstudy"), **options)
    with pytest.raises(mme.MMEError, match=message):
        mme.exact_rlrt(fit)


def test_draws_are_counted():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", load_data("Dyestuff"))
    with pytest.raises(mme.MMEError, match="n must be a whole number of draws"):
        mme.exact_rlrt(fit, 0)


def test_the_null_of_a_balanced_layout_is_that_of_two_sums_of_squares():
    """J groups of m: the ratio f log((a + b) / (a s + b)) + c log s is highest at s = c b / ((f - c) a), at most one.

    a is chi-square on c = J - 1, b on f - c, f = J m - 1; s is 1 / (1 + m theta^2).
    """
    J, m, n = 6, 4, 2000
    y = np.random.default_rng(3).normal(size=J * m)
    fit = mme.fit(y, np.ones((J * m, 1)), [mme.Term(np.repeat(np.arange(J), m), name="g")])
    c, f, rng = J - 1, J * m - 1, np.random.default_rng(7)
    a, b = rng.chisquare(c, n), rng.chisquare(f - c, n)
    s = np.minimum(c * b / ((f - c) * a), 1.0)
    highest = f * np.log((a + b) / (a * s + b)) + c * np.log(s)
    assert_allclose(mme.exact_rlrt(fit, n, seed=7).null, np.sort(highest), atol=2e-4)  # a grid, and parabolas


def test_a_term_of_several_labels_a_record_is_in_both_models():
    """Direct and maternal effects have levels of their own a column: they are no difference between the models."""
    rng = np.random.default_rng(1)
    data = {"animal": rng.integers(15, size=300), "dam": rng.integers(15, size=300), "herd": rng.integers(8, size=300)}
    direct, maternal = rng.standard_normal((2, 15))
    data["y"] = direct[data["animal"]] + maternal[data["dam"]] + rng.standard_normal(300)
    less, more = (mme.lmer(f"y ~ 1 + (1 | str(animal, dam)){also}", data) for also in ("", " + (1 | herd)"))
    row = mme.anova(less, more, boundary=True).iloc[1]
    assert row["reference"] == "0.5 chi2(0) + 0.5 chi2(1)"
    assert row["p"] == pytest.approx(0.5 * chi2.sf(row["chisq"], 1), rel=1e-9)
