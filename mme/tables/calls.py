"""Calls that do not fit a signature -> a TypeError that says what is missing, what it means, and what to write."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar

# The object and a parameter -> names that would do.
Known = Callable[[Any, str], Sequence[str]]
F = TypeVar("F", bound=Callable[..., Any])
K = TypeVar("K", bound=type)

# Arguments of other packages: what is written here in their place.
_ELSEWHERE = {
    "groups": "random effects stand in the formula: 'y ~ x + (1 | g)'; of arrays in mme.Term(groups)",
    "re_formula": "random effects stand in the formula: 'y ~ x + (x | g)'",
    "vc_formula": "variance components stand in the formula: 'y ~ x + (1 | a) + (1 | b)'",
    "exog_re": "random effects are terms: mme.Term(groups, covariates)",
    "random": "random effects stand in the formula: 'y ~ x + (x | g)'",
    "correlation": "correlated residuals are residual=mme.AR1('time', 'g') and its like",
    "reml": "write REML=True or REML=False",
    "missing": "write na_action='drop' or 'raise'",
    "family": "mme.glmer has families",
    "exog": "write newdata, the table of new rows",
    "alpha": "write level=0.95 for alpha=0.05",
    "diff": "write pairs=True",
    "pdiff": "write pairs=True",
    "cl": "confint() has the limits",
    "slice": "joint_tests(by='f') has the simple effects",
    "repeated": "correlated residuals are residual=mme.Unstructured('time', 'g') and its like",
    "subject": "subjects are the grouping factor: 'y ~ x + (1 | subject)'",
    "nobound": "variances are not below zero; mme.CompoundSymmetry('g') has a correlation that may be",
    "ginverse": "write relationship={'animal': mme.Pedigree(animal, sire, dam)}",
    "pedigree": "write relationship={'animal': mme.Pedigree(animal, sire, dam)}",
    "re_form": "write random=False or True",
    "allow_new_levels": "write new_levels='population'",
    "se_fit": "write interval='confidence', which has se",
    "control": "write search=, or nothing: the search needs no control",
}
# What to write where a call of a class does not fit.
_OF_CLASSES = {
    "Pedigree": ("of a table t with three columns write mme.Pedigree(t['animal'], t['sire'], t['dam'])",),
    "Relationship": ("write mme.Relationship(covariance=K, levels=names), or precision= with its inverse",),
    "Unstructured": ("time first, then the subject: mme.Unstructured('visit', 'subject')",),
    "Spatial": ("for example mme.Spatial(['x', 'y'])",),
    "Tweedie": ("the power is estimated",),
}
# Names of the user's model that a message lists, and characters of an example.
_LISTED, _WIDTH = 8, 100
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def explained(function: F, known: Known | None = None, name: str = "") -> F:
    """The function, which explains a call that does not fit its signature.

    ``known`` makes it a method: what its object offers for a parameter; ``name`` is what it is called there.

    Examples
    --------
    >>> @explained
    ... def half(x, *, digits=1):
    ...     return round(x / 2, digits)
    >>> half(digts=2)
    Traceback (most recent call last):
    TypeError: half() needs x; half() takes no 'digts': did you mean 'digits'?
    """

    @wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except TypeError:
            problem = _misfit(function, name or function.__name__, args, options, known)
            if not problem:
                raise
        raise TypeError(problem)

    return called  # type: ignore[return-value]


def explains(known: Known) -> Callable[[K], K]:
    """A class whose public methods, inherited ones too, explain calls that do not fit."""

    def decorated(kind: K) -> K:
        for name in dir(kind):
            method = inspect.getattr_static(kind, name)
            if not name.startswith("_") and isinstance(method, FunctionType):
                setattr(kind, name, explained(method, known, name))
        return kind

    return decorated


def answering(public: Any) -> Any:
    """A function or class of the package, whose calls are explained where they do not fit."""
    if isinstance(public, type):
        return constructed(public)
    return public if hasattr(public, "__wrapped__") else explained(public)


def constructed(kind: K) -> K:
    """A class whose calls, where they do not fit, are explained as those of functions are."""
    init = inspect.getattr_static(kind, "__init__")
    if isinstance(init, FunctionType) and not hasattr(init, "__wrapped__"):
        init.__doc__ = kind.__doc__ if "Parameters\n" in (kind.__doc__ or "") else init.__doc__
        kind.__init__ = explained(init, _nothing_known, kind.__name__)  # type: ignore[misc]
    return kind


def _nothing_known(_: Any, __: str) -> Sequence[str]:
    return ()


def _misfit(
    function: Callable[..., Any],
    name: str,
    args: tuple[Any, ...],
    options: dict[str, Any],
    known: Known | None,
) -> str:
    """Why the arguments do not fit the signature; empty where they do."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **options)
    except TypeError:
        pass
    else:
        return ""
    every = list(signature.parameters.values())
    own = every if known is None else every[1:]
    placed = len(args) - len(every) + len(own)
    by_place = [parameter.name for parameter in own if parameter.kind in _BY_PLACE]
    given = {*by_place[:placed], *options}
    missing = [p for p in own if p.default is p.empty and p.kind in _BY_NAME and p.name not in given]
    offered = {p.name: known(args[0], p.name) if known and args else () for p in missing}
    said = [f"{name}() needs {one}" for one in _needs(function, offered)]
    said += _strange(name, own, options)
    if placed > len(by_place) and not any(p.kind is p.VAR_POSITIONAL for p in own):
        said.append(_too_many(name, own, by_place, placed))
    said += [f"{name}() got '{one}' twice" for one in by_place[:placed] if one in options]
    return "; ".join([*said, *_OF_CLASSES.get(name, ())]) + (_example(function, name) if missing else "")


def _needs(function: Callable[..., Any], missing: dict[str, Sequence[str]]) -> list[str]:
    """What each parameter is for, those of one meaning together; and what the object offers for it."""
    found = dict[str, list[str]]()
    for parameter, known in missing.items():
        meaning = _meaning(function.__doc__ or "", parameter)
        listed = [*map(repr, known[:_LISTED]), *(["..."] if len(known) > _LISTED else [])]
        told = (f": {meaning}" if meaning else "") + (f" (here {', '.join(listed)})" if listed else "")
        found.setdefault(told, []).append(parameter)
    return [" and ".join(names) + told for told, names in found.items()]


def _strange(name: str, own: Sequence[inspect.Parameter], options: dict[str, Any]) -> list[str]:
    """Options that do not exist, each with the option that sounds like it."""
    names = [parameter.name for parameter in own if parameter.kind in _BY_NAME]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
        return []
    said = []
    for option in options:
        if option not in names:
            near = get_close_matches(option, names, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"its arguments are {', '.join(names) or 'none'}"
            said.append(f"{name}() takes no '{option}': {_ELSEWHERE.get(option, hint)}")
    return said


def _too_many(name: str, own: Sequence[inspect.Parameter], by_place: Sequence[str], placed: int) -> str:
    rest = [parameter.name for parameter in own if parameter.kind is parameter.KEYWORD_ONLY]
    takes = f"by position {name}() takes {', '.join(by_place) or 'nothing'}"
    return f"{takes}; got {placed} arguments" + (f": write the others by name: {'=, '.join(rest)}=" if rest else "")


def _meaning(doc: str, parameter: str) -> str:
    """The first sentence of what a numpydoc docstring says of a parameter."""
    entry = rf"^( *)(?:[\w*]+, )*{parameter}(?:, [\w*]+)*(?: :[^\n]*)?\n((?:\1 +[^\n]*\n?)+)"
    _, section, rest = doc.partition("Parameters\n")
    found = re.search(entry, rest, re.MULTILINE) if section else None
    text = " ".join(found[2].split()) if found else ""
    sentence = re.split(r"[.;] |[.:]$", text)[0]
    sentence = sentence[:1].lower() + sentence[1:] if sentence[1:2].islower() or sentence[1:2] == " " else sentence
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", sentence).replace("``", "'")


def _example(function: Callable[..., Any], name: str) -> str:
    """The first line of the examples that calls it."""
    for line in (function.__doc__ or "").splitlines():
        found = re.search(rf">>> .*?\b((?:fit|mme|plot)[\w.]*\.{name}\()", line)
        if found:
            call = _balanced(line[found.start(1) :])
            return f"; for example {call}" if call and len(call) <= _WIDTH else ""
    return ""


def _balanced(text: str) -> str:
    """The text to the end of its first call; empty where the call does not end."""
    depth = 0
    for i, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == ")" and depth == 0:
            return text[: i + 1]
    return ""
