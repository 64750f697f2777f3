"""Which tests of fixed effects a summary computes unasked."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import wide

import mme
from mme.inference.fixed.shown import fixed_tests, is_cheap
from mme.numeric.limits import within


def of_fit(gradient: list[float], **other: Any) -> SimpleNamespace:
    """As much of a fit as the effort of its tests takes."""
    own = {"iterative": False, "is_wide": False, "names": ("x",), "is_made": False} | other
    fit = SimpleNamespace(
        model=SimpleNamespace(is_wide=own["is_wide"]),
        fixed_names=own["names"],
        has=lambda make: own["is_made"],
        optimum=SimpleNamespace(gradient=np.array(gradient), evaluations=0),
        objective=SimpleNamespace(plan=SimpleNamespace(iterative=own["iterative"])),
    )
    fit.determined = fit
    return fit


def test_tests_that_are_made_or_depend_on_no_variance_cost_nothing_and_those_of_iterations_too_much():
    nan = np.nan
    for free, cheap in (([nan, nan], True), ([0.0, nan], False), ([0.0, 0.0], False)):
        assert is_cheap(of_fit(free, iterative=True)) == cheap
        assert is_cheap(of_fit(free, iterative=True, is_made=True))
        assert is_cheap(of_fit(free, iterative=True, names=()))
        assert not is_cheap(of_fit(free, is_wide=True, is_made=True))
    assert is_cheap(of_fit([nan]))


def test_of_a_sparse_X_t_alone_is_shown_unasked():
    rng = np.random.default_rng(4)
    data = {"f": np.arange(60) % 20, "g": np.arange(60) % 7, "x": rng.normal(size=60), "y": rng.normal(size=60)}
    with within(wide.SPARSE):
        fit = mme.lmer("y ~ x + factor(f) + (1 | g)", data).internals
        shown = fixed_tests(fit)
        asked = fixed_tests(fit, "none")
    assert fit.model.is_wide
    assert (shown.df, shown.p) == (None, None)
    assert len(shown.notes) == 1  # all standard errors are known
    np.testing.assert_allclose(asked.statistic, fit.estimates.beta / asked.se, rtol=1e-12)
    np.testing.assert_allclose(shown.statistic, asked.statistic, rtol=1e-12)
