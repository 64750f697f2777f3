"""Pattern, columns and cross-products of a model at one phi: on the pattern of a neighbour, where it suits."""

from __future__ import annotations

from time import perf_counter

from mme.engine.assembly import ModelPattern, Weighted, pattern_of, plain, weighted
from mme.engine.cross_products import joined
from mme.engine.plan import Plan
from mme.engine.pls import System
from mme.model.problem import Model
from mme.residual.whitening import Whitening


def assembled(
    model: Model, whiten: Whitening, known: ModelPattern | None, plan: Plan | None
) -> tuple[ModelPattern, Weighted, System, dict[str, float]]:
    """Assemble on the pattern of a neighbour, or on one of its own; with the seconds of each stage."""
    started = perf_counter()
    of = plain(model, whiten) if known is None else known.plain
    found = weighted(model, of, whiten)
    if found is None:  # the whitening has more entries here
        of = plain(model, whiten)
        found = weighted(model, of, whiten)
        assert found is not None
    weighed = perf_counter()
    if known is not None and known.plain is of and known.suits(found):
        pattern = known
        system = joined(pattern, found)
    else:
        pattern = pattern_of(model, of, found, plan, None if known is None else known.elimination.analysis)
        system = joined(pattern, found)
        pattern = pattern.kept(for_weights=known is not None or model.residual is not None)
    seconds = {"conditioning": weighed - started, "cross-products": perf_counter() - weighed}
    return pattern, found, system, seconds
