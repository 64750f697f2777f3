"""Data of the examples of Mrode and Pocrnic (2023), fits at their variances, and the comparison with printed digits."""

import numpy as np
import pandas as pd

import mme

CALVES = {"sire": [0, 0, 0, 1, 3, 1, 4, 3], "dam": [0, 0, 0, 0, 2, 2, 5, 6]}
COWS = {"sire": [0, 0, 0, 1, 3, 1, 3, 1], "dam": [0, 0, 0, 2, 2, 5, 4, 7]}
BULLS = {
    "sire": [0] * 14 + [13, 15, 15, 14, 14, 14, 1, 14, 14, 14, 14, 14],
    "dam": [0] * 14 + [4, 2, 5, 6, 9, 9, 3, 8, 11, 10, 7, 12],
}
GENOTYPES = """2011000212 1000020210 1121100212 0021010221 0112000212 1101020221 0011020220
               0110010220 2000012212 0001120200 0110010221 1000110200 0001120210 1011020100"""
DYD, EDC = [9.0, 13.4, 12.7, 15.4, 5.9, 7.7, 10.2, 4.8], [558, 722, 300, 73, 52, 87, 64, 103]
PIGS = """22001110110010120101 11112010220101110000 12102011220120220010 11002022221101021010 11111020120001120001
          21002011220111120020 21001021120101120011 22001021120010210001 22001022220120210000 12002022220120210000
          21001010120010210010 21001021120101120011 21002022220111110010 21001022220110210001 21000020120000210001"""


def fat_of_test_days():
    """Fat at the test days of five cows, examples 10.1 and 10.2; ``htd`` numbers herd and test day."""
    days = [4, 38, 72, 106, 140, 174, 208, 242, 276, 310]
    records = {
        4: [17.0, 18.6, 24.0, 20.0, 20.0, 15.6, 16.0, 13.0, 8.2, 8.0],
        5: [23.0, 21.0, 18.0, 17.0, 16.2, 14.0, 14.2, 13.4, 11.8, 11.4],
        6: [10.4, 12.3, 13.2, 11.6, 8.4],
        7: [22.8, 22.4, 21.4, 18.8, 18.3, 16.2, 15.0],
        8: [22.2, 20.0, 21.0, 23.0, 16.8, 11.0, 13.0, 17.0, 13.0, 12.6],
    }
    first = {4: 1, 5: 1, 6: 6, 7: 4, 8: 1}
    rows = [(cow, days[j], first[cow] + j, y) for cow, ys in records.items() for j, y in enumerate(ys)]
    data = pd.DataFrame(rows, columns=["cow", "day", "htd", "fat"])
    data["pe"] = "c" + data["cow"].astype(str)
    return data


def pedigree(parents):
    return mme.Pedigree(range(1, 1 + len(parents["sire"])), parents["sire"], parents["dam"], hermaphrodite=True)


def counts(text):
    return np.array([[int(one) for one in row] for row in text.split()], dtype=float)


def relative(G, residual):
    """Theta of a covariance, beside a residual variance."""
    L = np.linalg.cholesky(np.atleast_2d(G) / residual)
    return [L[i, j] for j in range(len(L)) for i in range(j, len(L))]


def known(formula, data, parts, error, **more):
    """A fit at known variances."""
    theta = np.concatenate([relative(G, error) for G in parts])
    return mme.lmer(formula, data, theta=theta, sigma=np.sqrt(error), **more)


def printed(values, expected, digits=3):
    """Equal to the digits that the book prints, its own rounding in the last left out."""
    np.testing.assert_allclose(np.ravel(values), np.ravel(expected), atol=1.01 * 10.0**-digits)


def effects(fit, name):
    return fit.ranef()[name].to_numpy()


def values_of(K, animals, variance=35.241):
    """The equations of chapter 11 for the bulls with a record."""
    Z = mme.Term(animals, name="bull", relationship=K).Z
    return mme.solve(np.array(DYD), np.ones((8, 1)), Z, Ginv=K.precision / variance, Rinv=1 / 245.0)
