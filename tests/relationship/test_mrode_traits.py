"""Several traits and test days: chapters 6 and 10 of Mrode and Pocrnic (2023), 4th edition, printed values.

Where the book slips (6.4: animal 6 is printed as a copy of animal 5) the values are those of its equations, as listed
in JuliaBnG/Mrode-4ed-examples.jl, which also has the other printed values.
"""

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mrode import CALVES, COWS, effects, fat_of_test_days, known, pedigree, printed, relative

import mme

SEX_LIMITED = [
    [-3.365, 1.258], [-1.489, 3.774], [4.237, -1.687], [-6.940, -1.572], [-5.012, -2.098], [5.012, 2.098],
    [2.137, 3.561], [-4.274, -7.123], [-12.162, -3.091], [-8.263, -1.260], [5.836, 3.776], [12.632, 3.558],
    [1.523, 5.971], [-4.292, -11.527], [-1.870, 0.011], [4.290, 11.995], [2.684, 1.663],
]  # fmt: skip
BULL_PROOFS = [
    [2.604, 2.661], [2.176, 0.403], [8.059, 5.001], [-9.865, -5.605], [13.634, 9.728], [-18.086, -13.203],
    [4.310, 3.071], [7.015, 4.489], [-6.299, -5.059],
]  # fmt: skip
GROUPS = [[0.174, -0.092], [-0.124, 0.126], [-0.071, 0.264], [0.087, -0.288], [-0.067, -0.010]]


def long(names, animals, columns, **factors):
    """A row a trait and record."""
    rows = [
        {"trait": name, "animal": one, "y": y, "record": i, **{key: values[t][i] for key, values in factors.items()}}
        for i, one in enumerate(animals)
        for t, (name, column) in enumerate(zip(names, columns, strict=True))
        if not np.isnan(y := column[i])
    ]
    return pd.DataFrame(rows)


def test_6_1_two_traits_of_one_design():
    data = {"wwg": [4.5, 2.9, 3.9, 3.5, 5.0], "pwg": [6.8, 5.0, 6.8, 6.0, 7.5], "sex": list("MFFMM")}
    data["animal"] = range(4, 9)
    fit = mme.lmer(
        "cbind(wwg, pwg) ~ 0 + sex + (1 | animal)",
        data,
        relationship={"animal": pedigree(CALVES)},
        theta=relative([[20.0, 18.0], [18.0, 40.0]], 40.0),
        sigma=np.sqrt(40.0),
        phi={"cor.pwg.wwg": 11.0 / np.sqrt(1200.0), "sd.pwg/sd.wwg": np.sqrt(0.75)},
    )
    printed(np.sort(fit.beta), [3.397, 4.361, 5.880, 6.800])
    wwg = [0.151, -0.015, -0.078, -0.010, -0.270, 0.276, -0.316, 0.244]
    pwg = [0.280, -0.008, -0.170, -0.013, -0.478, 0.517, -0.479, 0.392]
    printed(effects(fit, "animal"), np.column_stack([wwg, pwg]))
    pev = np.diagonal(fit.pev()["animal"], axis1=1, axis2=2)
    book = [18.606, 19.596, 17.893, 16.506, 16.541, 17.152, 17.115, 16.285]
    np.testing.assert_allclose(pev[:, 0], book, atol=2e-3)  # the book inverts rounded numbers
    printed(1 - pev[:, 1] / 40, [0.102, 0.031, 0.155, 0.257, 0.253, 0.212, 0.216, 0.271])


def test_6_3_two_traits_with_fixed_effects_of_their_own():
    fat = [[201.0, 150.0, 160.0, 180.0, 285.0], [280.0, 200.0, 190.0, 250.0, 300.0]]
    data = long(["one", "two"], range(4, 9), fat, hys=[[1, 1, 2, 1, 2], [1, 2, 1, 1, 2]])
    fit = known(
        "y ~ 0 + trait:factor(hys) + (0 + trait | animal)",
        data,
        [[[35.0, 28.0], [28.0, 30.0]]],
        65.0,
        relationship={"animal": pedigree(COWS)},
        residual=mme.Unstructured("trait", "record"),
        phi={"cor.two.one": 27.0 / np.sqrt(65.0 * 70.0), "sd.two/sd.one": np.sqrt(70.0 / 65.0)},
    )
    printed(np.sort(fit.beta), [175.7, 219.6, 240.6, 243.2], digits=1)
    first = [8.969, -2.999, -5.970, 11.754, -16.253, -17.314, 8.690, 22.702]
    second = [8.840, -2.777, -6.063, 11.658, -15.824, -15.719, 8.138, 20.931]
    printed(effects(fit, "animal"), np.column_stack([first, second]))


def test_6_4_traits_of_one_sex_are_related_by_descent_alone():
    sire, dam = [0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 1, 3, 1, 3, 2, 2, 3], [0] * 8 + [4, 5, 6, 0, 7, 8, 0, 13, 15]
    nothing = [np.nan] * 4
    columns = [[375.0, 250, 300, 450, *nothing, np.nan], [*nothing, 200.0, 160, 150, 250, 175]]
    data = long(["1 weight", "2 fat"], range(9, 18), columns, hys=[[1, 2, 2, 1, 1, 2, 3, 2, 3]] * 2)
    fit = known(
        "y ~ 0 + trait:factor(hys) + (0 + trait | animal)",
        data,
        [[[43.0, 18.0], [18.0, 30.0]]],
        77.0,
        relationship={"animal": pedigree({"sire": sire, "dam": dam})},
        residual=mme.Heterogeneous("trait"),
        phi={"sd.2 fat/sd.1 weight": np.sqrt(70.0 / 77.0)},
    )
    printed(np.sort(fit.beta.dropna()), [161.66, 194.03, 204.77, 276.21, 412.26], digits=2)
    printed(effects(fit, "animal"), SEX_LIMITED)


def test_6_5_bulls_across_countries_with_groups_of_phantom_parents():
    """Proofs of two countries; groups have variance one, as the book adds one to the diagonal of their equations."""
    sire, grandsire = [7, 8, 7, 1, 8, 1, None, None, None], [None, 9, 2, None, None, 9, None, None, None]
    # of unknown sires, maternal grandsires and maternal granddams
    phantom = [(0, 3, 5), (0, 0, 5), (0, 0, 5), (0, 2, 5), (0, 3, 4), (0, 0, 4), (1, 2, 4), (1, 2, 4), (1, 3, 4)]
    Q = np.zeros((9, 5))
    for bull in (8, 7, 6, 0, 1, 2, 3, 4, 5):
        for share, known_one, group in zip(
            (0.5, 0.25, 0.25), (sire, grandsire, [None] * 9), phantom[bull], strict=True
        ):
            Q[bull] += share * (Q[known_one[bull] - 1] if known_one[bull] else np.eye(5)[group - 1])
    K = mme.maternal_grandsires(range(1, 10), sire, grandsire)
    order = [K.levels.tolist().index(bull) for bull in range(1, 10)]
    bulls, country = [1, 2, 3, 4, 1, 2, 5, 6], np.repeat([0, 1], 4)
    y = np.array([9.7229, 9.9717, 19.2651, -8.5711, 14.5088, 7.7594, 23.9672, -9.6226])
    contributions = np.array([58, 150, 20, 25, 90, 65, 30, 55])
    Z = np.zeros((8, 18))
    Z[np.arange(8), 9 * country + np.array(bulls) - 1] = 1
    Z = np.column_stack([Z, Z @ np.kron(np.eye(2), Q)])
    of_bulls = np.kron(np.linalg.inv([[20.5, 12.839], [12.839, 9.5]]), K.precision.toarray()[np.ix_(order, order)])
    found = mme.solve(
        y,
        np.eye(2)[country],
        sp.csr_array(Z),
        Ginv=sp.block_diag([of_bulls, np.eye(10)]),
        Rinv=contributions / np.array([206.5, 148.5])[country],
    )
    group = found.b[18:].reshape(2, 5).T
    printed(found.beta, [7.268, 9.036])
    printed(group, GROUPS)
    printed(found.b[:18].reshape(2, 9).T + Q @ group, BULL_PROOFS)


def test_10_1_fixed_regression_of_test_days():
    data = fat_of_test_days()
    fit = known(
        "fat ~ 0 + factor(htd) + legendre(day, 4) + (1 | cow) + (1 | pe)",
        data,
        [5.521, 8.470],
        3.710,
        relationship={"cow": pedigree(COWS)},
    )
    curve = fit.beta.filter(like="legendre")
    np.testing.assert_allclose(curve, [-0.5227, -0.1245, 0.5355, -0.4195], atol=2e-4)  # by polynomials of four digits
    dates = [10.9783, 7.9951, 8.7031, 8.2806, 6.3813, 3.1893, 3.3099, 3.3897, 0.6751, 0]  # the last is set to zero
    of_dates = fit.beta.filter(like="htd")
    printed(of_dates - of_dates.iloc[-1], dates, digits=4)
    cows = [-0.3300, -0.1604, 0.4904, 0.0043, -0.2449, -0.8367, 1.1477, 0.3786]
    printed(effects(fit, "cow"), cows, digits=4)
    printed(effects(fit, "pe"), [-0.6156, -0.4151, -1.6853, 2.8089, -0.0928], digits=4)
