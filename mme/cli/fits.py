"""The options of ``mme fit`` -> a fit, linear or generalised."""

from __future__ import annotations

import argparse
from typing import Any

import mme
from mme.api.face import Fit
from mme.api.generalised import GeneralisedFit
from mme.cli.quoted import words_of
from mme.cli.read import read_table
from mme.cli.source import source_of
from mme.cli.structures import relationships_of, residual_of
from mme.errors import MMEError

# Options of generalised models alone, and of linear ones.
_GENERALISED, _LINEAR = ("link", "exposure", "agq"), ("ml", "sigma", "residual", "ddf")


def fitted(arguments: argparse.Namespace) -> Fit | GeneralisedFit:
    """Fit what the command line asks for.

    Raises
    ------
    MMEError
        An option is of the other kind of model, or the input cannot be used.
    """
    others = _GENERALISED if arguments.family is None else _LINEAR
    for name in others:
        if getattr(arguments, name) not in (None, False):
            kind = "a generalised model: name its --family" if arguments.family is None else "a linear model"
            raise MMEError(f"--{name} is of {kind}")
    missing = words_of(arguments.missing)
    shared = {
        "weights": arguments.weights,
        "offset": arguments.offset,
        "relationship": relationships_of(arguments.relationship, arguments.formula, arguments.encoding, missing),
    }
    residual = residual_of(arguments.residual)
    table = read_table(source_of(arguments.file), arguments.formula, arguments.encoding, missing)
    if arguments.family is not None:
        return _generalised(arguments, table, shared)
    return mme.lmer(
        arguments.formula,
        table,
        method="ML" if arguments.ml else "REML",
        residual=residual,
        sigma=arguments.sigma,
        progress=arguments.progress,
        **shared,
    )


def _generalised(arguments: argparse.Namespace, table: Any, shared: dict[str, Any]) -> GeneralisedFit:
    from mme.family.words import family_of

    family = family_of(arguments.family)
    if arguments.link is not None:
        family = type(family)(**family.options() | {"link": arguments.link})
    n_agq = 1 if arguments.agq is None else arguments.agq
    how = {"n_agq": n_agq, "exposure": arguments.exposure, "progress": arguments.progress}
    return mme.glmer(arguments.formula, table, family, **how, **shared)
