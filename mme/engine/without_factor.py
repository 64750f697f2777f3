"""The equations of an objective, solved by iteration in the place of a factor: all else is what it was."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from mme.engine.assembly import describe, names_of
from mme.engine.iteration import IterativeElimination
from mme.engine.objective import Objective
from mme.engine.plan import Plan, is_iterable
from mme.engine.remainder import Remainder, remainder_pattern
from mme.engine.schur import Crossing
from mme.engine.schur_sum import SumPattern, schur_sum
from mme.numeric.limits import limits

# Times so many operations are awaited where they have the standard errors of all columns of a wide X, as no solve has.
_FOR_ERRORS = 4.0


def is_awaited(objective: Objective) -> bool:
    """Whether a search would wait long for its factors, where the user leaves the engine to us and it need not.

    Values that are given are evaluated once, and a residual structure, parameters that are held or have bounds, and
    sizes of a relationship take a factor.
    """
    model, plan = objective.model, objective.plan
    if model.engine != "auto" or plan.iterative or plan.absorb is None or not objective.rest:
        return False
    if objective.flops <= limits().awaited_operations * (1.0 if objective.fixed is None else _FOR_ERRORS):
        return False
    free = model.residual is None and model.held is None and model.bounds is None
    return free and all(is_iterable(block, objective.constants.reml) for block in objective.blocks)


def without_factor(objective: Objective) -> Objective:
    """The same equations by conjugate gradients, of a model that asks for them."""
    assert objective.absorbing is not None
    rest, model = objective.system.rest, objective.model.beside(engine="iterative")
    crossing = tuple(Crossing(one.cells.narrow(), one.values) for one in rest.crossing)
    cells, border = tuple(one.cells for one in crossing), rest.pattern.schur.border
    of_rest = remainder_pattern(rest.blocks, objective.absorbing, cells, border, summed=True)
    assert isinstance(of_rest.schur, SumPattern)
    entries = of_rest.entries(crossing)
    complement = schur_sum(of_rest.schur, rest.blocks, crossing, entries, objective.pattern.penalty)
    summed = Remainder(rest.blocks, of_rest, crossing, of_rest.applied(entries), rest.C, complement)
    elimination = IterativeElimination(of_rest.schur.m, of_rest.schur.rows.level.size)
    why = f"a factor takes {objective.flops:.2g} operations; engine='exact' makes it"
    reasons = f"'{names_of(model, objective.blocks)[objective.plan.absorb or 0]}' has the most random effects", why
    plan = Plan(objective.plan.absorb, False, reasons, summed=True, iterative=True)
    pattern = replace(objective.pattern, plan=plan, rest=of_rest, elimination=elimination)
    return replace(
        objective,
        model=model,
        pattern=pattern,
        system=replace(objective.system, rest=summed, elimination=elimination),
        engine=partial(describe, model, objective.blocks, pattern, objective.engine.seconds),
    )
