"""Evaluations at many theta together are those made one by one."""

import numpy as np
import pytest

import mme


def crossed(slopes, others):
    """60 records: one factor of 12 levels with so many slopes beside others of 3 to 5 levels."""
    rng = np.random.default_rng(len(others) + slopes)
    x, g = rng.normal(size=(60, slopes)), rng.integers(0, 12, 60)
    terms = [mme.Term(g, covariates=np.column_stack([np.ones(60), x]) if slopes else None)]
    terms += [mme.Term(rng.integers(0, 3 + t, 60), covariates=x[:, :q] if q else None) for t, q in enumerate(others)]
    return rng.normal(size=60), np.column_stack([np.ones(60), x]), terms


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(("slopes", "others"), [(0, []), (1, []), (2, []), (0, [0]), (1, [0, 1]), (2, [2, 0])])
def test_a_stack_of_evaluations_is_each_of_them_in_the_columns_and_in_the_axes(method, slopes, others):
    objective = mme.objective(*crossed(slopes, others), method=method)
    thetas = 2.0 * np.random.default_rng(1).normal(size=(9, objective.model.k))
    assert objective.stacks(9)
    for view in (objective.in_axes, objective, objective.in_axes.in_columns):  # what one keeps is its own
        one_by_one = [view(theta) for theta in thetas]
        np.testing.assert_allclose(view.many(thetas), one_by_one, rtol=1e-12)


def test_a_stack_leaves_large_variances_to_orthogonal_factors():
    objective = mme.objective(*crossed(0, [0, 0]))
    thetas = np.array([[1.0, 1.0, 1.0], [1e7, 1.0, 1e7]])
    np.testing.assert_allclose(objective.many(thetas), [objective(theta) for theta in thetas], rtol=0, atol=0)
