"""Variances that the data do not determine are told by the design, named, and cost the rest of the fit nothing."""

import warnings
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import pytest
from dense import design, exact_fit
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.linalg import null_space

import mme
from mme.files.export import as_dict
from mme.fitted.natural import natural_names
from mme.identifiability.identified import _told_apart, undetermined


def table(seed=0, n=120):
    rng = np.random.default_rng(seed)
    g = rng.integers(0, 10, n)
    data = pd.DataFrame({"g": g, "h": rng.integers(0, 7, n), "x": rng.normal(size=n), "z": rng.normal(size=n)})
    data["f"], data["pairs"] = [f"f{level}" for level in g], g // 2
    data["again"], data["double"] = (g * 7) % 10, 2.0 * data["x"]
    data["arm"] = rng.choice(["a", "b"], n)
    data["between"], data["binary"] = rng.normal(size=10)[g], (g % 2).astype(float)
    data["known"] = np.where(g < 3, g, -1).astype(str)
    data["w"] = rng.uniform(0.5, 2.0, n)
    data["y"] = rng.normal(size=n) + rng.normal(size=10)[g] + 0.5 * rng.normal(size=7)[data["h"]]
    return data


def fitted(formula, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return mme.lmer(formula, table(), **options)


# the model, what is not determined of it, and the same model without that
WITHIN = [
    ("y ~ f + (1 | h) + (1 | pairs)", "y ~ f + (1 | h)", "pairs"),
    ("y ~ f + (1 | pairs) + (1 | h)", "y ~ f + (1 | h)", "pairs"),
    ("y ~ f + (1 | h) + (x | pairs)", "y ~ f + (1 | h) + (0 + x | pairs)", "(Intercept) by pairs"),
    ("y ~ f:x + (x | g)", "y ~ f:x + (1 | g)", "x by g"),
    ("y ~ f:x + (x || g)", "y ~ f:x + (1 | g)", "g.1"),
    ("y ~ f:x + diag(x + z | g)", "y ~ f:x + diag(z | g)", "x by g"),
    ("y ~ f:x + cs(x | g)", "y ~ f:x + (1 | g)", "x by g"),
    ("y ~ f * x + (x | pairs) + (1 | h)", "y ~ f * x + (1 | h)", "pairs"),
    ("y ~ f + (1 | h) + (1 | g) + (1 | again)", "y ~ f + (1 | h)", "again"),
]
ALIKE = [
    ("y ~ x + (1 | g) + (1 | g)", "y ~ x + (1 | g)", "(Intercept) by g and (Intercept) by g.1"),
    ("y ~ x + (1 | g) + (1 | again)", "y ~ x + (1 | g)", "(Intercept) by g and (Intercept) by again"),
    ("y ~ arm + (1 | g) + (arm | g)", "y ~ arm + (arm | g)", "(Intercept) by g and (Intercept) by g.1"),
    ("y ~ arm + (arm | g) + (1 | again)", "y ~ arm + (arm | g)", "(Intercept) by g and (Intercept) by again"),
    ("y ~ x + (x | g) + (x | g)", "y ~ x + (x | g)", "(Intercept) by g, x by g, (Intercept) by g.1 and x by g.1"),
    ("y ~ x + (0 + x | g) + (0 + double | g)", "y ~ x + (0 + x | g)", "x by g and double by g.1"),
    ("y ~ x + (x + double | g)", "y ~ x + (x | g)", "x by g and double by g"),
    (
        "y ~ x + (1 | h) + (1 | g:h) + (1 | h:g)",
        "y ~ x + (1 | h) + (1 | g:h)",
        "(Intercept) by h:g and (Intercept) by g:h",
    ),
    ("y ~ x + diag(0 + arm | g) + (0 + arm | g)", "y ~ x + (0 + arm | g)", "arma by g.1 and armb by g.1"),
]


# -- columns within X --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("T", [np.diag([1.0, 0.4]), np.array([[1.0, 0.0], [0.3, 0.4]])], ids=["apart", "correlated"])
@pytest.mark.parametrize("ratio", [0.0, 1.0, 1e4, 1e6, 1e8])
def test_no_variance_of_effects_within_the_fixed_ones_costs_the_criterion_or_beta_a_digit(ratio, T, method):
    rng = np.random.default_rng(1)
    n, T = 36, T * np.array([[ratio], [1.0]])
    f, g = np.arange(n) % 6, rng.integers(0, 5, n)
    X, Z = (f[:, None] == np.arange(6)).astype(float), np.column_stack([np.ones(n), rng.normal(size=n)])
    y, w = rng.normal(size=n) + rng.normal(size=5)[g], rng.uniform(0.5, 2.0, n)
    terms = [mme.Term(g, name="g"), mme.Term(f // 2, Z, name="h")]
    theta = [0.7, T[0, 0], T[1, 0], T[1, 1]]
    blocks = [(design(g), np.array([[0.7]]), None), (design(f // 2, Z), T, None)]
    criterion, sigma, beta = exact_fit(y, X, blocks, w, method)
    assert abs(mme.objective(y, X, terms, method=method, weights=w)(theta) - criterion) < 1e-9
    fit = mme.fit(y, X, terms, method=method, weights=w, theta=theta)
    assert abs(fit.criterion - criterion) < 1e-9
    assert_allclose(fit.sigma, sigma, rtol=1e-12)
    assert_allclose(fit.beta, beta, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("kind", ["crossed", "nested", "one partition", "one partition with a slope"])
@pytest.mark.parametrize("ratios", [(1e8, 1.0), (1.0, 1e8), (1e6, 1e6), (1e8, 1e8)])
def test_factors_that_share_their_effects_lose_no_digit_at_any_variance(ratios, kind, method):
    rng = np.random.default_rng(6)
    n = 30
    g, h, Z = rng.integers(0, 5, n), rng.integers(0, 4, n), np.column_stack([np.ones(n), rng.normal(size=n)])
    other = {"crossed": h, "nested": g * 4 + h}.get(kind, (3 * g + 1) % 5)
    U = Z if kind == "one partition with a slope" else Z[:, :1]
    T = [ratios[0] * np.eye(1), ratios[1] * np.array([[1.0, 0.0], [0.4, 0.8]])[: U.shape[1], : U.shape[1]]]
    y = rng.normal(size=n) + rng.normal(size=5)[g]
    terms = [mme.Term(g, name="g"), mme.Term(other, U, name="h")]
    theta = np.concatenate([one.T[np.triu_indices(len(one))] for one in T])
    blocks = [(design(g), T[0], None), (design(other, U), T[1], None)]
    criterion, sigma, beta = exact_fit(y, Z, blocks, None, method)
    assert abs(mme.objective(y, Z, terms, method=method)(theta) - criterion) < 1e-6
    fit = mme.fit(y, Z, terms, method=method, theta=theta)
    assert abs(fit.criterion - criterion) < 1e-6
    assert_allclose(fit.sigma, sigma, rtol=1e-7)
    assert_allclose(fit.beta, beta, atol=1e-7 * max(ratios))  # a standard error of the intercept is of their size


def test_the_standard_errors_at_a_given_variance_of_such_effects_have_it_in_them():
    """beta is as uncertain as without them, and by their variance."""
    fit = fitted("y ~ 0 + f + (1 | h) + (1 | pairs)", theta=[0.5, 1e8])
    without = fitted("y ~ 0 + f + (1 | h)", theta=[0.5])
    pair = np.arange(10) // 2
    more = fit.sigma**2 * 1e16 * (pair[:, None] == pair)
    assert_allclose(fit.beta_cov, without.beta_cov + more, rtol=1e-12)


@pytest.mark.parametrize(("formula", "without", "name"), WITHIN)
def test_a_term_within_the_fixed_effects_is_named_and_leaves_the_fit_of_the_model_without_it(formula, without, name):
    fit, other = fitted(formula), fitted(without)
    assert fit.optimum.verdict == "flat"
    assert fit.optimum.converged
    said = f"{name} is determined by the fixed effects: its variance cannot be estimated, and is held at zero"
    assert said in fit.optimum.undetermined
    assert abs(fit.criterion - other.criterion) < 1e-8
    assert_allclose(fit.beta, other.beta, atol=1e-6)
    assert_allclose(fit.se, other.se, rtol=1e-6)
    assert_allclose(fit.coefficients(), other.coefficients(), rtol=1e-4)
    assert fit.dof == other.dof
    assert fit.singular == other.singular


def test_under_ml_its_variance_is_determined_and_zero():
    fit, other = fitted("y ~ f + (1 | h) + (1 | pairs)", method="ML"), fitted("y ~ f + (1 | h)", method="ML")
    assert fit.optimum.verdict == "minimum on the boundary"
    assert fit.optimum.undetermined == ()
    assert fit.theta[1] == 0.0
    assert abs(fit.criterion - other.criterion) < 1e-8
    rising = [fit.internals.objective([fit.theta[0], t]) for t in (0.0, 0.1, 1.0, 1e4, 1e8)]
    assert (np.diff(rising) > 0.1).all()


def test_a_term_of_which_only_some_levels_are_within_the_fixed_effects_is_estimated():
    fit = fitted("y ~ known + (1 | g)")
    assert fit.optimum.verdict == "minimum"
    assert fit.theta[0] > 0.1


def test_a_model_of_which_no_variance_is_determined_is_ordinary_least_squares():
    fit = fitted("y ~ f + (1 | g)")
    assert fit.optimum.reason == "no variance is left to search for"
    assert not fit.internals.theta_given
    assert_allclose(fit.sigma**2, ((fit.internals.model.y - fit.fitted) ** 2).sum() / (120 - 10))
    assert_allclose(fit.coefficients("kenward-roger")["df"], 110.0)


# -- terms that describe the same variation ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(("formula", "without", "names"), ALIKE)
def test_terms_alike_are_named_and_leave_the_fit_of_the_model_without_one(formula, without, names, method):
    fit, other = fitted(formula, method=method), fitted(without, method=method)
    assert fit.optimum.verdict == "flat"
    assert len(fit.optimum.undetermined) == 1
    (said,) = fit.optimum.undetermined
    assert f"{names} cannot be told apart: " in said
    assert "held at zero" in said
    assert abs(fit.criterion - other.criterion) < 1e-7
    assert_allclose(fit.beta, other.beta, atol=1e-4)
    assert_allclose(fit.se, other.se, rtol=1e-4)
    assert fit.dof == other.dof
    assert_allclose(
        sum(b.sum() for b in fit.internals.estimates.b), sum(b.sum() for b in other.internals.estimates.b), atol=1e-3
    )


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("y ~ 1 + (binary | g)", "variance of binary by g and its correlations"),
        ("y ~ 1 + cs(0 + arm | g) + (1 | g)", "variances of arma by g, armb by g and (Intercept) by g.1"),
        ("y ~ f + (0 + arm | pairs) + (1 | h)", "variances of arma by pairs and armb by pairs"),
    ],
)
def test_where_nothing_can_be_held_the_verdict_names_what_is_not_determined(formula, names):
    fit = fitted(formula)
    assert fit.optimum.verdict == "flat"
    assert fit.optimum.undetermined == (f"the {names} cannot be told apart",)


def test_the_variance_of_one_record_a_level_is_not_told_from_the_residuals():
    rng = np.random.default_rng(2)
    terms = [mme.Term(np.arange(20) % 5, name="g"), mme.Term(np.arange(20), np.ones((20, 1)), name="each")]
    y = rng.normal(size=20)
    assert undetermined(mme.objective(y, np.ones((20, 1)), terms, sigma=1.0), thorough=True) is None
    found = undetermined(mme.objective(y, np.ones((20, 1)), terms), thorough=True)
    assert found.sigma
    assert "x1 by each and the residuals cannot be told apart" in found.sentences[0]


# -- no false alarm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "y ~ x + (x || g) + (z | h)",
        "y ~ x + (1 | g) + (1 | h) + (1 | g:h)",
        "y ~ x + (1 | g / h)",
        "y ~ 1 + (between | g)",
        "y ~ arm + cs(0 + arm | g)",
        "y ~ arm + (1 | g) + diag(0 + arm | g)",
        "y ~ x + (1 | pairs) + (1 | g)",
        "y ~ 1 + (I(x + 1e7) | g)",
        "y ~ x + (I(2020 + h) | g)",
    ],
)
def test_models_whose_variances_are_determined_are_never_called_flat_by_their_design(formula, method):
    fit = fitted(formula, method=method, theta=None)
    assert undetermined(fit.internals.objective, thorough=True) is None
    assert fit.optimum.undetermined == ()


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_a_few_levels_of_a_large_factor_tell_its_terms_apart_where_any_do(method):
    rng = np.random.default_rng(5)
    n = 6000
    g, x = rng.integers(0, 300, n), rng.normal(size=n)
    y, X = rng.normal(size=n), np.column_stack([np.ones(n), x, rng.normal(size=n)])
    terms = [mme.Term(g, name="g"), mme.Term(g, x, name="g")]
    assert _told_apart(mme.objective(y, X, terms, method=method), 0)
    found = undetermined(mme.objective(y, X, [*terms, mme.Term(g, 2.0 * x, name="g")], method=method))
    assert [columns.tolist() for columns in found.held] == [[False], [False], [True]]


@pytest.mark.parametrize("method", ["REML", "ML"])
@given(seed=st.integers(0, 2**32 - 1), far=st.sampled_from([0.0, 1e3, 1e9]), two_valued=st.booleans())
def test_the_ranks_of_levels_say_what_the_derivatives_of_v_say_of_terms_on_one_factor(method, seed, far, two_valued):
    rng = np.random.default_rng(seed)
    n, J = int(rng.integers(12, 60)), int(rng.integers(2, 9))
    g, x = rng.integers(0, J, n), far + (rng.integers(0, 2, n) if two_valued else rng.normal(size=n))
    g[:J] = np.arange(J)
    terms = [mme.Term(g), mme.Term(g, x), mme.Term(g, rng.normal(size=n) if seed % 3 else x[g])]
    built = mme.objective(rng.normal(size=n), np.column_stack([np.ones(n), x - far]), terms, method=method)
    assert (undetermined(built) is None) == (undetermined(built, thorough=True) is None)


def test_a_variance_of_zero_is_not_flat():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff2"))
    assert fit.optimum.verdict == "minimum on the boundary"
    assert undetermined(fit.internals.objective, thorough=True) is None


def rank_of_derivatives(X, parts, reml):
    """Rank of A'V_i A over all parameters of the variances, A a basis orthogonal to X under REML; and their number."""
    n = len(X)
    A = null_space(X.T) if reml else np.eye(n)
    V = [np.eye(n)]
    for Z, q, diagonal in parts:
        levels = Z.shape[1] // q
        for i, j in combinations_with_replacement(range(q), 2):
            if i == j or not diagonal:
                D = np.zeros((q, q))
                D[i, j] = D[j, i] = 1.0
                V.append(Z @ np.kron(np.eye(levels), D) @ Z.T)
    rows = np.array([(A.T @ one @ A).ravel() / (np.linalg.norm(one) or 1.0) for one in V])
    return int((np.linalg.svd(rows, compute_uv=False) > 1e-8).sum()), len(V)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), method=st.sampled_from(["REML", "ML"]))
def test_flat_directions_are_those_of_the_dense_derivatives_of_v(seed, method):
    """Small designs with few levels, binary covariates and coarse factors: about a third are not determined."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10, 30))
    factors = [rng.integers(0, int(rng.integers(2, 5)), n) for _ in range(2)]
    factors += [factors[0] % 2, factors[0] * 4 + factors[1]]
    columns = [np.ones(n), rng.normal(size=n), rng.integers(0, 2, n).astype(float), factors[0] - 1.0]
    X = [np.ones(n), (factors[0][:, None] == np.unique(factors[0])).astype(float)][int(rng.integers(0, 2))]
    X = X.reshape(n, -1)
    terms, parts = [], []
    for t in range(int(rng.integers(1, 4))):
        group = factors[int(rng.integers(0, 4))]
        chosen = rng.choice(4, int(rng.integers(1, 3)), replace=False)
        Z, diagonal = np.column_stack([columns[c] for c in chosen]), bool(rng.integers(0, 2))
        if np.unique(group).size < 2 or not Z.any(axis=0).all():
            continue
        covariance = "diagonal" if diagonal else "unstructured"
        terms.append(mme.Term(group, Z, name=f"t{t}", covariance=covariance))
        parts.append((design(group, Z), Z.shape[1], diagonal))
    if not terms or any(term.n_effects >= n for term in terms):
        return
    rank, count = rank_of_derivatives(X, parts, method == "REML")
    found = undetermined(mme.objective(rng.normal(size=n), X, terms, method=method), thorough=True)
    assert (0 if found is None else found.directions) == count - rank


# -- what is asked of such a fit ---------------------------------------------------------------------------------------


def test_it_is_said_in_the_same_words_wherever_it_is_asked(tmp_path):
    fit = fitted("y ~ f + (1 | h) + (1 | pairs)")
    (said,) = fit.optimum.undetermined
    (finding,) = fit.diagnose()
    assert finding.kind == "flat"
    assert said in str(fit.optimum)
    assert said in finding.found
    assert said in " ".join(fit.summary().split())
    assert as_dict(fit.internals)["optimum"]["undetermined"] == [said]
    for asked in (
        lambda: fit.confint("profile", parameters=["sd_(Intercept)|pairs"]),
        lambda: fit.bootstrap(2, workers=1),
    ):
        with pytest.warns(mme.MMEWarning, match=r"sd_\(Intercept\)\|pairs: pairs is determined by the fixed effects"):
            asked()
    fit.save(tmp_path / "fit.mme")
    assert mme.load_fit(tmp_path / "fit.mme").optimum.undetermined == (said,)


@pytest.mark.parametrize(
    ("formula", "without", "open_"),
    [
        ("y ~ arm + (1 | g) + (arm | g)", "y ~ arm + (arm | g)", 3),
        ("y ~ pairs + f + (1 | h) + (1 | pairs)", "y ~ pairs + f + (1 | h)", 1),
    ],
)
def test_intervals_are_the_whole_range_of_what_is_not_determined_and_right_for_the_rest(formula, without, open_):
    fit, other = fitted(formula), fitted(without)
    with pytest.warns(mme.MMEWarning, match="no profile of"):
        intervals = fit.confint("profile")
    expected = other.confint("profile")
    whole = intervals[(intervals["lower"].isin([0.0, -1.0])) & intervals["upper"].isin([np.inf, 1.0])]
    assert len(whole) == open_
    rest = intervals.drop(index=whole.index)
    alone = [name.removesuffix(".1") for name in rest.index]  # without the first, the second term has its name
    assert_allclose(rest, expected.loc[alone], atol=2e-4)
    with pytest.warns(mme.MMEWarning, match="the bootstrap has no values of"):
        draws = fit.bootstrap(8, seed=3, workers=1)
    again = other.bootstrap(8, seed=3, workers=1)
    assert draws.confint().loc[whole.index].isna().all(axis=None)
    assert_allclose(draws.confint().loc[rest.index], again.confint().loc[alone], atol=2e-4)


def test_kenward_and_rogers_tests_do_not_depend_on_a_parameter_too_many():
    """A covariate of two values that is constant within levels gives two variances, whatever their covariance is."""
    data = table().assign(other=lambda rows: 1.0 - rows["binary"])
    fit = fitted("y ~ x + (binary | g)")
    other = mme.lmer("y ~ x + (0 + other || g) + (0 + binary || g)", data)
    assert abs(fit.criterion - other.criterion) < 1e-6
    for ddf in ("kenward-roger", "satterthwaite"):
        assert_allclose(fit.coefficients(ddf), other.coefficients(ddf), rtol=2e-3)


@pytest.mark.parametrize(("formula", "without", "names"), [*WITHIN, *ALIKE])
def test_no_two_parameters_share_a_name(formula, without, names):
    fit = fitted(formula)
    whole = natural_names(fit.internals.model)
    assert len(set(whole)) == len(whole)
    assert len(set(fit.theta_names)) == len(fit.theta_names)


def test_everything_can_be_asked_of_such_a_fit():
    fit = fitted("y ~ f + (1 | h) + (1 | pairs)")
    assert (fit.ranef()["pairs"] == 0.0).all(axis=None)
    (said,) = fit.optimum.undetermined
    with pytest.warns(mme.MMEWarning, match=f"no heritability of pairs: {said}"):
        assert fit.heritability("pairs").isna().all(axis=None)
    assert repr(fit.varcorr).endswith("\n" + said)
    assert said in " ".join(fit.summary().split())
    assert fit.tidy("variance").set_index("group").loc["pairs", ["std_error", "lower", "upper"]].isna().all()
    assert fit.heritability("h")["se"].notna().all()
    assert fit.refit(fit.internals.model.y + 1.0).optimum.undetermined == fit.optimum.undetermined
    other = fitted("y ~ f + (1 | h)")
    assert_allclose(fit.predict(interval="prediction"), other.predict(interval="prediction"), rtol=1e-6)
    with pytest.raises(mme.MMEError, match="pairs is determined by the fixed effects"):
        mme.anova(other, fit, boundary=True)


def test_two_processes_on_one_series_are_told_to_be_one():
    twice = mme.lmer("y ~ x + ou(t | g) + ou(t | g)", _series())
    once = mme.lmer("y ~ x + ou(t | g)", _series())
    assert any("cannot be told apart" in sentence for sentence in twice.optimum.undetermined)
    assert abs(twice.criterion - once.criterion) < 1e-4


def _series():
    """Six series of six times: one process, and noise."""
    rng = np.random.default_rng(8)
    steps = np.exp(-0.4 * np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0))))
    process = (np.linalg.cholesky(steps) @ rng.normal(size=(6, 6))).T.ravel()
    t, g = np.tile(np.arange(6.0), 6), np.repeat(list("abcdef"), 6)
    return {"t": t, "g": g, "x": rng.normal(size=36), "y": process + 0.5 * rng.normal(size=36)}


def test_a_correlation_of_columns_that_never_meet_in_a_level_is_named():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(12), 5)
    data = {"y": rng.normal(size=60) + rng.normal(size=12)[g], "g": g, "f": np.where(g % 2, "a", "b")}
    fit = mme.lmer("y ~ 1 + cs(0 + f | g)", data)
    assert fit.optimum.undetermined == ("the data do not determine g.rho",)
    assert fit.optimum.verdict == "flat"


def pairs(gaps, records=1):
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), len(gaps)), "t": np.tile(gaps, 20)})
    data = pd.concat([data] * records, ignore_index=True)
    return data.assign(y=rng.normal(size=20)[data["g"]] + rng.normal(size=len(data)))


@pytest.mark.parametrize("term", ["ou(t | g)", "ar1(t):g"])
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_a_process_seen_at_one_distance_once_a_time_is_not_told_from_the_residuals(term, method):
    fit = mme.lmer(f"y ~ 1 + {term}", pairs([0, 1]), method=method)
    assert fit.optimum.verdict == "flat"
    assert "cannot be told apart" in fit.optimum.undetermined[0]
    name = {"ou(t | g)": "range|ou(t | g)", "ar1(t):g": "rho.t|ar1(t) | g"}[term]
    for value in (0.95, 0.99):  # the same V by other shares of error
        value = -1.0 / np.log(value) if name.startswith("range") else value
        held = mme.lmer(f"y ~ 1 + {term}", pairs([0, 1]), method=method, hold={name: value})
        assert held.criterion == pytest.approx(fit.criterion, abs=1e-6)


@pytest.mark.parametrize(("gaps", "records"), [([0, 1, 2], 1), ([0, 1, 3], 1), ([0, 1], 2)])
def test_two_distances_or_two_records_a_time_tell_it(gaps, records):
    assert not mme.lmer("y ~ 1 + ou(t | g)", pairs(gaps, records)).optimum.undetermined
