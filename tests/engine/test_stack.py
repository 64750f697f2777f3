"""Evaluations at many theta together are those made one by one."""

import numpy as np
import pytest

import mme
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.engine.stack import is_stacked
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within


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


def alone(name):
    """Models of which evaluations are made one by one: by what the model has, or by its plan."""
    rng = np.random.default_rng(3)
    y, x, g, h = rng.normal(size=40), rng.normal(size=(40, 3)), np.arange(40) % 12, np.arange(40) % 5
    X = np.column_stack([np.ones(40), x[:, 0]])
    smooth = mme.Term(np.zeros(40, dtype=int), x, name="s", covariance="homogeneous diagonal")
    two = [mme.Term(g, name="g"), mme.Term(h, name="h")]
    pedigree = mme.Pedigree(np.arange(12), [None] * 2 + [0] * 10, [None] * 2 + [1] * 10)
    related = mme.Term(g, name="g", relationship=pedigree)
    terms, plan = {
        "one level of one variance": ([smooth], None),
        "one level of one variance beside a factor": ([smooth, mme.Term(np.arange(40) % 2, name="k")], None),
        "related levels alone": ([related], None),
        "a sparse factor": (two, Plan(0, False)),
        "sums": (two, Plan(0, True, summed=True)),
        "nothing absorbed": (two, Plan(None, True)),
    }[name]
    return Objective.of(build_model(y, X, terms), plan=plan)


KINDS = ["one level of one variance", "one level of one variance beside a factor", "related levels alone"]


@pytest.mark.parametrize("name", [*KINDS, "a sparse factor", "sums", "nothing absorbed"])
def test_other_models_are_evaluated_one_by_one(name):
    objective = alone(name)
    thetas = np.random.default_rng(2).uniform(0.2, 2.0, (5, objective.model.k))
    assert not is_stacked(objective.system, 5)
    assert not objective.stacks(5)
    np.testing.assert_allclose(objective.many(thetas), [objective(theta) for theta in thetas], rtol=0, atol=0)


def test_levels_whose_map_is_no_matrix_are_evaluated_one_by_one():
    with within(Limits(dense_factor_entries=0)):
        objective = mme.objective(*crossed(1, [0]))
    assert not isinstance(objective.system.rest.schur.applied, np.ndarray)
    thetas = np.random.default_rng(2).uniform(0.2, 2.0, (5, objective.model.k))
    assert not objective.stacks(5)
    np.testing.assert_allclose(objective.many(thetas), [objective(theta) for theta in thetas], rtol=0, atol=0)


@pytest.mark.parametrize("slopes", [0, 1])
def test_levels_in_pieces_are_evaluated_one_by_one(slopes):
    with within(Limits(levels_in_panel=5)):
        objective = mme.objective(*crossed(slopes, []))
        assert len(objective.system.chunks) > 1
        assert not is_stacked(objective.system, 1)
    with within(Limits(levels_in_panel=60)):
        objective = mme.objective(*crossed(slopes, []))
        count = 60 // objective.system.chunks[0].J
        assert is_stacked(objective.system, count)
        assert not is_stacked(objective.system, count + 1)
