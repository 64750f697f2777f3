"""Where the search begins: at the optimum itself for balanced designs, where moments are the REML estimates."""

from __future__ import annotations

import pytest
from cases import load_case
from fuzz.oracle import dense, lowest
from fuzz.problems import problem

import mme
from mme.search.start import start

# REML's solution is that of the analysis of variance here: every random term is balanced over the fixed effects.
BALANCED = [
    "dyestuff_reml",
    "dyestuff_ml",
    "sleepstudy_int_reml",
    "sleepstudy_slope_reml",
    "sleepstudy_slope_ml",
    "machines_3x3_reml",
    "machines_3x3_ml",
    "machines_nested_reml",
    "oats_nitro_reml",
    "oats_full_reml",
    "cake_linear_reml",
    "pastes_nested_reml",
    "penicillin_reml",
]


@pytest.mark.parametrize("name", BALANCED)
def test_a_balanced_design_is_started_at_its_optimum(name):
    case = load_case(name)
    objective = case.fit().internals.objective
    assert objective.in_axes(start(objective).theta) - case.json["objective"] < 1e-8


@pytest.mark.parametrize("name", ["insteval_3_reml", "chem97_nested_reml", "sim_q4_reml", "sim_inter_reml"])
def test_no_start_is_worse_than_a_variance_equal_to_the_residual_one(name):
    objective = load_case(name).fit().internals.objective
    theta = objective.model.diagonal.astype(float)
    assert objective.in_axes(start(objective).theta) < objective(theta)


# Designs of two valleys, of which moments lead into the higher one: by the number of the problem.
TWO_VALLEYS = [37, 46, 90, 185, 223, 335, 378]


@pytest.mark.parametrize("number", TWO_VALLEYS)
def test_the_lower_of_two_valleys_is_found(number):
    given = problem(number)
    fit = mme.lmer(given.formula, given.table, **given.options)
    oracle = dense(fit.internals.model)
    assert fit.criterion < fit.internals.objective(oracle.users(lowest(oracle, 40)[1])) + 1e-4
