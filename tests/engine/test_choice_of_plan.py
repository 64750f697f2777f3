"""The plan for a model, by sizes alone: each way that it may take, at the sizes where it begins."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

import mme
from mme.engine.blocks import Block
from mme.engine.meetings import product_count
from mme.engine.objective import Objective
from mme.engine.plan import Plan, filled_by_relationships, instead_of_absorbing, is_iterable, plan, widest
from mme.errors import MMEError
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within

N = 120
RNG = np.random.default_rng(8)


def block(J, q=1, *, related=False, spherical=False, parametric=False, entries=None, fixed=False):
    """A factor of J levels with q columns."""
    codes = np.append(np.arange(J), RNG.integers(0, J, N - J))
    relationship = SimpleNamespace(precision=SimpleNamespace(nnz=J * J)) if related else None
    structure = SimpleNamespace(relationship=relationship if parametric else None, is_spherical=spherical)
    found = Block(
        codes, J, q, np.ones(q), (structure,), (), (), (), tuple(RNG.normal(size=(q, N))), relationship, entries
    )
    if fixed:
        return SimpleNamespace(**{**vars(found), "is_fixed": True, "is_block_diagonal": False})
    return found


def planned(*blocks, engine="exact", reml=True, **limits):
    names = tuple("abcd"[: len(blocks)])
    first = widest(blocks)
    rest = [] if first is None else [one for b, one in enumerate(blocks) if b != first]
    crossings = [] if first is None else [blocks[first].cells(one) for one in rest]
    with within(Limits(**limits)):
        return plan(blocks, names, crossings, engine, reml=reml)


def products(first, *rest):
    return product_count([first.cells(one) for one in rest], [one.q for one in rest], first.J, first.n_weights)


A, B, C = block(40), block(12, 2), block(30)
FEW = block(6, 5)
RELATED, SMOOTH = block(20, related=True), block(1, 60, spherical=True)
MANY = products(A, B)


@pytest.mark.parametrize(
    ("blocks", "absorb", "dense", "why"),
    [
        ((), None, True, "there are no random effects"),
        ((RELATED,), None, True, "all levels are related"),
        ((block(9, entries=SimpleNamespace()),), None, True, "no grouping factor is block-diagonal by level"),
        ((block(9, entries=SimpleNamespace()), RELATED), None, True, "no grouping factor is block-diagonal by level"),
        ((A,), 0, True, "'a' is the only grouping factor"),
        ((RELATED, A), 1, True, "the other 20 are few"),
        ((B, A), 1, True, "the other 24 are few"),
        ((block(12, 4), A), 0, True, "the other 40 are few"),  # 48 effects are more than 40
        ((A, C, B), 0, True, "the other 54 are few"),
    ],
)
def test_small_models_are_dense_beside_the_block_of_most_effects(blocks, absorb, dense, why):
    found = planned(*blocks)
    assert (found.absorb, found.dense, found.summed, found.iterative) == (absorb, dense, False, False)
    assert found.reasons[-1] == why
    if absorb is not None and len(blocks) > 1:
        assert found.reasons[0] == f"'{'abc'[absorb]}' has the most random effects"


def test_effects_that_are_not_absorbed_are_dense_up_to_a_size():
    assert planned(RELATED, dense_whatever_fill=20).dense
    assert not planned(RELATED, dense_whatever_fill=19).dense


def test_products_beyond_a_list_are_summed_but_not_those_of_one_level():
    for listed in (MANY, MANY - 1):
        found = planned(A, B, listed_products=listed)
        assert (found.dense, found.summed) == (True, listed < MANY)
    assert not planned(SMOOTH, B, listed_products=0).summed
    assert not planned(block(50), block(1, 20, spherical=True), listed_products=0).summed


def test_a_medium_number_of_products_is_summed_where_nothing_has_to_be_compiled_for_that():
    written_out, compiled = ({"columns_for_one": columns, "machine_code": False} for columns in (24, 0))
    for first, rest in ((FEW, (B,)), (FEW, (RELATED, B))):
        many = products(first, *rest)
        assert not planned(first, *rest, summed_products=many, **written_out).summed
        assert planned(first, *rest, summed_products=many - 1, **written_out).summed
        assert not planned(first, *rest, summed_products=many - 1, **compiled).summed
        assert planned(first, *rest, summed_products=many - 1, listed_products=many - 1, **compiled).summed
        assert not planned(first, *rest, summed_products=0, pair_numbers=0, machine_code=False).summed
    assert not planned(SMOOTH, B, summed_products=0, **written_out).summed
    columns = 6 * 24 / (2 * FEW.cells(B).count)  # for each entry of two coefficients a cell
    for few in (0.99, 1.01):
        found = planned(FEW, B, summed_products=0, columns_for_one=few * columns, machine_code=False)
        assert found.summed is (few > 1.0)


def test_beside_one_level_of_one_variance_what_is_left_is_dense_up_to_a_size():
    found = planned(SMOOTH, B, dense_whatever_fill=0, dense_up_to=24)
    assert found == Plan(0, True, (*found.reasons[:1], "the other 24 all meet in one level: a dense product"))
    assert not planned(SMOOTH, B, dense_whatever_fill=0, dense_up_to=23, fill_of_absorption=1e9).dense
    assert not planned(A, B, dense_whatever_fill=0, dense_up_to=24, nearly_dense=1e9).dense


def test_what_is_left_is_dense_where_its_products_are_as_many_as_its_pairs():
    share = MANY / 24**2
    for nearly, dense in ((0.99 * share, True), (1.01 * share, False)):
        found = planned(A, B, dense_whatever_fill=0, nearly_dense=nearly)
        assert (found.absorb, found.dense, found.summed) == (0, dense, False)
        assert (f"the other 24 meet in {MANY:,} products" in found.reasons[-1]) == (found.absorb == 0)
    assert planned(A, B, dense_whatever_fill=0, nearly_dense=0.3, listed_products=0).summed
    beyond = {"dense_whatever_fill": 0, "dense_up_to": 0, "nearly_dense": 0.3}
    assert planned(A, B, **beyond, listed_products=0).dense  # all pairs meet
    for few in (0, 100_000):  # products that could be listed are not looked at beyond the usual size
        assert not planned(A, B, **beyond, summed_products=few).dense
    assert not planned(A, B, **beyond, listed_products=0, dense_operations=24**3 / 3 - 1.0).dense
    assert not planned(A, B, **beyond | {"nearly_dense": MANY / 24**2}, listed_products=0).dense


def test_where_absorption_fills_in_or_its_list_does_not_fit_all_effects_are_factorised_together():
    sparse = {"dense_whatever_fill": 0, "dense_up_to": 0}
    met = A.cells(B).count
    fill = MANY / (24 + met)
    for limits, absorb in (
        ({"fill_of_absorption": 1.01 * fill}, 0),
        ({"fill_of_absorption": 0.99 * fill}, None),
        ({"fill_of_absorption": 1e9, "memory": 4 * 34 * MANY}, 0),
        ({"fill_of_absorption": 1e9, "memory": 4 * 34 * MANY - 4}, None),
    ):
        found = planned(A, B, **sparse, **limits)
        assert (found.absorb, found.dense) == (absorb, False)
        end = "sparse" if absorb == 0 else f"would fill in ({MANY:,} products)"
        assert found.reasons[-1].endswith(end)
    assert instead_of_absorbing().absorb is None
    assert not instead_of_absorbing().dense


def test_iteration_takes_what_it_was_asked_for_and_refuses_what_it_cannot():
    found = planned(A, B, engine="iterative")
    assert (found.absorb, found.dense, found.summed, found.iterative) == (0, False, True, True)
    assert found.reasons == ("'a' has the most random effects", "it was asked for")
    assert planned(A, engine="iterative") == planned(A)  # it has nothing left to solve for
    for unable, said in ((SMOOTH, "(a)"), (block(9, related=True, parametric=True), "(a)")):
        with pytest.raises(MMEError, match="engine='iterative' takes factors") as error:
            planned(unable, A, engine="iterative")
        assert said in str(error.value)
    with pytest.raises(MMEError, match="every factor has a relationship"):
        planned(RELATED, engine="iterative")
    assert planned(RELATED, A, engine="iterative").iterative


@pytest.mark.parametrize(
    ("one", "reml", "able"),
    [
        (A, True, True),
        (RELATED, True, True),
        (SMOOTH, True, False),
        (block(9, related=True, parametric=True), True, False),
        (block(9, entries=SimpleNamespace()), True, False),
        (block(9, fixed=True), True, True),
        (block(9, fixed=True), False, False),
        (A, False, True),
    ],
)
def test_iteration_takes_levels_of_one_a_record_and_columns_of_x_by_reml(one, reml, able):
    if isinstance(one, SimpleNamespace):
        one.is_spherical = one.by_column = one.is_parametric = False
    assert is_iterable(one, reml) == able


def test_either_engine_is_chosen_by_the_forecast():
    chosen = planned(A, B)
    assert planned(A, B, engine="auto") == chosen
    assert planned(A, engine="auto", dense_operations=0.0) == planned(A)
    assert planned(SMOOTH, B, engine="auto", dense_operations=0.0) == planned(SMOOTH, B)
    assert planned(RELATED, engine="auto", dense_operations=0.0) == planned(RELATED)
    for memory, iterative in ((8 * 24**2, False), (8 * 24**2 - 1, True)):
        found = planned(A, B, engine="auto", memory=memory)
        assert found.iterative == iterative
        if iterative:
            assert found.reasons[-1].startswith("a dense factor of the other 24 takes 0.0 GiB")
    for operations, iterative in ((24**3 / 3, False), (24**3 / 3 - 1, True)):
        assert planned(A, B, engine="auto", dense_operations=operations).iterative == iterative
        assert not planned(A, B, engine="exact", dense_operations=operations).iterative
    sparse = {"dense_whatever_fill": 0, "nearly_dense": 1e9, "fill_of_absorption": 1e9}
    assert not planned(A, B, engine="auto", **sparse, dense_operations=0.0).iterative
    mixed = planned(A, B, engine="auto", **sparse, dense_up_to=0, dense_operations=0.5 * 24**3 / 3)
    assert mixed.iterative
    assert mixed.reasons[-1].startswith("the other 24 are so mixed that any order of elimination is forecast")
    assert not planned(A, B, engine="auto", **sparse, dense_up_to=0, dense_operations=1.5 * 24**3 / 3).iterative


def test_relationships_without_zeros_fill_what_is_left_unless_their_parameters_do():
    sparse = Plan(0, False, ("first",))
    full, own = block(20, related=True), block(20, related=True, parametric=True)
    found = filled_by_relationships(sparse, (full, block(5)))
    assert found == Plan(0, True, ("first", "the inverse of its relationship has no zeros"))
    assert filled_by_relationships(sparse, (own, block(5))) is sparse
    assert filled_by_relationships(sparse, (block(20), block(5))) is sparse
    assert filled_by_relationships(sparse, (full, block(60))) is sparse
    for other in (Plan(0, True), Plan(0, False, iterative=True)):
        assert filled_by_relationships(other, (full,)) is other


@pytest.mark.parametrize(("levels", "each", "together"), [(12, 5, True), (10, 4, False), (20, 3, False)])
def test_beside_related_levels_all_effects_go_together_where_that_takes_six_tenths_of_the_operations(
    levels, each, together
):
    """A chain of 60 levels, of which each level of another factor has some: absorbing these ties them all together."""
    n = levels * each
    chain = sp.diags_array([np.full(59, -0.8), np.full(60, 1.64), np.full(59, -0.8)], offsets=[-1, 0, 1])
    known = mme.Relationship(precision=sp.csc_array(chain), levels=np.arange(60))
    of_chain = np.random.default_rng(0).permutation(n) % 60
    terms = [mme.Term(np.arange(n) // each, name="a"), mme.Term(of_chain, name="t", relationship=known)]
    model = build_model(RNG.normal(size=n), np.ones((n, 1)), terms)
    sparse = {"dense_whatever_fill": 0, "nearly_dense": 1e9, "fill_of_absorption": 1e9}
    with within(Limits(**sparse, dear_order=0.0)):
        beside, whole = (Objective.of(model, plan=Plan(absorb, False)).flops for absorb in (0, None))
        found = Objective.of(model)
    assert (whole < 0.6 * beside) == together
    assert found.plan.absorb == (None if together else 0)
    assert found.flops == (whole if together else beside)
    with within(Limits(**sparse, dear_order=beside)):
        assert Objective.of(model).plan.absorb == 0  # it is not dear
