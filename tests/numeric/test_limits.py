"""The record of sizes at which the library computes another way."""

from contextvars import copy_context
from dataclasses import fields
from threading import Thread

import numpy as np
import pytest

import mme
from mme.numeric.limits import Limits, limits, set_limits, within
from mme.numeric.memory import available_bytes, machine_bytes
from mme.numeric.panels import panels


def test_the_limits_of_the_innermost_block_hold_and_end_with_it_whatever_happens():
    assert limits() == Limits()
    with within(Limits(large_group=5)):
        with within(Limits(large_group=7)):
            assert limits().large_group == 7
        with pytest.raises(ZeroDivisionError), within(Limits(large_group=7)):
            raise ZeroDivisionError
        assert limits().large_group == 5
    assert limits() == Limits()


def test_each_thread_has_its_own_limits_unless_it_is_given_those_of_another():
    found = {}
    with within(Limits(memory=1)):
        context = copy_context()
        threads = [
            Thread(target=lambda: found.update(own=limits().memory)),
            Thread(target=lambda: found.update(given=context.run(limits).memory)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {"own": None, "given": 1}


def test_limits_that_are_set_hold_in_their_own_context_alone():
    context = copy_context()
    context.run(set_limits, Limits(memory=3))
    assert context.run(available_bytes) == 3
    assert limits().memory is None


def test_both_questions_after_memory_are_answered_by_the_limit():
    with within(Limits(memory=1000)):
        assert (available_bytes(), machine_bytes()) == (1000, 1000)
    assert 1000 < available_bytes() <= machine_bytes()


def test_records_are_handled_so_many_at_a_time():
    with within(Limits(records_in_panel=4)):
        assert list(panels(9)) == [slice(0, 4), slice(4, 8), slice(8, 9)]
    assert list(panels(9)) == [slice(0, 9)]


def test_every_limit_is_described():
    entries = [line.strip().split(" : ")[0] for line in Limits.__doc__.splitlines() if " : " in line]
    described = {name for entry in entries for name in entry.split(", ")}
    assert {field.name for field in fields(Limits)} <= described


MODELS = {
    "slopes": ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
    "nested": ("strength ~ 1 + (1 | batch / cask)", "Pastes"),
}


@pytest.mark.parametrize("model", MODELS)
def test_a_small_model_that_is_searched_as_a_large_one_has_the_same_optimum(model):
    formula, name = MODELS[model]
    data = mme.load(name)
    small = mme.lmer(formula, data)
    with within(Limits(small_model_numbers=0)):
        large = mme.lmer(formula, data)
    assert large.criterion == pytest.approx(small.criterion, abs=1e-7)
    np.testing.assert_allclose(large.theta, small.theta, rtol=1e-4, atol=1e-4)


def test_degrees_of_freedom_of_rows_are_the_same_in_pieces():
    data = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", data)
    with within(Limits(freedom_rows=7)):
        pieces = fit.predict(data, interval="confidence")
    np.testing.assert_allclose(pieces, fit.predict(data, interval="confidence"), rtol=1e-9)


@pytest.mark.parametrize(
    ("bounds", "dense"),
    [
        (Limits(), True),
        (Limits(dense_whatever_fill=0), True),
        (Limits(dense_whatever_fill=0, nearly_dense=1e9, fill_of_absorption=1e9), False),
        (Limits(dense_whatever_fill=0, dense_up_to=0), False),
        (Limits(levels_in_panel=3), True),
        (Limits(dense_factor_entries=0), True),
        (Limits(information_entries=0, slope_numbers=0), True),
        (Limits(listed_products=0), True),
        (Limits(summed_products=0, columns_for_one=10), True),
        (Limits(listed_products=0, interpreted_steps=0, panel_numbers=8), True),
    ],
)
def test_every_way_of_an_evaluation_gives_the_same_criterion_and_means(bounds, dense):
    data, theta = mme.load("Penicillin"), [1.5, 3.5]
    formula = "diameter ~ 1 + (1 | plate) + (1 | sample)"
    usual = mme.lmer(formula, data, theta=theta)
    with within(bounds):
        fit = mme.lmer(formula, data, theta=theta)
        table = fit.coefficients()
    assert fit.internals.objective.plan.dense is dense
    assert fit.engine.remainder.startswith("dense") is dense
    assert fit.criterion == pytest.approx(usual.criterion, rel=1e-12)
    np.testing.assert_allclose(table, usual.coefficients(), rtol=1e-4)
