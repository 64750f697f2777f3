"""A generalised fit read back: checked like a user's input, compared with what was stored, and not searched again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.family.base import Family, Observed
from mme.files.again import require_same
from mme.files.kinds import require_numbers
from mme.files.parts import compare, model_of, rows_of
from mme.files.save_generalised import GENERALISED, generalised_content, shipped
from mme.files.trial import require_readable, require_specification
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.criterion import Criterion, CriterionAt
from mme.generalised.known import at_mode
from mme.generalised.problem import Problem
from mme.generalised.search import SearchEnd
from mme.generalised.wall import Wall
from mme.numeric.quasi_newton import Descent


def generalised(content: dict[str, Any], path: Path, own: Mapping[str, type]) -> GeneralisedFitted:
    """The record that was saved; ``own`` are the classes that the reader gives."""
    if content["kind"] != GENERALISED:
        raise MMEError(f"{path} holds a fit of kind {str(content['kind'])[:40]!r}, which this mme does not know")
    model, family = model_of(content), _family(content["family"], path, own)
    problem = Problem(model, family, _observed(content["observed"], model.n, path))
    held, hessian = content["optimum"], np.asarray(content["hessian"], dtype=float)
    optimum = replace(held, theta=np.asarray(held.theta, dtype=float), tau=np.asarray(held.tau, dtype=float))
    searched = _searched(problem, content["searched"], path)
    compare(searched.at.value, content, path)
    m, r = int(searched.free.sum()), len(family.parameter_names(problem.data))
    shapes = [("theta", optimum.theta, (model.k,)), ("tau", optimum.tau, (r,)), ("hessian", hessian, (m, m))]
    require_numbers(shapes, "optimum")
    fit = GeneralisedFitted(
        model=model,
        problem=problem,
        searched=searched,
        optimum=optimum,
        rows=rows_of(content, model, path),
        formula=content["formula"],
        specification=content["specification"],
    )
    vars(fit.estimates)["hessian"] = hessian
    require_specification(fit.specification, fit.formula, model)
    require_readable(fit)
    require_same(content, generalised_content(fit))
    return fit


def _family(held: dict[str, Any], path: Path, own: Mapping[str, type]) -> Family:
    name = str(held["name"])
    kind = {**shipped(), **own}.get(name)
    if kind is None or not issubclass(kind, Family):
        raise MMEError(
            f"{path} holds a fit of the family {name[:40]!r}, which is not one of this mme: if it is a class of your "
            "own, give it, mme.load_fit(path, structures=[...])"
        )
    return kind(**{str(option): value for option, value in held["options"].items()})


def _observed(fields: dict[str, Any], n: int, path: Path) -> Observed:
    y, weights = (np.asarray(fields[name], dtype=float) for name in ("y", "weights"))
    if y.shape != (n,) or weights.shape != (n,) or not np.isfinite(y + weights).all() or (weights < 0.0).any():
        raise MMEError(f"{path}: what was observed is not {n} numbers with weights")
    return Observed(y, weights, tuple(fields["levels"]))


def _wall(fields: dict[str, Any] | None, n: int, path: Path) -> Wall | None:
    if fields is None:
        return None
    records, multipliers = np.asarray(fields["records"]), np.asarray(fields["multipliers"], dtype=float)
    stiffness, size = float(fields["stiffness"]), float(fields["size"])
    whole = records.ndim == 1 and records.dtype.kind == "i" and ((records >= 0) & (records < n)).all()
    known = whole and multipliers.shape == records.shape and np.isfinite(multipliers).all()
    if not (known and 0.0 < stiffness < np.inf and 0.0 < size < np.inf):
        raise MMEError(f"{path}: its bound of eta is not one of {n} records")
    return Wall(records, multipliers, stiffness, size)


def _searched(problem: Problem, fields: dict[str, Any], path: Path) -> SearchEnd:
    x, u = np.asarray(fields["x"], dtype=float), [np.asarray(one, dtype=float) for one in fields["u"]]
    free = np.asarray(fields["free"], dtype=bool)
    names = problem.family.parameter_names(problem.data)
    size, shapes = problem.model.k + len(problem.Q) + len(names), [(block.q, block.J) for block in problem.blocks]
    if x.shape != (size,) or free.shape != (size,) or [one.shape for one in u] != shapes or not np.isfinite(x).all():
        raise MMEError(f"{path}: its parameters or modes are not those of the model")
    criterion = Criterion(
        problem,
        bool(fields["expected"]),
        int(fields["points"]),
        u,
        evaluations=int(fields["evaluations"]),
        passes=int(fields["passes"]),
    )
    criterion.wall = _wall(fields.get("wall"), criterion.different.n, path)
    point = criterion.point(x)
    criterion.gamma = point.gamma
    at = at_mode(problem, point, u, expected=criterion.expected, points=criterion.points)
    if at is None:
        raise MMEError(f"{path}: the likelihood has no maximum at the modes that it holds")
    descent: Descent[CriterionAt] = Descent(
        x,
        at,
        np.asarray(fields["gradient"], dtype=float),
        np.asarray(fields["inverse"], dtype=float),
        float(fields["promised"]),
        int(fields["steps"]),
        str(fields["reason"]),
    )
    return SearchEnd(criterion, at, descent, free, given=bool(fields.get("given", False)))
