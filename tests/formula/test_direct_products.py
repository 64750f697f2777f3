"""Direct products of random structures in formulas, each against the dense covariance that its words say."""

from functools import reduce

import numpy as np
import pandas as pd
import pytest

import mme
from mme.covariance.words import structure

GEN, TRAITS, SITES, TIMES = [f"g{i}" for i in range(8)], ["a", "b"], ["x", "y", "z"], [1, 2, 4]
K = 0.4 * np.eye(8) + 0.6 * 0.7 ** np.abs(np.subtract.outer(np.arange(8), np.arange(8)))
RELATED = mme.Relationship(covariance=K, levels=GEN)


def trial(seed=0):
    rng = np.random.default_rng(seed)
    rows = [(g, t, s, k) for g in GEN for t in TRAITS for s in SITES for k in TIMES]
    data = pd.DataFrame(rows, columns=["gen", "trait", "site", "time"])
    u, v = rng.normal(size=(8, 2)) @ [[1.0, 0.6], [0.0, 0.8]], rng.normal(size=(8, 3, 2))
    gen, trait, site = data.gen.str[1:].astype(int), data.trait.eq("b") * 1, data.site.map(SITES.index)
    wave = np.cumsum(rng.normal(size=(8, 2, 5)), axis=2)
    data["y"] = u[gen, trait] + v[gen, site, trait] + wave[gen, trait, data.time] + rng.normal(size=len(data))
    return data[rng.random(len(data)) > 0.1].reset_index(drop=True)


DATA = trial()


def matrix(factor, levels, covariance):
    """The covariance of the records that one of the levels of a factor gives."""
    at = DATA[factor].map({level: i for i, level in enumerate(levels)}).to_numpy()
    return np.asarray(covariance)[np.ix_(at, at)]


def same(factor):
    return np.equal.outer(DATA[factor].to_numpy(), DATA[factor].to_numpy()) * 1.0


def chain(rho):
    return rho ** np.abs(np.subtract.outer(DATA.time.to_numpy(), DATA.time.to_numpy()))


def dense_criterion(V):
    X, y = np.column_stack([np.ones(len(DATA)), DATA.trait == "b"]).astype(float), DATA.y.to_numpy()
    XVX = X.T @ np.linalg.solve(V, X)
    r = y - X @ np.linalg.solve(XVX, X.T @ np.linalg.solve(V, y))
    logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]
    return logs + r @ np.linalg.solve(V, r) + (y.size - 2) * np.log(2 * np.pi)


def parts(fit):
    """The covariance of the columns of the product and the correlation of neighbours, if any."""
    (name,) = list(fit.varcorr)
    rho = list(fit.relationships.get(name, {}).values())
    return name, fit.varcorr[name].cov, *rho


CASES = {
    "us(trait):ar1(time)": lambda G, rho: [matrix("trait", TRAITS, G), chain(rho)],
    "us(trait):ar1(time):gen": lambda G, rho: [matrix("trait", TRAITS, G), chain(rho), same("gen")],
    "us(trait):id(gen)": lambda G: [matrix("trait", TRAITS, G), same("gen")],
    "us(trait):A(gen)": lambda G: [matrix("trait", TRAITS, G), matrix("gen", GEN, K)],
    "fa(site, 1):A(gen)": lambda G: [matrix("site", SITES, G), matrix("gen", GEN, K)],
    "A(gen)": lambda G: [np.asarray(G).item(), matrix("gen", GEN, K)],
    "A(gen):site": lambda G: [np.asarray(G).item(), matrix("gen", GEN, K), same("site")],
    "A(gen):ar1(time)": lambda G, rho: [np.asarray(G).item(), matrix("gen", GEN, K), chain(rho)],
    "us(trait):A(gen):ar1(time)": lambda G, rho: [matrix("trait", TRAITS, G), matrix("gen", GEN, K), chain(rho)],
    "diag(site):ar1(time)": lambda G, rho: [matrix("site", SITES, G), chain(rho)],
    "ar1(time):gen": lambda G, rho: [np.asarray(G).item(), same("gen"), chain(rho)],
}


def fitted(text, **options):
    return mme.lmer(f"y ~ trait + {text}", DATA, relationship=RELATED if "A(" in text else None, **options)


@pytest.mark.parametrize("text", CASES)
def test_the_criterion_is_that_of_the_dense_product(text):
    fit = fitted(text)
    _, *given = parts(fit)
    V = reduce(np.multiply, CASES[text](*given)) + fit.sigma**2 * np.eye(len(DATA))
    assert fit.criterion == pytest.approx(dense_criterion(V), abs=1e-7)


@pytest.mark.parametrize(
    "text", ["us(trait):us(site):id(gen)", "us(trait):corh(site):A(gen)", "fa(site, 1):us(trait):A(gen)"]
)
def test_two_structures_of_columns_make_a_kronecker_product(text):
    fit = fitted(text)
    cov = np.asarray(fit.varcorr["gen"].cov)
    first, second = (TRAITS, SITES) if text.startswith("us(trait)") else (SITES, TRAITS)
    blocks = cov.reshape(len(second), len(first), len(second), len(first))
    outer, inner = blocks[:, 0, :, 0], blocks[0, :, 0, :]
    np.testing.assert_allclose(cov, np.kron(outer, inner) / cov[0, 0], rtol=1e-8, atol=1e-12)
    names = ["trait", "site"] if first is TRAITS else ["site", "trait"]
    V = matrix(names[0], first, inner) * matrix(names[1], second, outer / cov[0, 0])
    V = V * (matrix("gen", GEN, K) if "A(" in text else same("gen")) + fit.sigma**2 * np.eye(len(DATA))
    assert fit.criterion == pytest.approx(dense_criterion(V), abs=1e-7)


@pytest.mark.parametrize("text", ["us(trait):us(site):id(gen)", "us(trait):A(gen):ar1(time)", "ar1(time):gen"])
def test_the_steps_after_a_fit(text, tmp_path):
    fit = fitted(text)
    fit.save(tmp_path / "product.mme")
    again = mme.load_fit(tmp_path / "product.mme")
    assert again.criterion == fit.criterion
    np.testing.assert_allclose(fit.predict(DATA), fit.fitted, atol=1e-8)
    np.testing.assert_allclose(again.predict(DATA), fit.fitted, atol=1e-8)
    assert fit.simulate(2, seed=1).shape == (len(DATA), 2)
    assert fit.refit(DATA.y + 1.0).criterion == pytest.approx(fit.criterion, abs=1e-5)


def test_a_new_time_of_a_known_level_is_predicted():
    fit = fitted("A(gen):ar1(time)")
    _, G, rho = parts(fit)
    new = pd.DataFrame({"gen": ["g3", "g0"], "trait": ["a", "b"], "time": [3, 6]})
    both = pd.concat([DATA[["gen", "time"]], new])
    at, n = both.gen.str[1:].astype(int).to_numpy(), len(DATA)
    steps = np.abs(np.subtract.outer(both.time.to_numpy(), both.time.to_numpy()))
    C = np.asarray(G).item() * K[np.ix_(at, at)] * rho**steps
    mean, old = (fit.beta["(Intercept)"] + fit.beta["traitb"] * (rows.trait == "b") for rows in (new, DATA))
    V = C[:n, :n] + fit.sigma**2 * np.eye(n)
    expected = mean + C[n:, :n] @ np.linalg.solve(V, DATA.y - old)
    np.testing.assert_allclose(fit.predict(new), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("kinds", "at"),
    [(one, at) for one, k in (("cs", 6), ("unstructured", 8)) for at in range(k)]
    + [("unstructured, large first", at) for at in range(8)],
)
def test_a_parameter_that_is_held_has_its_value_and_the_other_structure_is_free(kinds, at):
    kind, _, large = kinds.partition(", ")
    words = f"3 unstructured x 2 {kind}" if large else f"2 unstructured x 3 {kind}"
    G = structure(f"product {words}", 6, "g")
    rng = np.random.default_rng(at)
    pieces = [part.nearest(np.cov(rng.normal(size=(part.q, 9))), np.full(part.q, 1e-4)) for part in G.parts]
    theta = np.delete(np.concatenate(pieces), G.fixed)
    natural = G.natural(theta, 1.0)
    held = G.hold(theta, at)
    np.testing.assert_allclose(G.T(held.theta(held.start, natural[at])), G.T(theta), atol=1e-10)
    moved = held.theta(held.start * 1.1, natural[at] * 0.9)
    assert G.natural(moved, 1.0)[at] == pytest.approx(natural[at] * 0.9)


def test_the_profile_of_a_correlation_is_the_same_in_either_place_of_a_product():
    words, name = ("us(trait):us(site):id(gen)", "us(site):us(trait):id(gen)"), "cor_traitb.traita|gen"
    data = DATA[DATA.site != "z"]
    fits = [mme.lmer(f"y ~ trait + {one}", data, method="ML") for one in words]
    np.testing.assert_allclose(*(fit.confint("profile", parameters=name) for fit in fits), atol=1e-5)


def test_the_profile_of_a_ratio_of_the_second_factor_ends_where_the_deviance_has_risen_by_its_quantile():
    """Where traitb has v times the standard deviation of traita, columns of it times v have a common one."""
    fit = mme.lmer("y ~ trait + us(site):us(trait):id(gen)", DATA, method="ML")
    limits = fit.confint("profile", parameters="sd_traitb|gen").to_numpy()[0]
    (term,) = fit.model.terms
    X = np.column_stack([np.ones(len(DATA)), DATA.trait == "b"]).astype(float)
    for v in limits:
        Z = term.covariates * np.where([name.endswith("traitb") for name in term.columns], v, 1.0)
        same = mme.Term(DATA.gen, Z, name="gen", covariance="product 3 unstructured x 2 homogeneous cs")
        at_end = mme.fit(DATA.y, X, [same], method="ML")
        assert at_end.criterion - fit.criterion == pytest.approx(3.841459, abs=1e-4)


def test_what_has_no_meaning_is_refused_with_what_to_write():
    with pytest.raises(mme.MMEError, match=r"relationship=\{'gen': \.\.\.\}"):
        mme.lmer("y ~ trait + fa(site, 1):A(gen)", DATA)
    with pytest.raises(mme.MMEError, match=r"write us\(trait\):diag\(site\):id\(g\)"):
        mme.lmer("y ~ trait + us(trait):diag(site)", DATA)
    with pytest.raises(mme.MMEError, match="number the places"):
        mme.lmer("y ~ trait + us(trait):ar1(site):gen", DATA)


YEARS = {"us(year):id(gen)": "us(text):id(gen)", "corh(year):ar1(time):gen": "corh(text):ar1(time):gen"}


@pytest.mark.parametrize("text", YEARS)
def test_whole_numbers_before_a_colon_are_levels(text, tmp_path):
    data = DATA.assign(year=2019 + DATA.site.map(SITES.index), text=DATA.site)
    one, other = (mme.lmer(f"y ~ trait + {words}", data) for words in (text, YEARS[text]))
    assert one.criterion == pytest.approx(other.criterion, abs=1e-9)
    one.save(tmp_path / "years.mme")
    np.testing.assert_allclose(mme.load_fit(tmp_path / "years.mme").predict(data), one.fitted, atol=1e-8)


def test_fractions_before_a_colon_are_refused():
    with pytest.raises(mme.MMEError, match=r"'x' holds fractions.* a slope is \(x \| gen\)"):
        mme.lmer("y ~ 1 + us(x):gen", DATA.assign(x=DATA.time / 3))


@pytest.mark.parametrize(
    ("written", "same_as"),
    [
        ("id(gen)", "(1 | gen)"),
        ("id(gen):ar1(time)", "ar1(time):gen"),
        ("id(gen):us(trait)", "us(trait):gen"),
        ("id(gen):fa(site, 1)", "fa(site, 1):gen"),
        ("id(gen):id(site)", "(1 | gen:site)"),
    ],
)
def test_independent_levels_stand_before_or_behind_what_they_are_crossed_with(written, same_as):
    one, other = (mme.lmer(f"y ~ trait + {term}", DATA).criterion for term in (written, same_as))
    assert one == pytest.approx(other, abs=1e-6)
