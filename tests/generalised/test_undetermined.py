"""Variances that the design does not tell apart: the words of the linear model, the fit of the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mme


def drawn(seed: int) -> dict[str, np.ndarray]:
    """Counts, and normal records of the same design; ``h`` is ``g`` under other names."""
    rng = np.random.default_rng(seed)
    g, x = rng.integers(0, 15, 150), rng.normal(size=150)
    eta = 0.5 + 0.3 * x + 0.8 * rng.normal(size=15)[g] + 0.4 * rng.normal(size=15)[g] * x
    h = np.array([f"h{one}" for one in g])
    return {"y": rng.poisson(np.exp(eta)), "z": eta + rng.normal(size=150), "x": x, "g": g, "h": h}


@pytest.mark.parametrize(
    ("twice", "once"),
    [
        ("(1 | g) + (1 | h)", "(1 | g)"),
        ("(1 | g) + (1 | g)", "(1 | g)"),
        ("(x || g) + (1 | h)", "(x || g)"),
        ("(x | g) + (0 + x | h)", "(x | g)"),
    ],
)
def test_a_term_that_stands_twice_is_told_as_by_the_linear_model_and_changes_nothing_else(
    twice: str, once: str
) -> None:
    data = drawn(3)
    fit, plain = (mme.glmer(f"y ~ x + {terms}", data, "poisson") for terms in (twice, once))
    linear = mme.lmer(f"z ~ x + {twice}", data)
    assert fit.optimum.verdict == linear.optimum.verdict == "flat"
    assert fit.optimum.undetermined == linear.optimum.undetermined
    assert "held at zero" in fit.optimum.undetermined[0]
    assert fit.optimum.undetermined[0] in str(fit.optimum)
    assert {one.kind for one in fit.diagnose()} & {"flat", "same effects"} == {"flat"}
    assert plain.optimum.verdict == "minimum"
    assert not fit.singular
    assert (fit.dof, fit.internals.estimates.parameter_cov is None) == (plain.dof, False)
    assert fit.criterion == pytest.approx(plain.criterion, abs=1e-8)
    np.testing.assert_allclose(fit.beta, plain.beta, atol=1e-6)
    np.testing.assert_allclose(fit.se, plain.se, rtol=1e-5)


@pytest.mark.parametrize("terms", ["(x || g)", "(x | g)", "(1 | g) + (1 | x)"])
def test_terms_that_the_design_tells_apart_are_not_flat(terms: str) -> None:
    data = drawn(4)
    data["x"] = np.round(data["x"])
    assert mme.glmer(f"y ~ x + {terms}", data, "poisson").optimum.undetermined == ()


def test_theta_that_is_given_is_given() -> None:
    fit = mme.glmer("y ~ x + (1 | g) + (1 | g)", drawn(5), "poisson", theta=[0.5, 0.4])
    assert (fit.optimum.verdict, fit.theta.tolist()) == ("given", [0.5, 0.4])


def test_a_file_keeps_what_is_not_determined(tmp_path: Path) -> None:
    fit = mme.glmer("y ~ x + (1 | g) + (1 | g)", drawn(6), "poisson")
    fit.save(tmp_path / "fit.mme")
    assert mme.load_fit(tmp_path / "fit.mme").optimum.undetermined == fit.optimum.undetermined
