"""What is made of an objective is the criterion of the model that it names: in other axes, at another phi, by ML."""

import numpy as np
import pytest

import mme
from mme.engine.objective import Objective
from mme.model.problem import build_model

N = 30
RNG = np.random.default_rng(12)
G, H = np.arange(N) % 5, np.arange(N) // 6
WEIGHTS = np.random.default_rng(5).uniform(0.5, 2.0, N)
Y, X = RNG.normal(size=N), np.column_stack([np.ones(N), RNG.normal(3.0, 1.0, N)])
TERMS = {
    "intercepts": lambda: [mme.Term(G, name="g")],
    "slopes": lambda: [mme.Term(G, X, name="g")],
    "slopes beside a factor": lambda: [mme.Term(G, X, name="g"), mme.Term(H, name="h")],
}


@pytest.mark.parametrize("name", TERMS)
def test_a_view_takes_theta_in_its_own_axes_and_what_has_that_view_is_itself(name):
    columns = mme.objective(Y, X, TERMS[name]())
    axes, theta = columns.in_axes, np.full(columns.model.k, 0.7)
    value = columns(theta)
    assert axes(columns.model.coordinates.inner(theta)) == pytest.approx(value, abs=1e-10)
    assert axes.in_columns(theta) == pytest.approx(value, abs=1e-10)
    assert columns.in_columns is columns
    assert axes.in_axes is axes
    assert (axes is columns) == (name == "intercepts")  # ones have no other axes
    assert axes.inside == (name != "intercepts")


def test_at_another_phi_it_is_the_model_built_there_and_at_the_same_itself():
    model = build_model(Y, X, TERMS["slopes"](), residual=mme.AR1(np.arange(N) % 6, H))
    phi, other, theta = np.array([0.3]), np.array([-0.4]), np.full(model.k, 0.7)
    f = Objective.of(model, phi=phi)
    assert f.at(phi.copy()) is f
    assert f.at(other)(theta) == pytest.approx(Objective.of(model, phi=other)(theta), abs=1e-10)
    assert f.at(other)(theta) != pytest.approx(f(theta), abs=1e-3)


@pytest.mark.parametrize("name", TERMS)
def test_other_weights_and_another_phi_keep_the_pattern(name):
    """Also where all that is left after absorption is nothing."""
    model = build_model(Y, X, TERMS[name](), residual=mme.AR1(np.arange(N) // 5, G), weights=np.ones(N))
    f = Objective.of(model, phi=np.array([0.3]))
    assert f.with_weights(WEIGHTS).pattern is f.pattern
    assert f.at(np.array([-0.4])).pattern is f.pattern


@pytest.mark.parametrize("name", TERMS)
def test_by_ml_it_is_the_deviance_of_the_model_built_by_ml(name):
    f, ml = (mme.objective(Y, X, TERMS[name](), method=method) for method in ("REML", "ML"))
    theta, own = np.full(f.model.k, 0.7), f.by_ml()
    assert own(theta) == pytest.approx(ml(theta), abs=1e-10)
    assert own.model.method == "ML"
    assert own.engine.seconds == {}  # it took none
    assert f(theta) != pytest.approx(ml(theta), abs=1e-3)
