"""Markers, polygenes, haplotypes and dominance: chapters 11 and 13 of Mrode and Pocrnic (2023), 4th edition.

Examples 11.9 to 11.12 are Bayesian (other priors of marker effects), and no mixed models.
"""

import numpy as np
import pytest
from mrode import BULLS, DYD, GENOTYPES, PIGS, counts, effects, known, pedigree, printed

import mme
from mme.relationship.genomic import vanraden
from mme.relationship.genomic_dominance import vitezica

# Relationships of bulls 13 to 26 in a pedigree of five generations, as example 11.3 prints their lower triangle.
FIVE_GENERATIONS = """
1.008
.033 1.037
.545 .021 1.041
.288 .021 .536 1.016
.285 .031 .541 .293 1.020
.047 .580 .036 .028 .032 1.062
.033 .613 .021 .021 .031 .365 1.095
.033 .613 .021 .021 .031 .365 .613 1.095
.099 .031 .082 .118 .074 .028 .031 .031 1.021
.046 .586 .032 .031 .039 .351 .373 .373 .044 1.068
.096 .569 .067 .043 .047 .329 .357 .357 .042 .338 1.050
.041 .574 .027 .019 .026 .331 .406 .406 .028 .335 .335 1.056
.033 .548 .035 .039 .039 .315 .336 .336 .037 .321 .310 .310 1.029
.035 .588 .023 .023 .039 .337 .376 .376 .036 .347 .341 .348 .325 1.070
"""
# Animal 5 as the book has it; its haplotypes give a one in the eleventh place too.
HAPLOTYPES = """1100001100020000 0011000110001100 0100100001100011 0110000110011000 0100010100000110"""
SNPS = """201010220 021111021 211012001 111111120 100001012"""
BULL_IDS = list(range(13, 27))


def test_11_6_the_frequency_in_the_base_population_from_gene_content():
    """Gengler, Mayeres and Szydlowski 2007: gene content is a trait of heritability one, nearly."""
    data = {"content": counts(GENOTYPES)[:, 0], "bull": BULL_IDS}
    fit = known("content ~ 1 + (1 | bull)", data, [1.0], 0.01, relationship={"bull": pedigree(BULLS)})
    printed(fit.beta, [0.597])
    book = [0.695, -0.523, 0.695, -0.198, -0.523, 0.140, -0.518, -0.518, -0.779, 0.140, -0.518, 0.140]
    book += [1.387, 0.380, 0.397, -0.586, -0.586, 0.400, -0.589, -0.589, 1.389, -0.587, -0.587, 0.400, -0.587, 0.400]
    np.testing.assert_allclose(effects(fit, "bull").ravel(), book, atol=1.5e-3)


def test_11_7_polygenes_beside_markers():
    lower = [list(map(float, line.split())) for line in FIVE_GENERATIONS.split("\n") if line]
    A = np.array([[lower[max(i, j)][min(i, j)] for j in range(14)] for i in range(14)])
    M = counts(GENOTYPES)
    related = {"u": mme.Relationship(covariance=A, levels=BULL_IDS)}
    related["g"] = mme.Relationship(covariance=vanraden(M), levels=BULL_IDS, ridge=0.01)
    data = {"fat": DYD, "u": BULL_IDS[:8], "g": BULL_IDS[:8]}
    fit = known("fat ~ 1 + (1 | u) + (1 | g)", data, [3.5241, 31.7169], 245.0, relationship=related)
    polygenes = [0.011, -0.007, 0.043, 0.076, -0.015, -0.025, -0.021, -0.056, 0.005, -0.006, -0.004, -0.008, -0.003]
    printed(fit.beta, [9.940])
    printed(effects(fit, "u"), [*polygenes, -0.006])
    both = [0.064, 0.106, 0.074, 0.305, -0.477, -0.345, 0.115, -0.260, 0.029, 0.102, -0.220, 0.125, 0.051, 0.315]
    printed(effects(fit, "u") + effects(fit, "g"), both)
    p = M.mean(axis=0) / 2
    snps = {f"s{j}": column for j, column in enumerate((M - 2 * p)[:8].T)}
    words = f"diag(0 + {' + '.join(snps)} | all, hom = TRUE)"
    variance = 31.7169 / float(2 * p @ (1 - p))
    snp = known(
        f"fat ~ 1 + (1 | u) + {words}",
        data | snps | {"all": ["one"] * 8},
        [3.5241, variance],
        245.0,
        relationship={"u": related["u"]},
    )
    printed(effects(snp, "all"), [0.078, -0.280, 0.234, -0.075, 0.098, 0.128, 0, 0, -0.054, -0.018])
    printed(effects(snp, "u"), [*polygenes, -0.006])


@pytest.mark.parametrize(
    ("content", "row", "book"),
    [
        (SNPS, [-0.424, -0.227, 0.167, -0.522, 1.005], [3.960, 0.253, -0.474, 0.057, -0.224, 0.388]),
        (HAPLOTYPES, [-0.235, -0.100, 0.036, -0.281, 0.579], [3.960, 0.235, -0.380, 0.079, -0.196, 0.262]),
    ],
    ids=["markers", "haplotypes"],
)
def test_11_8_relationships_of_haplotypes_and_of_their_markers(content, row, book):
    G = vanraden(counts(content))
    printed(G[4], row)
    data = {"gain": [4.5, 2.9, 3.9, 3.5, 5.0], "calf": range(1, 6)}
    related = {"calf": mme.Relationship(covariance=G, levels=list(range(1, 6)), ridge=0.01)}
    fit = known("gain ~ 1 + (1 | calf)", data, [20.0], 40.0, relationship=related)
    printed([*fit.beta, *effects(fit, "calf").ravel()], book)


def test_13_2_total_genetic_merit():
    family = pedigree({"sire": [0, 0, 0, 0, 1, 3, 6, 0, 3, 3, 6, 6], "dam": [0, 0, 0, 0, 2, 4, 5, 5, 8, 8, 8, 8]})
    D = np.linalg.inv(mme.dominance(family).precision.toarray())
    total = mme.Relationship(covariance=90 * family.A() + 80 * D, levels=family.levels)
    data = {"ww": [17.0, 20, 18, 13.5, 20, 15, 25, 19.5], "pen": [1] * 4 + [2] * 4, "pig": range(5, 13)}
    fit = known("ww ~ 0 + factor(pen) + (1 | pig)", data, [1.0], 120.0, relationship={"pig": total})
    printed(fit.beta, [16.980, 20.030])
    book = [-0.160, -0.160, 0.059, 0.819, -0.184, 1.963, 0.792, -1.991, -0.349, -2.683, 2.489, -0.078]
    printed(effects(fit, "pig"), book)


def pigs():
    M, ids = counts(PIGS), list(range(1, 16))
    data = {"ww": [17.0, 20, 18, 13.5, 20, 15, 25, 19.5, 22.5, 16, 24.5], "pen": [1] * 4 + [2] * 4 + [1, 1, 2]}
    data["a"] = data["d"] = range(5, 16)
    data["f"] = 1 - (M == 1).mean(axis=1)[4:]  # the share of loci that are homozygous
    related = {"a": mme.Relationship(covariance=vanraden(M), levels=ids, ridge=0.01)}
    related["d"] = mme.Relationship(covariance=vitezica(M), levels=ids, ridge=0.01)
    return data, related


def test_13_3_dominance_of_markers():
    data, related = pigs()
    fit = known("ww ~ 0 + factor(pen) + (1 | a) + (1 | d)", data, [90.0, 80.0], 120.0, relationship=related)
    printed(fit.beta, [17.451, 20.812])
    a = [-0.095, 0.572, -0.947, 0.228, 0.028, 1.556, 0.744, -0.932, -1.315, -2.093, 1.395, 0.730, 0.378, -0.876, 0.626]
    d = [0.197, 0.925, -1.007, 0.504, 0.087, 0.369, -0.523, -0.837, -0.744, -0.361, 1.107, -0.536, 1.798, 0.504, 1.131]
    printed(effects(fit, "a"), a)
    printed(effects(fit, "d"), d)


def test_13_4_inbreeding_depression():
    data, related = pigs()
    fit = known("ww ~ 0 + factor(pen) + f + (1 | a) + (1 | d)", data, [90.0, 80.0], 120.0, relationship=related)
    printed(fit.beta, [19.933, 23.518, -3.767])
    a = [-0.125, 0.460, -0.842, 0.104, -0.167, 1.442, 0.577, -0.816, -1.043, -1.830, 1.385, 0.562, 0.407, -0.721, 0.608]
    d = [0.131, 0.946, -0.996, 0.540, -0.020, 0.381, -0.727, -0.877, -0.669, -0.215, 1.022, -0.741, 1.747, 0.488, 1.265]
    printed(effects(fit, "a"), a)
    printed(effects(fit, "d"), d)
