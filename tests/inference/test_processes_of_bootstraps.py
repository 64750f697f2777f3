"""In how many processes a bootstrap is made, how they begin, and in which pieces."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.intervals.bootstrap import LinearBehind, bootstrap
from mme.inference.intervals.generalised_bootstrap import bootstrap_generalised
from mme.inference.intervals.refits import replicates
from mme.numeric.limits import limits, within

RNG = np.random.default_rng(1)
DATA = pd.DataFrame({"g": np.repeat(np.arange(6), 5), "x": RNG.normal(size=30)})
DATA["y"], DATA["count"] = RNG.normal(size=6)[DATA["g"]] + RNG.normal(size=30), RNG.poisson(3.0, size=30)
NO_WAY = "no such way"  # to begin a process: where one is needed, it is refused


@pytest.fixture(scope="module", params=["linear", "generalised"])
def drawn(request):
    """A bootstrap of so many replicates by so many processes that begin in no way."""
    if request.param == "linear":
        fit, made = mme.lmer("y ~ x + (1 | g)", DATA), bootstrap
    else:
        fit, made = mme.glmer("count ~ x + (1 | g)", DATA, "poisson"), bootstrap_generalised

    def call(n: int, workers: int, progress=False):
        return made(fit.internals, n, 1, workers, progress, start_method=NO_WAY)

    return call


def test_one_process_begins_no_other_and_tells_of_every_replicate(drawn):
    told = []
    assert drawn(3, 1, lambda done, n: told.append((done, n))).values.shape[0] == 3
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_several_processes_begin_as_they_are_told(drawn):
    with pytest.raises(ValueError, match=NO_WAY):
        drawn(4, 2)


def test_responses_that_are_searched_together_begin_no_process(drawn):
    with within(replace(limits(), responses_together=4)):
        assert np.isfinite(drawn(5, 2).values).all()


@pytest.mark.parametrize(("n", "pieces"), [(3, 3), (16, 16), (34, 17), (320, 16)])
def test_work_is_cut_into_about_sixteen_pieces_a_process_in_order(n, pieces):
    found = list(replicates(lambda numbers: (np.array(numbers), []), n, 1, NO_WAY))
    assert len(found) == pieces
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in found]), np.arange(n))
    together = list(replicates(lambda numbers: (np.array(numbers), []), n, 1, NO_WAY, least=100))
    assert len(together) == -(-n // 100)


def test_without_a_residual_structure_replicates_have_no_coordinates_of_one():
    fit = SimpleNamespace(model=SimpleNamespace(residual=None))
    assert LinearBehind._phi(SimpleNamespace(fit=fit), np.zeros((4, 3))).shape == (4, 0)
