"""A saved fit read back: checked like a user's input, evaluated at its theta, compared with what was stored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mme.engine.objective import Objective
from mme.engine.plan import Stochastic
from mme.errors import MMEError
from mme.files.again import require_same
from mme.files.archive import damaged, read_archive
from mme.files.encoding import Decoder
from mme.files.kinds import require_numbers
from mme.files.load_generalised import generalised
from mme.files.own import classes_by_name
from mme.files.parts import compare, model_of, rows_of
from mme.files.save import LINEAR, SUMS, classes, linear_content
from mme.files.trial import require_readable, require_specification
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.tables.arguments import path_of


def load_fit(path: str | os.PathLike[str], structures: Sequence[type] = ()) -> Fitted | GeneralisedFitted:
    """Read a fit that ``fit.save()`` wrote. Nothing in the file is run, and no search is done."""
    target, own = path_of(path), classes_by_name(structures)
    content, arrays = read_archive(target)
    with damaged(target):
        if isinstance(content, dict) and ["kind", SUMS] in content.get("map", []):
            raise MMEError(f"{target} holds cross-products, no fit: mme.CrossProducts.load reads it")
        held = Decoder(classes(), arrays, own).decode(content)
        return _linear(held, target) if held.get("kind", LINEAR) == LINEAR else generalised(held, target, own)


def _linear(content: dict[str, Any], path: Path) -> Fitted:
    model, theta = model_of(content), np.asarray(content["theta"], dtype=float)
    held = content["optimum"]
    numbers = {name: np.asarray(getattr(held, name), dtype=float) for name in ("phi", "gradient", "hessian")}
    optimum = replace(held, theta=theta, **numbers)
    if theta.shape != (model.k,) or not np.isfinite(theta).all():
        raise MMEError(f"{path}: theta has shape {theta.shape}, the model has {model.k} parameters")
    objective = Objective.of(model, phi=np.asarray(optimum.phi, dtype=float))
    if (chance := content.get("stochastic")) is not None:
        objective = replace(objective, engine=replace(objective.engine, stochastic=Stochastic(**chance)))
    fit = Fitted(
        model=model,
        optimum=optimum,
        objective=objective,
        rows=rows_of(content, model, path),
        formula=content["formula"],
        specification=content["specification"],
    )
    compare(fit.criterion, content, path)
    require_numbers(_shapes(optimum, model), "optimum")
    require_specification(fit.specification, fit.formula, model)
    require_readable(fit)
    require_same(content, linear_content(fit))
    return fit


def _shapes(optimum: Any, model: Model) -> list[tuple[str, Any, tuple[int, ...]]]:
    """The arrays of an optimum with the shapes that they must have."""
    r = 0 if model.residual is None else model.residual.k
    searched = model.k + r
    return [
        ("phi", optimum.phi, (r,)),
        ("gradient", optimum.gradient, (searched,)),
        ("hessian", optimum.hessian, (searched, searched)),
        ("open", optimum.open, (model.k + 1,) if optimum.open.size else (0,)),
    ]
