"""Questions to a fit of which some variances are held (:mod:`mme.model.holding`): these stay, whatever is asked."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np

from mme.inference.intervals.deviance import Point
from mme.inference.intervals.question import Question
from mme.model.holding import Holding


def beside_held(question: Question, holding: Holding | None, thetas: np.ndarray, sigma: float | None) -> Question:
    """The question with the held entries of theta at their values; coordinate j of it is entry ``thetas[j]``, -1: none.

    Those in units of the response are over the sigma of a point (see :func:`with_sigma`), or ``sigma``, if it is known.
    """
    if holding is None:
        return question
    held, point = ~np.isnan(holding.values), question.point

    def held_point(x: np.ndarray, value: float) -> Point:
        at: Point = point(x, value)
        own = sigma if at.sigma is None else abs(at.sigma)
        return at if own == 0.0 else replace(at, theta=np.where(held, holding.at(own), at.theta))

    given = np.append(held, False)[thetas]
    return replace(question, point=held_point).without(given)


def with_sigma(question: Question, sigma: float, n: int) -> Question:
    """The question with sigma as its last coordinate, in units of its estimate: what is held in units asks for it."""
    point = question.point

    def at_sigma(x: np.ndarray, value: float) -> Point:
        at: Point = point(x[:-1], value)
        return replace(at, sigma=sigma * float(x[-1]))

    return replace(
        question,
        start=np.append(question.start, 1.0),
        radius=np.append(question.radius, 1.0 / sqrt(2.0 * n)),
        even=np.append(question.even, False),
        point=at_sigma,
    )
