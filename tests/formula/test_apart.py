"""Random terms with a covariance of their own for each level of a factor, each against its dense block-diagonal G."""

from functools import reduce

import numpy as np
import pandas as pd
import pytest

import mme

ANIMALS = [f"a{i}" for i in range(12)]
K = 0.5 * np.eye(12) + 0.5 * 0.6 ** np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
RELATED = {"g": mme.Relationship(covariance=K, levels=ANIMALS)}


def herd(seed=3):
    rng = np.random.default_rng(seed)
    rows = [(g, year, trait, t) for g in range(12) for year in (2019, 2020) for trait in "uv" for t in (1, 2, 4)]
    data = pd.DataFrame(rows, columns=["g", "year", "trait", "time"])
    own = rng.normal(size=(12, 2, 2)) * np.array([0.7, 1.5])[:, None]
    late, other = data.year.eq(2020).to_numpy() * 1, data.trait.eq("v").to_numpy() * 1
    wave = np.cumsum(rng.normal(size=(12, 2, 5)), axis=2)
    data["y"] = own[data.g, late, other] + wave[data.g, late, data.time] + rng.normal(size=len(data))
    data["x"] = rng.normal(size=len(data))
    data["g"] = data.g.map(lambda i: f"a{i}")
    return data[rng.random(len(data)) > 0.1].reset_index(drop=True)


DATA = herd()
AT = DATA.g.str[1:].astype(int).to_numpy()
SAME, RELATIONSHIP = np.equal.outer(AT, AT) * 1.0, K[np.ix_(AT, AT)]
WORDS = {
    "(1 | g)": SAME,
    "(x | g)": SAME,
    "(x || g)": SAME,
    "us(0 + trait | g)": SAME,
    "diag(trait):A(g)": RELATIONSHIP,
    "corh(trait):A(g)": RELATIONSHIP,
    "A(g)": RELATIONSHIP,
    "rr(trait, 1):A(g)": RELATIONSHIP,
    "ar1(0 + factor(time) | g)": SAME,
    "ar1(time):g": SAME,
    "us(trait):A(g):ar1(time)": RELATIONSHIP,
}


def dense_criterion(V, data=DATA):
    X, y = np.column_stack([np.ones(len(data)), data.year == 2020]).astype(float), data.y.to_numpy()
    XVX = X.T @ np.linalg.solve(V, X)
    r = y - X @ np.linalg.solve(XVX, X.T @ np.linalg.solve(V, y))
    logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]
    return logs + r @ np.linalg.solve(V, r) + (y.size - 2) * np.log(2 * np.pi)


def basis(column, year):
    """The values of a coefficient in the records of one year, by its name there."""
    here = (DATA.year == year).to_numpy() * 1.0
    text = column.removeprefix(f"year{year}").lstrip(":")
    for factor in ("trait", "factor(time)"):
        if text.startswith(factor):
            return here * (DATA[factor[-5:-1] if "(" in factor else factor].astype(str) == text.removeprefix(factor))
    return here * (DATA.x if text == "x" else 1.0)


def dense_term(fit, name, levels):
    year = int(name.rpartition(".")[2]) if name.rpartition(".")[2].startswith("20") else 2019 + name.endswith("20.1")
    block = fit.varcorr[name]
    Z = np.column_stack([basis(column, year) for column in block.names])
    rho = list(fit.relationships.get(name, {}).values())
    time = DATA.time.to_numpy()
    chain = rho[0] ** np.abs(np.subtract.outer(time, time)) if rho else 1.0
    return (Z @ block.cov @ Z.T) * levels * chain


@pytest.mark.parametrize("text", WORDS)
def test_the_criterion_is_that_of_the_dense_block_diagonal_covariance(text):
    fit = mme.lmer(f"y ~ factor(year) + dsum({text} | year)", DATA, relationship=RELATED if "A(" in text else None)
    terms = [dense_term(fit, name, WORDS[text]) for name in fit.varcorr if name != "Residual"]
    V = reduce(np.add, terms) + fit.sigma**2 * np.eye(len(DATA))
    assert len(terms) == (4 if "||" in text else 2)
    assert fit.criterion == pytest.approx(dense_criterion(V), abs=1e-6 if "A(g):ar1" in text else 1e-7)


def test_levels_that_share_no_group_and_no_residual_variance_are_fits_of_their_own():
    growth = mme.load("Orthodont")
    residual = mme.Heterogeneous("Sex")
    fit = mme.lmer("distance ~ age * Sex + dsum((age | Subject) | Sex)", growth, residual=residual, method="ML")
    apart = [mme.lmer("distance ~ age + (age | Subject)", part, method="ML") for _, part in growth.groupby("Sex")]
    assert fit.criterion == pytest.approx(sum(one.criterion for one in apart), abs=1e-6)
    found = [fit.varcorr[f"Subject.{sex}"].cov for sex in ("Female", "Male")]
    for own, one in zip(found, apart, strict=True):
        np.testing.assert_allclose(own, one.varcorr["Subject"].cov, rtol=2e-3, atol=1e-4)


def test_names_say_the_level():
    growth = mme.load("Orthodont")
    fit = mme.lmer("distance ~ age * Sex + dsum((1 | Subject) | Sex)", growth)
    assert list(fit.ranef()["Subject"].columns) == ["SexFemale", "SexMale"]
    assert list(fit.varcorr) == ["Subject.Female", "Subject.Male"]
    patterned = mme.lmer("distance ~ age * Sex + dsum(ar1(0 + factor(age) | Subject) | Sex)", growth)
    assert {"Subject.Female.rho", "Subject.Male.rho"} <= set(patterned.theta_names)


def test_the_steps_after_a_fit(tmp_path):
    fit = mme.lmer("y ~ factor(year) + dsum(corh(trait):A(g) | year)", DATA, relationship=RELATED)
    fit.save(tmp_path / "apart.mme")
    again = mme.load_fit(tmp_path / "apart.mme")
    np.testing.assert_allclose(fit.predict(DATA), fit.fitted, atol=1e-8)
    np.testing.assert_allclose(again.predict(DATA.iloc[::-1]), fit.fitted[::-1], atol=1e-8)
    assert fit.simulate(2, seed=1).shape == (len(DATA), 2)
    assert fit.refit(DATA.y + 1.0).criterion == pytest.approx(fit.criterion, abs=1e-5)
    assert fit.update(". ~ . + x").formula.endswith("dsum(corh(trait):A(g) | year)")


def test_levels_without_records_have_no_term():
    fit = mme.lmer("y ~ 1 + dsum((1 | g) | time)", DATA, subset="time != 4")
    assert list(fit.varcorr) == ["g.1", "g.2"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dsum((1 | g) | one)", "'one' has the one level 'o'"),
        ("dsum(x | year)", "write dsum"),
        ("dsum((1 | g) | yaer)", "did you mean 'year'"),
        ("dsum((1 | g))", "write dsum"),
    ],
)
def test_what_is_no_term_by_level_is_refused(text, says):
    with pytest.raises(mme.MMEError, match=says):
        mme.lmer(f"y ~ 1 + {text}", DATA.assign(one="o"))


def test_levels_of_two_factors_are_those_of_a_column_of_their_combinations():
    data = mme.load("Orthodont").assign(half=lambda d: np.where(d["age"] > 10, "late", "early"))
    data["both"] = data["Sex"].astype(str) + ":" + data["half"]
    fit = mme.lmer("distance ~ age * Sex + dsum((1 | Subject) | Sex:half)", data)
    same = mme.lmer("distance ~ age * Sex + dsum((1 | Subject) | both)", data)
    assert fit.criterion == pytest.approx(same.criterion, abs=1e-8)
    assert {f"Subject.{label}" for label in data["both"].unique()} == set(fit.varcorr)
    np.testing.assert_allclose(fit.predict(data.head(9)), fit.fitted[:9])
    reduced = fit.update("~ . - age:Sex")
    assert reduced.formula == "distance ~ age + Sex + dsum((1 | Subject) | Sex:half)"


@pytest.mark.parametrize("formula", ["y ~ x + arm", "y ~ x", "y ~ arm + (1 | z)"])
def test_the_part_of_one_level_has_piephos_heritability_by_differences_of_its_cells(formula):
    """Of the means of all cells, one genotype absent from two levels, by a fit of indicators of cells alone."""
    rng = np.random.default_rng(0)
    arm, g = rng.choice(["a", "b", "c"], 300), rng.integers(0, 9, 300)
    data = pd.DataFrame({"arm": arm, "g": g, "x": rng.normal(size=300), "z": rng.choice(["u", "v", "w"], 300)})
    data["y"] = data["x"] + rng.normal(size=9)[g] * (1 + (arm == "b")) + rng.normal(size=300)
    data = data[(data["arm"] == "a") | (data["g"] != 3)].reset_index(drop=True)
    fit = mme.lmer(f"{formula} + dsum((1 | g) | arm)", data)
    cells = pd.get_dummies(data["arm"] + data["g"].astype(str), dtype=float)
    X = cells.assign(**({"x": data["x"]} if "x" in formula else {}))
    B = mme.fit(data["y"], X, [mme.Term(data["z"])] if "z" in formula else []).beta_cov.to_numpy()
    for level in "abc":
        C = B[np.ix_(*[np.flatnonzero(X.columns.str.startswith(level))] * 2)]
        v = np.mean([C[i, i] + C[j, j] - 2 * C[i, j] for i in range(len(C)) for j in range(i)])
        variance = fit.varcorr[f"g.{level}"].cov[0, 0]
        assert fit.piepho(f"g.{level}") == pytest.approx(variance / (variance + v / 2), rel=1e-6)


def test_parts_of_nested_factors_have_both_heritabilities_and_slopes_have_none():
    fit = mme.lmer("distance ~ age + dsum((1 | Subject) | Sex)", mme.load("Orthodont"))
    assert fit.piepho("Subject.Male") == pytest.approx(fit.cullis("Subject.Male"), rel=1e-5)
    slopes = mme.lmer("distance ~ age + dsum((age | Subject) | Sex)", mme.load("Orthodont"))
    with (
        pytest.raises(mme.MMEError, match=r"made fixed where it is written \(1 \| Subject\)"),
        pytest.warns(mme.MMEWarning),
    ):
        slopes.piepho("Subject.Male")
