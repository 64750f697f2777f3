"""The options of ``mme fit`` -> a fit, linear or generalised, and what is written of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import mme
from mme.cli.read import read_table
from mme.errors import MMEError

# Options of generalised models alone, and of linear ones.
_GENERALISED, _LINEAR = ("link", "exposure", "agq"), ("sigma", "progress")


class Written(NamedTuple):
    """Its summary, the table of its random effects and its estimates, as text."""

    summary: str
    ranef: Callable[[], str]
    json: Callable[[], str]


def fitted(arguments: argparse.Namespace) -> Written:
    """Fit what the command line asks for.

    Raises
    ------
    MMEError
        An option is of the other kind of model.
    """
    others = _GENERALISED if arguments.family is None else _LINEAR
    for name in others:
        if getattr(arguments, name) not in (None, False):
            kind = "a generalised model: name its --family" if arguments.family is None else "a linear model"
            raise MMEError(f"--{name} is of {kind}")
    return _linear(arguments) if arguments.family is None else _generalised(arguments)


def _linear(arguments: argparse.Namespace) -> Written:
    from mme.files.export import as_json, ranef_table

    fit = mme.lmer(
        arguments.formula,
        read_table(arguments.file, arguments.formula, arguments.encoding),
        method="ML" if arguments.ml else "REML",
        weights=arguments.weights,
        offset=arguments.offset,
        sigma=arguments.sigma,
        progress=arguments.progress,
    )
    record = fit.internals
    return Written(fit.summary(), lambda: ranef_table(record).to_csv(index=False), lambda: as_json(record))


def _generalised(arguments: argparse.Namespace) -> Written:
    from mme.family.words import family_of
    from mme.files.export import modes_table
    from mme.files.generalised_tables import as_json

    family = family_of(arguments.family)
    if arguments.link is not None:
        family = type(family)(**family.options() | {"link": arguments.link})
    fit = mme.glmer(
        arguments.formula,
        read_table(arguments.file, arguments.formula, arguments.encoding),
        family,
        n_agq=1 if arguments.agq is None else arguments.agq,
        weights=arguments.weights,
        offset=arguments.offset,
        exposure=arguments.exposure,
    )
    record = fit.internals
    return Written(fit.summary(), lambda: modes_table(record).to_csv(index=False), lambda: as_json(record))
