r"""A generalised fit as a file: that of :mod:`mme.files.save`, of the kind ``"generalised"``.

==================  ====================================================================================================
field               content
==================  ====================================================================================================
``family``          map: ``name`` of the class, one of this package or one that the reader gives, and ``options``, the
                    arguments that make it again
``observed``        map: ``y`` (n,), ``weights`` (n,) and ``levels``: labels of a response that had some
``searched``        map: ``x``, theta in the axes of the terms, coefficients of an orthogonal basis of X and coordinates
                    of the family's parameters; ``u``, modes of the spherical effects (q, J) block by block;
                    ``expected``, whether the determinant has the expected information; ``points`` of the quadrature;
                    ``evaluations, passes, steps, reason, promised``; ``gradient, inverse, free, given``; ``wall``, of
                    records at the end of eta, where the search had one
``hessian``         array: second derivatives of the criterion, from which standard errors come
==================  ====================================================================================================

``model`` has the response as ``observed`` has it, and no weights. Reading computes nothing anew but the density and the
factor at the stored mode, compares the criterion there, and does no search: estimates and standard errors are those
of the fit to the last bit.
"""

from __future__ import annotations

import os
from typing import Any

from mme.errors import MMEError
from mme.family.base import Family
from mme.files.save import shared_content, write
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.search import SearchEnd

GENERALISED = "generalised"
# Fields of a wall.
WALL = ("records", "multipliers", "stiffness", "size")


def save_generalised(fit: GeneralisedFitted, path: str | os.PathLike[str]) -> None:
    """Write the fit to a file that :func:`mme.load_fit` reads."""
    write(generalised_content(fit), path)


def generalised_content(fit: GeneralisedFitted) -> dict[str, Any]:
    """What the file of a generalised fit holds."""
    data = fit.problem.data
    own = {
        "kind": GENERALISED,
        "family": _family(fit.family),
        "observed": {"y": data.y, "weights": data.weights, "levels": data.levels},
        "searched": _searched(fit.searched),
        "hessian": fit.estimates.hessian,
    }
    return shared_content(fit) | own


def _family(family: Family) -> dict[str, Any]:
    """The name of its class and its options, from which it can be made again."""
    kind, options = type(family), family.options()
    try:
        kind(**options)
    except Exception as error:
        raise MMEError(
            f"a fit of the family {kind.__name__} cannot be saved: it is not made again by its options {options!r} "
            f"({type(error).__name__}: {error}); give it a method options() that returns the arguments of its class"
        ) from None
    return {"name": kind.__name__, "options": options}


def shipped() -> dict[str, type[Family]]:
    """The families of this package by the names of their classes."""
    import mme.family.words  # noqa: F401  # all of them

    found, left = dict[str, type[Family]](), Family.__subclasses__()
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if kind.__module__.startswith("mme."):
            found[kind.__name__] = kind
    return found


def _searched(found: SearchEnd) -> dict[str, Any]:
    criterion, descent, wall = found.criterion, found.descent, found.criterion.wall
    return {
        "x": found.at.at.x,
        "u": found.at.mode.u,
        "expected": criterion.expected,
        "points": criterion.points,
        "evaluations": criterion.evaluations,
        "passes": criterion.passes,
        "steps": descent.steps,
        "reason": descent.reason,
        "promised": descent.promised,
        "gradient": descent.gradient,
        "inverse": descent.inverse,
        "free": found.free,
        "given": found.given,
        "wall": None if wall is None else {name: getattr(wall, name) for name in WALL},
    }
