"""Levels turned by the eigenvectors of their relationship: the same criterion, where every level has the same rows."""

import numpy as np
import pandas as pd
import pytest

import mme
from mme.engine.objective import Objective
from mme.formula.design import design
from mme.model.problem import build_model
from mme.search.rotated import rotated

SOME, MANY = 30, 60


def trial(J=MANY, q=7, seed=1, share=1.0):
    rng = np.random.default_rng(seed)
    markers = rng.integers(0, 3, (J, 300)) - 1.0
    K = markers @ markers.T / 200 + 0.05 * np.eye(J)
    gens = [f"g{i:02}" for i in range(J)]
    data = pd.DataFrame({"env": np.tile([f"e{j}" for j in range(q)], J), "gen": np.repeat(gens, q)})
    data["at"], data["half"] = np.tile(np.arange(q), J), np.where(data["env"] > "e3", "b", "a")
    u = np.linalg.cholesky(K) @ rng.normal(size=(J, q)) @ np.diag(np.linspace(0.5, 1.5, q))
    data["y"] = u.ravel() + u.mean(axis=1).repeat(q) + rng.normal(size=J * q)
    return data.sample(frac=share, random_state=seed), mme.Relationship(covariance=K, levels=gens)


def model_of(formula, data, K, **more):
    parts = design(formula, data, relationship={"gen": K}, also=())
    column = data.reset_index(drop=True).__getitem__
    return build_model(parts.y, parts.X, parts.terms, x_names=parts.x_names, column=column, **more)


CASES = {
    "complete": ("y ~ env + fa(0 + env | gen, k = 2)", {}, {}),
    "missing": ("y ~ env + fa(0 + env | gen, k = 1)", {"share": 0.9}, {}),
    "strata": ("y ~ env + diag(0 + env | gen)", {"share": 0.85}, {"residual": mme.Heterogeneous("half")}),
    "serial": ("y ~ at + us(at | gen)", {"J": 120}, {"residual": mme.AR1("at", "gen")}),
    "likelihood": ("y ~ env + us(0 + env | gen)", {}, {"method": "ML"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_criterion_of_turned_records_is_that_of_the_records(case):
    formula, sizes, more = CASES[case]
    data, K = trial(**sizes)
    model = model_of(formula, data, K, **more)
    other = rotated(model)
    assert other is not None
    assert all(term.relationship is None for term in other.terms)
    phi = np.zeros(0) if model.residual is None else model.residual.start() + 0.2
    one, two = Objective.of(model, phi=phi), Objective.of(other, phi=phi)
    rng = np.random.default_rng(3)
    for _ in range(3):
        theta = rng.uniform(0.2, 1.0, model.k)
        assert two(theta) == pytest.approx(one(theta), abs=1e-7)


def test_levels_without_records_stay_out_and_are_predicted():
    data, K = trial()
    data = data[~data["gen"].isin(["g03", "g17"])]
    fit = mme.lmer("y ~ env + diag(0 + env | gen)", data, relationship={"gen": K})
    assert rotated(fit.internals.model) is not None
    assert fit.criterion == pytest.approx(fit.internals.objective(fit.theta), abs=1e-7)
    assert len(fit.ranef()["gen"]) == MANY


def test_the_optimum_is_the_one_that_a_search_without_turning_finds():
    data, K = trial(share=0.95)
    fit = mme.lmer("y ~ env + fa(0 + env | gen, k = 1)", data, relationship={"gen": K})
    for step in np.eye(fit.theta.size) * 1e-4:
        assert min(fit.internals.objective(fit.theta + one) for one in (step, -step)) > fit.criterion - 1e-7


@pytest.mark.parametrize(
    ("sizes", "more"),
    [
        ({"share": 0.9}, {"method": "ML"}),  # an effect for each missing record would stay in log|V|
        ({"share": 0.5}, {}),
        ({"share": 0.9}, {"residual": mme.AR1("at", "gen")}),
        ({"J": SOME, "q": 4}, {}),
        ({}, {"weights": np.linspace(1, 2, 7 * MANY)}),
    ],
)
def test_other_models_are_searched_as_they_are(sizes, more):
    data, K = trial(**sizes)
    model = model_of("y ~ at + us(at | gen)", data, K, **more)
    assert rotated(model) is None


def test_other_terms_keep_the_levels_where_they_are():
    data, K = trial()
    data["block"] = np.arange(len(data)) % 9
    model = model_of("y ~ 1 + (0 + env | gen) + (1 | block)", data, K)
    assert rotated(model) is None
