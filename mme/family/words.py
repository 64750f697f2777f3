"""A family by its word, or the object that is given."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from mme.errors import MMEError
from mme.family.base import Family
from mme.family.beta import Beta
from mme.family.binomial import Binomial
from mme.family.gamma import Gamma
from mme.family.gaussian import Gaussian
from mme.family.inverse_gaussian import InverseGaussian
from mme.family.negative_binomial import NegativeBinomial
from mme.family.ordinal import Ordinal
from mme.family.poisson import Poisson
from mme.family.tweedie import Tweedie

WORDS: dict[str, Callable[[], Family]] = {
    "binomial": Binomial,
    "poisson": Poisson,
    "gaussian": Gaussian,
    "gamma": Gamma,
    "inverse.gaussian": InverseGaussian,
    "nbinom2": NegativeBinomial,
    "nbinom1": lambda: NegativeBinomial(kind=1),
    "beta": Beta,
    "ordinal": Ordinal,
    "tweedie": Tweedie,
}


# What others call them, signs and case left out.
_ELSEWHERE = {
    "bernoulli": "binomial",
    "logistic": "binomial",
    "normal": "gaussian",
    "inversegaussian": "inverse.gaussian",
    "ig": "inverse.gaussian",
    "negativebinomial": "nbinom2",
    "negbin": "nbinom2",
    "nbinom": "nbinom2",
    "nb": "nbinom2",
    "nb2": "nbinom2",
    "nb1": "nbinom1",
    "betafamily": "beta",
    "cumulative": "ordinal",
    "clm": "ordinal",
    "clmm": "ordinal",
}


def family_of(given: Any) -> Family:
    """The family of a word, in any case, or the family itself; a class stands for its default link.

    Raises
    ------
    MMEError
        It is neither; the message lists the words, and names the one that is like it.

    Examples
    --------
    >>> family_of("Poisson"), family_of(Binomial(link="logit")), family_of("negative_binomial")
    (Poisson(link='log'), Binomial(link='logit'), NegativeBinomial(kind=2))
    """
    if isinstance(given, Family):
        return given
    if isinstance(given, type) and issubclass(given, Family):
        return given()
    word = given.lower() if isinstance(given, str) else ""
    plain = "".join(sign for sign in word if sign.isalnum())
    word = _ELSEWHERE.get(plain, word)
    if word not in WORDS:
        shown = repr(given) if isinstance(given, str) else f"an object of type {type(given).__name__}"
        near = get_close_matches(word, WORDS, 1)
        hint = f": did you mean '{near[0]}'?" if near else ""
        raise MMEError(f"family must be one of {', '.join(map(repr, WORDS))}, or an object of them; got {shown}{hint}")
    return WORDS[word]()
