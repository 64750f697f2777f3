"""Mrode and Pocrnic (2023), Linear Models for the Prediction of the Genetic Merit of Animals, 4th ed.: printed values.

Numbers of the examples are those of this edition; of the 3rd (2014) they are one less from chapter 4 to 10.
"""

import numpy as np
import pandas as pd
import pytest
from mrode import (
    BULLS,
    CALVES,
    COWS,
    DYD,
    EDC,
    GENOTYPES,
    PIGS,
    counts,
    effects,
    fat_of_test_days,
    known,
    pedigree,
    printed,
    relative,
    values_of,
)

import mme
from mme.relationship.genomic import tuned, vanraden
from mme.relationship.genomic_dominance import vitezica


def test_4_1_animal_model_and_4_2_sire_model():
    data = {"gain": [4.5, 2.9, 3.9, 3.5, 5.0], "sex": list("MFFMM"), "animal": range(4, 9), "sire": [1, 3, 1, 4, 3]}
    fit = known("gain ~ 0 + sex + (1 | animal)", data, [20], 40, relationship={"animal": pedigree(CALVES)})
    printed(fit.beta.loc[["sexM", "sexF"]], [4.358, 3.404])
    printed(effects(fit, "animal"), [0.098, -0.019, -0.041, -0.009, -0.186, 0.177, -0.249, 0.183])
    printed(fit.ebv()["accuracy"], [0.241, 0.126, 0.295, 0.381, 0.379, 0.339, 0.341, 0.394])
    sires = mme.Pedigree([1, 3, 4], [0, 0, 1], [0, 0, 0])
    fit = known("gain ~ 0 + sex + (1 | sire)", data, [5], 55, relationship={"sire": sires})
    printed([*fit.beta.loc[["sexM", "sexF"]], *effects(fit, "sire").ravel()], [4.336, 3.382, 0.022, 0.014, -0.043])


def test_4_4_groups_of_unknown_parents():
    family = mme.Pedigree(
        range(1, 9), ["a", "a", "a", 1, 3, 1, 4, 3], ["b", "b", "b", "b", 2, 2, 5, 6], unknown_groups=["a", "b"]
    )
    gain, male = np.array([4.5, 2.9, 3.9, 3.5, 5.0]), np.array([1.0, 0, 0, 1, 1])
    Z = mme.Term([4, 5, 6, 7, 8], name="animal", relationship=family).Z.toarray()
    X = np.column_stack([male, 1 - male])
    drop = family.levels.tolist().index("a")
    keep = np.delete(np.arange(10), drop)  # the book's constraint: the first group is zero
    C = np.block([[X.T @ X / 40, X.T @ Z / 40], [Z.T @ X / 40, Z.T @ Z / 40 + family.Ainv.toarray() / 20]])
    rows = np.concatenate([[0, 1], 2 + keep])
    solution = np.linalg.solve(C[np.ix_(rows, rows)], (np.column_stack([X, Z]).T @ gain / 40)[rows])
    book = [5.458, 4.313, -0.767, -0.923, -0.963, -1.268, -1.099, -0.728, -1.338, -0.768, -1.769]
    printed(solution, book)
    data = {"gain": gain, "sex": list("MFFMM"), "animal": [4, 5, 6, 7, 8]}
    fit = known("gain ~ 0 + sex + (1 | animal)", data, [20], 40, relationship={"animal": family})
    printed(fit.fitted, X @ book[:2] + np.array(book[2:10])[3:])  # estimable whatever the constraint


def test_5_1_repeated_records():
    data = {
        "fat": [201.0, 280, 150, 200, 160, 190, 180, 250, 285, 300],
        "cow": np.repeat(range(4, 9), 2),
        "parity": [1, 2] * 5,
        "hys": [1, 3, 1, 4, 2, 3, 1, 3, 2, 4],
    }
    data["pe"] = [f"c{one}" for one in data["cow"]]
    fit = known(
        "fat ~ factor(hys) + factor(parity) + (1 | cow) + (1 | pe)",
        data,
        [20, 12],
        28,
        relationship={"cow": pedigree(COWS)},
    )
    printed(effects(fit, "cow"), [10.148, -3.084, -7.063, 13.581, -18.207, -18.387, 9.328, 24.194])
    printed(effects(fit, "pe"), [8.417, -7.146, -17.229, -1.390, 17.347])


def test_5_2_common_environment():
    sire, dam = [0] * 5 + [1, 1, 1, 3, 3, 3, 3, 1, 1, 1], [0] * 5 + [2, 2, 2, 4, 4, 4, 4, 5, 5, 5]
    data = {"weight": [90.0, 70, 65, 98, 106, 60, 80, 100, 85, 68], "sex": list("MFFFMFFMFM"), "piglet": range(6, 16)}
    data["litter"] = [f"dam {one}" for one in dam[5:]]
    family = pedigree({"sire": sire, "dam": dam})
    fit = known("weight ~ 0 + sex + (1 | piglet) + (1 | litter)", data, [20, 15], 65, relationship={"piglet": family})
    printed(fit.beta.loc[["sexM", "sexF"]], [91.493, 75.764])
    book = [
        -1.441,
        -1.175,
        1.441,
        1.441,
        -0.266,
        -1.098,
        -1.667,
        -2.334,
        3.925,
        2.895,
        -1.141,
        1.525,
        0.448,
        0.545,
        -3.819,
    ]
    printed(effects(fit, "piglet"), book)
    printed(effects(fit, "litter"), [-1.762, 2.161, -0.399])


def test_6_2_two_traits_with_missing_records_in_wide_form():
    family = pedigree({"sire": [*CALVES["sire"], 7], "dam": [*CALVES["dam"], 0]})
    data = pd.DataFrame({"wwg": [4.5, 2.9, 3.9, 3.5, 5.0, 4.0], "pwg": [np.nan, 5.0, 6.8, 6.0, 7.5, np.nan]})
    data["sex"], data["animal"] = list("MFFMMF"), range(4, 10)
    sd, rho = np.sqrt([40.0, 30.0]), 11.0 / np.sqrt(1200.0)
    fit = mme.lmer(
        "cbind(wwg, pwg) ~ 0 + sex + (1 | animal)",
        data,
        relationship={"animal": family},
        theta=relative([[20.0, 18.0], [18.0, 40.0]], 40.0),
        sigma=sd[0],
        phi={"cor.pwg.wwg": rho, "sd.pwg/sd.wwg": sd[1] / sd[0]},
    )
    book = [
        [0.130, 0.266], [-0.084, -0.075], [-0.098, -0.194], [0.007, 0.016], [-0.343, -0.555],
        [0.192, 0.440], [-0.308, -0.483], [0.201, 0.349], [-0.018, -0.119],
    ]  # fmt: skip
    printed(effects(fit, "animal"), book)
    printed(np.sort(fit.beta), np.sort([4.367, 3.657, 6.834, 6.007]))


def test_8_1_maternal_effects_and_permanent_environment():
    sire, dam = [0] * 4 + [1, 3, 4, 3, 1, 3, 3, 8, 9, 3], [0] * 4 + [2, 2, 6, 5, 6, 2, 7, 7, 2, 6]
    data = {"bw": [35.0, 20, 25, 40, 42, 22, 35, 34, 20, 40], "herd": [1] * 4 + [2] * 3 + [3] * 3, "calf": range(5, 15)}
    data |= {"pen": [1, 2, 2, 1, 1, 2, 2, 2, 1, 2], "dam": dam[4:], "pe": [f"d{one}" for one in dam[4:]]}
    family = pedigree({"sire": sire, "dam": dam})
    formula = "bw ~ factor(herd) + factor(pen) + (1 | str(calf, dam)) + (1 | pe)"
    fit = known(formula, data, [[[150, -40], [-40, 90]], 40], 350, relationship={"calf": family})
    direct = [0.564, -1.244, 1.165, -0.484, 0.630, -0.859, -1.156, 1.917, -0.553, -1.055, 0.385, 0.863, -2.980, 1.751]
    maternal = [0.262, -1.583, 0.736, 0.586, -0.507, 0.841, 1.299, -0.158, 0.660, -0.153, 0.916, 0.442, 0.093, 0.362]
    printed(effects(fit, "calf"), np.column_stack([direct, maternal]))
    printed(effects(fit, "pe"), [-1.701, 0.415, 0.825, 0.461])


def test_9_1_social_effects_of_pen_mates():
    sire, dam = [0] * 6 + [1, 1, 2, 1, 2, 3, 2, 3, 3], [0] * 6 + [4, 4, 5, 4, 5, 6, 5, 6, 6]
    pig, pen = np.arange(7, 16), np.repeat([1, 2, 3], 3)
    mates = np.array([[other for other in pig[pen == p] if other != one] for one, p in zip(pig, pen, strict=True)])
    data = {"gain": [5.5, 9.8, 4.9, 8.23, 7.5, 10.0, 4.5, 8.4, 6.4], "sex": list("MFFMFFMFM"), "pig": pig, "pen": pen}
    data |= {"mate1": mates[:, 0], "mate2": mates[:, 1], "litter": [f"l{d}" for d in dam[6:]]}
    fit = known(
        "gain ~ 0 + sex + (1 | str(pig, overlay(mate1, mate2))) + (1 | litter) + (1 | pen)",
        data,
        [[[25.7, 2.25], [2.25, 3.6]], 12.5, 12.12],
        48.48,
        relationship={"pig": pedigree({"sire": sire, "dam": dam})},
    )
    printed(fit.beta.loc[["sexM", "sexF"]], [6.004, 8.243])
    direct = [0.296, -0.483, 0.188] * 2 + [0.125, 0.522, -0.874, 0.536, -0.488, 0.399, -0.572, 0.153, 0.199]
    social = [-0.044, 0.028, 0.017] * 2 + [-0.076, -0.099, 0.009, -0.003, 0.083, 0.060, 0.019, 0.005, 0.002]
    printed(effects(fit, "pig"), np.column_stack([direct, social]))
    printed(effects(fit, "litter"), [0.333, -0.515, 0.183])
    printed(effects(fit, "pen"), [-0.269, 0.359, -0.090])
    total = fit.ebv("pig", of={"total": [1.0, 2.0]})["ebv"]  # direct, and what two mates get
    book = [0.207, -0.428, 0.221] * 2 + [-0.027, 0.324, -0.856, 0.530, -0.321, 0.519, -0.534, 0.163, 0.203]
    np.testing.assert_allclose(total, book, atol=2e-3)


def test_10_2_random_regression_of_test_days_on_legendre_polynomials():
    data = fat_of_test_days()
    G = np.array([[3.297, 0.594, -1.381], [0.594, 0.921, -0.289], [-1.381, -0.289, 1.005]])
    P = np.array([[6.872, -0.254, -1.101], [-0.254, 3.171, 0.167], [-1.101, 0.167, 2.457]])
    fit = known(
        "fat ~ factor(htd) + legendre(day, 4) + (0 + legendre(day, 2, intercept = TRUE) | cow)"
        " + (0 + legendre(day, 2, intercept = TRUE) | pe)",
        data,
        [G, P],
        3.71,
        relationship={"cow": pedigree(COWS)},
    )
    book = [
        [-0.0583, 0.0552, -0.0442], [-0.0728, -0.0305, -0.0244], [0.1311, -0.0247, 0.0686], [0.3445, 0.0063, -0.3164],
        [-0.4537, -0.0520, 0.2798], [-0.5485, 0.0730, 0.1946], [0.8518, -0.0095, -0.3131], [0.2209, 0.0127, -0.0174],
    ]  # fmt: skip
    printed(effects(fit, "cow"), book, digits=4)
    printed(effects(fit, "pe")[0], [-0.6487, -0.3601, -1.4718], digits=4)
    printed(fit.beta.filter(like="legendre"), [-0.6253, -0.1346, 0.3479, -0.4218], digits=4)
    curve = fit.curves("cow", at={"day": np.arange(6, 311)})
    total = curve["ebv"].groupby(level="cow").sum()
    book = [-12.3731, -15.7347, 28.1078, 74.8132, -98.4153, -118.4265, 184.1701, 47.6907]
    np.testing.assert_allclose(total, book, atol=0.03)  # the book rounds the coefficients of the polynomials
    t = np.array([215.6655, 2.4414, -1.5561])
    table = fit.ebv("cow", of={"305 days": t})
    reliability = 1 - table["pev"] / (t @ G @ t)  # the book does not count the inbreeding of animal 8, F = 1/8
    np.testing.assert_allclose(table["reliability"], 1 - table["pev"] / (t @ G @ t) / (1 + table["inbreeding"]))
    np.testing.assert_allclose(reliability, [0.09, 0.04, 0.07, 0.12, 0.15, 0.06, 0.10, 0.05], atol=0.005)
    variances = fit.variance_curve("cow", at={"day": [106, 140]})
    assert variances["cow"].loc[106] == pytest.approx(2.6433, abs=1e-3)
    np.testing.assert_allclose(variances["share"], variances["cow"] / variances[["cow", "pe", "residual"]].sum(axis=1))


@pytest.fixture(scope="module")
def bulls():
    return pedigree(BULLS), counts(GENOTYPES), list(range(13, 27))


def test_11_2_marker_effects_and_11_3_genomic_values_are_one_model(bulls):
    _, M, ids = bulls
    p = M.mean(axis=0) / 2
    Z, k = M - 2 * p, 2 * float(p @ (1 - p))
    snp = mme.solve(np.array(DYD), np.ones((8, 1)), Z[:8], Ginv=np.eye(10) * k / 35.241, Rinv=1 / 245.0)
    printed(snp.b, [0.087, -0.311, 0.262, -0.080, 0.110, 0.139, 0, 0, -0.061, -0.016])
    weighted = mme.solve(
        np.array(DYD), np.ones((8, 1)), Z[:8], Ginv=np.eye(10) * k / 35.241, Rinv=np.array(EDC) / 245.0
    )
    printed(weighted.b, [-0.633, -3.041, 3.069, -1.267, 2.600, 4.447, 0, 0, -3.240, 1.883])
    G = vanraden(M)
    printed(
        G[0],
        [1.472, -0.446, 0.988, 0.059, 0.685, -0.163, -0.708, -0.547, 0.887, -0.789, -0.203, -0.143, -0.829, -0.264],
    )
    genomic = values_of(mme.Relationship(covariance=G, levels=ids, ridge=0.01), ids[:8])
    book = [0.069, 0.116, 0.049, 0.260, -0.500, -0.359, 0.146, -0.231, 0.028, 0.115, -0.240, 0.143, 0.054, 0.353]
    printed(genomic.b, book)
    nearly = values_of(mme.Relationship(covariance=G, levels=ids, ridge=1e-9), ids[:8])
    np.testing.assert_allclose(nearly.b, Z @ snp.b, atol=1e-7)


def test_12_1_single_step_is_tuned_after_it_is_blended(bulls):
    family, M, ids = bulls
    A22 = family.A(ids)
    blended = 0.95 * vanraden(M) + 0.05 * A22
    on_base = tuned(blended, A22)
    b = (on_base[0, 1] - on_base[0, 0]) / (blended[0, 1] - blended[0, 0])
    printed([on_base[0, 0] - b * blended[0, 0], b], [0.202, 0.709])
    H = mme.single_step(family, vanraden(M), ids, tune="blended")
    book = [0.009, 0.121, 0.009, 0.010, -0.250, -0.196, -0.001, 0.026, -0.076, 0.040, -0.137, 0.136]
    book += [0.048, 0.082, 0.039, 0.202, -0.356, -0.254, 0.098, -0.169, 0.018, 0.079, -0.164, 0.101, 0.039, 0.245]
    printed(values_of(H, ids[:8]).b, book)


def test_12_2_the_algorithm_for_proven_and_young(bulls):
    from mme.relationship.apy import Genomes, apy_inverse

    _, M, ids = bulls
    core = np.array([ids.index(one) for one in (15, 20, 22, 26)])
    none = np.zeros((14, 4))
    inverse, logdet = apy_inverse(Genomes(None, 1.0, vanraden(M)), core, none, np.zeros(14))
    others = np.setdiff1d(np.arange(14), core)
    own = inverse[others][:, others].toarray()
    printed(1 / np.diag(own), [0.234, 0.204, 0.600, 0.848, 0.485, 0.420, 1.107, 0.104, 0.644, 0.102])
    np.testing.assert_array_equal(own - np.diag(np.diag(own)), 0.0)
    row = [4.425, 0.373, -0.527, 0.412, -0.795, 2.731, -0.349, -0.658, 0.959, 0.776, 0.483, -0.447, -0.108, 1.828]
    printed(inverse.toarray()[core[0], np.concatenate([core, others])], row)
    assert logdet == pytest.approx(-np.linalg.slogdet(inverse.toarray())[1])
    book = [0.065, 0.119, 0.030, 0.365, -0.471, -0.244, -0.055, -0.220, 0.010, 0.127, -0.229, 0.097, -0.007, 0.363]
    printed(values_of(mme.Relationship(precision=inverse, levels=ids), ids[:8]).b, book)


def test_13_1_dominance():
    family = pedigree({"sire": [0, 0, 0, 0, 1, 3, 6, 0, 3, 3, 6, 6], "dam": [0, 0, 0, 0, 2, 4, 5, 5, 8, 8, 8, 8]})
    data = {"ww": [17.0, 20, 18, 13.5, 20, 15, 25, 19.5], "pen": [1] * 4 + [2] * 4, "pig": range(5, 13)}
    data["d"] = data["pig"]
    related = {"pig": family, "d": mme.dominance(family)}
    fit = known("ww ~ 0 + factor(pen) + (1 | pig) + (1 | d)", data, [90, 80], 120, relationship=related)
    printed(fit.beta, [16.980, 20.030])
    book = [-0.160, -0.160, 0.059, 0.819, -0.320, 1.259, 0.555, -0.998, -0.350, -1.350, 1.061, -0.039]
    printed(effects(fit, "pig"), book)
    printed(effects(fit, "d"), [0, 0, 0, 0, 0.136, 0.705, 0.237, -0.993, 0, -1.333, 1.428, -0.038])


def test_13_5_dominance_and_epistasis_of_markers():
    M, pigs = counts(PIGS), list(range(1, 16))
    data = {"ww": [17.0, 20, 18, 13.5, 20, 15, 25, 19.5, 22.5, 16, 24.5], "pen": [1] * 4 + [2] * 4 + [1, 1, 2]}
    data["a"] = data["d"] = data["aa"] = range(5, 16)
    G = vanraden(M)
    AA = mme.epistatic([G, G], animals=pigs, ridge=0.01)
    row = [0.136, 0.012, 0.422, 0.511, 0.224, 0.404, 0.029, 0.237, 0.045, 0.295, 0.224, 0.029, 0.324, 0.014, 1.379]
    printed(np.linalg.inv(AA.precision.toarray())[14] - 0.01 * np.eye(15)[14], row)
    related = {"a": mme.Relationship(covariance=G, levels=pigs, ridge=0.01), "aa": AA}
    related["d"] = mme.Relationship(covariance=vitezica(M), levels=pigs, ridge=0.01)
    formula = "ww ~ 0 + factor(pen) + (1 | a) + (1 | d) + (1 | aa)"
    fit = known(formula, data, [90, 80, 6], 120, relationship=related)
    printed(fit.beta, [17.453, 20.833])
    a = [-0.108, 0.566, -0.916, 0.248, 0.020, 1.545, 0.732, -0.934, -1.288, -2.045, 1.352, 0.718, 0.387, -0.862, 0.585]
    d = [0.191, 0.920, -0.975, 0.506, 0.100, 0.351, -0.494, -0.836, -0.710, -0.343, 1.085, -0.506, 1.768, 0.496, 1.094]
    aa = [
        0.035,
        -0.026,
        -0.029,
        0.082,
        -0.029,
        0.044,
        -0.056,
        0.002,
        -0.090,
        -0.153,
        0.065,
        -0.057,
        0.078,
        -0.029,
        0.126,
    ]
    for name, book in (("a", a), ("d", d), ("aa", aa)):
        printed(effects(fit, name), book)
