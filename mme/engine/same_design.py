"""Small models of one design, fitted to one response after another: what does not depend on y is made once.

A loop over genes, permutations or simulated responses by :func:`mme.fit` gives the same X and terms again and again.
The criterion of the last few designs is kept; a model of one of them is a step to another response
(:meth:`mme.engine.objective.Objective.of_model`). Its numbers are those of a model that is met for the first time, to
the last bit: nothing that is kept depends on the response by which it was made.
"""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock

from mme.engine.objective import Objective
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.limits import Limits, limits

_OF_DESIGN = ("is_wide", "k", "has_processes", "diagonal", "coordinates", "axes")
# The criterion of each of the last designs, with the limits that it was made within; the oldest stands first.
_KNOWN: dict[Hashable, tuple[Limits, Objective]] = {}
_TURN = Lock()  # fits in threads take turns at it


def objective_of(model: Model) -> Objective:
    """The criterion of a model without parameters of residuals, on what is known of its design."""
    design = _design(model)
    if design is None:
        return Objective.of(model)
    with _TURN:
        within, known = _KNOWN.pop(design, (None, None))
    if known is None or within is not limits():
        known = made = Objective.of(model).remembering()
        if made.system.absorbed.within is None:  # y is exchanged with all digits where (I - QQ')N is kept
            return made
    else:
        made = known.of_model(_like(model, known.model))
    with _TURN:
        _KNOWN[design] = limits(), known
        if len(_KNOWN) > limits().designs_known:
            _KNOWN.pop(next(iter(_KNOWN)))
    return made


def _like(model: Model, known: Model) -> Model:
    """The model with the properties of another of its design in which the response takes no part."""
    twin, of_known = Model.__new__(Model), vars(known)
    vars(twin).update({name: of_known[name] for name in _OF_DESIGN if name in of_known}, **vars(model))
    return twin


def _design(model: Model) -> Hashable:
    """All of a model but its response, as a key; None for a large model, or one of another kind than terms and weights.

    Structures are compared as objects: those of the package's words are one object for each number of columns.
    """
    if any(part is not None for part in (model.held, model.bounds, model.compressed)):
        return None
    if model.is_wide or any(term.relationship is not None or term.by_column for term in model.terms):
        return None
    if model.n * (len(model.x_names) + sum(term.q for term in model.terms)) > limits().numbers_of_known:
        return None
    weights = None if model.weights is None else model.weights.tobytes()
    how = model.method, model.sigma, model.engine
    return how, weights, model.X.shape, model.X.tobytes(), model.structures, tuple(map(_of_term, model.terms))


def _of_term(term: Term) -> Hashable:
    covariates = None if term.covariates is None else term.covariates.tobytes()
    return term.name, term.n_levels, term.codes.tobytes(), covariates
