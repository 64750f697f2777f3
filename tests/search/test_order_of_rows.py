"""The same records in another order are the same model: the same criterion, verdict and boundary."""

import numpy as np
import pandas as pd
import pytest

import mme


def noise(seed, levels, size, second):
    """A balanced design and a response of residuals alone: a covariance of rank one, or none, is likeliest."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.standard_normal(levels * size),
            "x": np.tile(np.arange(size, dtype=float), levels),
            "z": np.tile(np.arange(size) ** 2 % 5, levels),
            "g": np.repeat([f"g{i}" for i in range(levels)], size),
        }
    ), "y ~ x + z + (x + z | g)" if second else "y ~ x + (x | g)"


# Covariances of rank one whose direction the mean of x does not see; a term without variance (180).
DESIGNS = [(2, 10, 6), (107, 12, 5), (275, 12, 5), (357, 10, 6), (180, 10, 6), (129, 10, 6, True), (204, 10, 6, True)]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: str(design[0]))
def test_the_order_of_the_rows_changes_nothing(design):
    data, formula = noise(*design, *[False] * (4 - len(design)))
    orders = (data, data[::-1], data.sample(frac=1, random_state=design[0]))
    fits = [mme.lmer(formula, rows) for rows in orders]
    assert np.ptp([fit.criterion for fit in fits]) < 1e-6
    assert len({(fit.optimum.verdict, fit.optimum.boundary) for fit in fits}) == 1


def test_a_design_that_is_searched_by_differences_ends_in_the_corner_of_the_cone():
    data, formula = noise(2, 10, 6, second=False)
    fit = mme.lmer(formula, data[::-1])
    assert fit.criterion < 174.626555
    assert fit.optimum.verdict == "minimum on the boundary"
