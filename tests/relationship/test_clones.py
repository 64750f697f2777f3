"""Animals of one genotype are one level: relationships by the table with copied rows, fits by dense algebra."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mme


def herd(n: int, seed: int) -> tuple[list[str], list[str | None], list[str | None], list[str | None]]:
    """Animals, parents among those before them, and for some the one before whose copy they are."""
    rng = np.random.default_rng(seed)
    animal = [f"a{i}" for i in range(n)]
    sire, dam, copy = ([None] * n for _ in range(3))
    for i in range(3, n):
        s, d = rng.choice(i, 2, replace=False)
        sire[i], dam[i] = animal[s], animal[d]
        if rng.random() < 0.3:
            copy[i] = animal[rng.integers(i)]
            sire[i] = dam[i] = None
    return animal, sire, dam, copy


def table(animal: list[str], sire: list[str | None], dam: list[str | None], copy: list[str | None]) -> np.ndarray:
    """A (n, n) among all labels: the row of a copy is that of its original."""
    at = {label: i for i, label in enumerate(animal)}
    A, parents = np.zeros((len(animal), len(animal))), list(zip(sire, dam, strict=True))
    for i in range(len(animal)):
        known = [at[one] for one in parents[i] if one is not None]
        row = 0.5 * A[known, :i].sum(axis=0) if copy[i] is None else A[at[copy[i]], :i]
        own = 1.0 + (0.5 * A[known[0], known[1]] if len(known) == 2 else 0.0)
        A[i, :i] = A[:i, i] = row
        A[i, i] = own if copy[i] is None else A[at[copy[i]], at[copy[i]]]
    return A


@given(n=st.integers(4, 25), seed=st.integers(0, 2**32 - 1))
def test_relationships_are_those_of_the_table_with_copied_rows(n: int, seed: int) -> None:
    animal, sire, dam, copy = herd(n, seed)
    expected = table(animal, sire, dam, copy)
    order = np.random.default_rng(seed).permutation(n)
    columns = [[column[i] for i in order] for column in (animal, sire, dam, copy)]
    pedigree = mme.Pedigree(*columns[:3], identical_to=columns[3], hermaphrodite=True)
    np.testing.assert_allclose(pedigree.A(animal), expected, atol=1e-12)
    genotype = pedigree.genotype(animal)
    assert genotype.tolist() == [
        g if c is None else pedigree.genotype([c])[0] for g, c in zip(animal, copy, strict=True)
    ]
    first = [animal.index(label) for label in pedigree.levels]
    np.testing.assert_allclose(pedigree.Ainv.toarray() @ expected[np.ix_(first, first)], np.eye(len(first)), atol=1e-9)


def test_records_of_twins_are_records_of_one_genotype() -> None:
    animal, sire, dam, copy = herd(60, 5)
    pedigree = mme.Pedigree(animal, sire, dam, identical_to=copy, hermaphrodite=True)
    A = table(animal, sire, dam, copy)
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"animal": animal * 2, "x": rng.normal(size=120)})
    data["y"] = 3.0 + data["x"] + np.tile(rng.multivariate_normal(np.zeros(60), A), 2) + rng.normal(size=120)
    with pytest.raises(mme.MMEError, match=r"pedigree.genotype\(labels\)"):
        mme.lmer("y ~ x + (1 | animal)", data, relationship={"animal": pedigree})
    data["genotype"] = pedigree.genotype(data["animal"])
    fit = mme.lmer("y ~ x + (1 | genotype)", data, relationship={"genotype": pedigree})
    V = np.tile(A, (2, 2)) * fit.varcorr["genotype"].cov[0, 0] + fit.sigma**2 * np.eye(120)
    X, y = np.column_stack([np.ones(120), data["x"]]), data["y"].to_numpy()
    Vi = np.linalg.inv(V)
    XVX = X.T @ Vi @ X
    r = y - X @ np.linalg.solve(XVX, X.T @ Vi @ y)
    criterion = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1] + r @ Vi @ r + 118 * np.log(2 * np.pi)
    assert fit.criterion == pytest.approx(criterion, abs=1e-8)
    b = fit.varcorr["genotype"].cov[0, 0] * np.tile(A, 2) @ Vi @ r
    np.testing.assert_allclose(fit.ranef()["genotype"].loc[pedigree.genotype(animal), "(Intercept)"], b, atol=1e-8)
    ramets = mme.lmer("y ~ x + (1 | genotype) + (1 | animal)", data, relationship={"genotype": pedigree})
    assert ramets.criterion <= fit.criterion + 1e-8


def test_twins_may_name_each_other_and_a_copy_takes_the_parents_of_its_genotype() -> None:
    each_other = mme.Pedigree(["b", "a"], ["s", None], ["d", None], identical_to=["a", "b"])
    assert each_other.genotype(["a", "b"]).tolist() == ["b", "b"]
    np.testing.assert_allclose(each_other.A(["a", "s"]), [[1.0, 0.5], [0.5, 1.0]])
    numbers = mme.Pedigree([1, 2, 3], [0, 0, 1], [0, 0, 2], identical_to=[0, 7, 0])
    assert numbers.genotype([2, 7]).tolist() == [7, 7]
    assert mme.Pedigree([1, 2], [0, 0], [0, 0], identical_to=[None, np.nan]).levels.size == 2
    bred = mme.Pedigree(["x", "y"], ["s", "s"], ["d", "d"], identical_to=[None, "x"], selfed=[3, 0])
    assert bred.A(["y"])[0, 0] == mme.Pedigree(["x"], ["s"], ["d"], selfed=[3]).A(["x"])[0, 0]


def test_parents_of_one_genotype_that_differ_are_named() -> None:
    with pytest.raises(mme.MMEError, match=r"\('a', 'b'\) are one genotype|'a', 'b'.* are one genotype"):
        mme.Pedigree(["a", "b"], ["s", "t"], ["d", "d"], identical_to=[None, "a"])
    with pytest.raises(mme.MMEError, match="one entry a row"):
        mme.Pedigree(["a", "b"], ["s", "s"], ["d", "d"], identical_to=["a"])


def test_an_animal_outside_the_pedigree_is_named_with_both_ways_out() -> None:
    """At the population's value, with its whole variance; or by a pedigree that has it, at its parents' mean."""
    animals = [f"a{i}" for i in range(12)]
    parents = [[None] * 4 + [f"a{i % 2 + k}" for i in range(8)] for k in (0, 2)]
    data = pd.DataFrame({"animal": animals * 2, "y": np.random.default_rng(1).normal(size=24)})
    fit = mme.lmer("y ~ 1 + (1 | animal)", data, relationship={"animal": mme.Pedigree(animals, *parents)}, theta=[1.0])
    with pytest.raises(mme.MMEError, match=r"'calf'; use new_levels='population'.*relationship that has them"):
        fit.predict({"animal": ["calf"]})
    assert fit.predict({"animal": ["calf"]}, new_levels="population").iloc[0] == pytest.approx(fit.beta.iloc[0])
    wider = mme.Pedigree([*animals, "calf"], [*parents[0], "a4"], [*parents[1], "a7"])
    again = mme.lmer("y ~ 1 + (1 | animal)", data, relationship={"animal": wider}, theta=[1.0])
    b = again.ranef()["animal"]["(Intercept)"]
    assert again.predict({"animal": ["calf"]}).iloc[0] == pytest.approx(again.beta.iloc[0] + (b["a4"] + b["a7"]) / 2)


def test_the_word_for_an_unknown_dam_is_no_animal_and_the_term_that_takes_it_is_named() -> None:
    data = {"y": np.arange(8.0), "dam": [0, 0, 11, 11, 12, 12, 12, 11]}
    with pytest.raises(
        mme.MMEError, match=r"1 of 3 levels are not in its relationship \(0\); that is nobody.*str\(animal, dam"
    ):
        mme.lmer("y ~ 1 + (1 | dam)", data, relationship={"dam": mme.Pedigree([11, 12], [0, 0], [0, 0])})
