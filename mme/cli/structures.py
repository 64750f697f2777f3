"""Residual structures and pedigrees in the words of a command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mme
from mme.cli.read import read_plain
from mme.cli.source import source_of
from mme.errors import MMEError
from mme.formula.bars import split
from mme.formula.parser import parse_expression
from mme.formula.syntax import Call, Name, Node, Number, Op, Text, deparse, names_in

_TRUTH = {"TRUE": True, "True": True, "FALSE": False, "False": False}


def residual_of(texts: Sequence[str] | None) -> Any:
    """``AR1(Days, Subject)`` -> the structure; of several, a correlation and a variance, their product.

    Raises
    ------
    MMEError
        It is no structure, or its arguments are not those that it takes.

    Examples
    --------
    >>> residual_of(["AR1(Days, Subject)"])
    AR1(time='Days', group='Subject')
    """
    if not texts:
        return None
    made = [_structure(text) for text in texts]
    return made[0] if len(made) == 1 else made


def _structure(text: str) -> Any:
    call, kinds = parse_expression(text), _kinds()
    if not isinstance(call, Call) or call.function not in kinds:
        known = ", ".join(kinds)
        raise MMEError(f"--residual takes a structure of columns, such as 'AR1(time, group)', got {text!r}: {known}")
    kind = kinds[call.function]
    try:
        return kind(*map(_value, call.args), **{name: _value(node) for name, node in call.keywords})
    except TypeError:
        takes = ", ".join(str(one.replace(annotation=one.empty)) for one in inspect.signature(kind).parameters.values())
        raise MMEError(f"--residual {text}: {call.function} takes ({takes})") from None


def _kinds() -> dict[str, Callable[..., Any]]:
    """The residual structures by their names."""
    found = {name: getattr(mme, name) for name in mme.__all__}
    return {
        name: one
        for name, one in found.items()
        if isinstance(one, type) and issubclass(one, mme.RStructure) and one is not mme.RStructure
    }


def _value(node: Node) -> Any:
    """A column by its name (``a/b`` and ``a:b`` are combinations), several by ``c(x, y)``, a number, text, TRUE."""
    if isinstance(node, Text):
        return node.value
    if isinstance(node, Call) and node.function == "c":
        return [_value(one) for one in node.args]
    if isinstance(node, Number):
        return int(node.value) if node.value == int(node.value) else node.value
    if isinstance(node, Name):
        return _TRUTH.get(node.value, node.value)
    if isinstance(node, Op) and node.symbol in ("/", ":"):
        return deparse(node)
    raise MMEError(f"--residual: {deparse(node)} is no column")


def relationships_of(
    texts: Sequence[str] | None, formula: str, encoding: str, missing: tuple[str, ...]
) -> dict[str, Any] | None:
    """``animal=pedigree.csv`` -> the relationship among the levels of each factor.

    A pedigree without a factor is that of the factor which its first column names, or of the only one.
    """
    if not texts:
        return None
    factors = {name for bar in split(formula).bars for node in bar.factors for name in names_in(node)}
    return dict(_pedigree(text, factors, encoding, missing) for text in texts)


def _pedigree(text: str, factors: set[str], encoding: str, missing: tuple[str, ...]) -> tuple[str, Any]:
    factor, given, file = text.partition("=")
    if not given or Path(text).exists():
        factor, file = "", text
    source = source_of(Path(file))
    table = read_plain(source, encoding, missing, None)
    if len(table.columns) < 3:
        raise MMEError(f"{source.name} has {len(table.columns)} columns; a pedigree has three: animal, sire, dam")
    first = str(table.columns[0])
    factor = factor or (first if first in factors else next(iter(factors)) if len(factors) == 1 else "")
    if not factor:
        raise MMEError(
            f"--relationship {file}: name the grouping factor whose levels are related: --relationship FACTOR={file}"
        )
    return factor, mme.Pedigree(*(table.iloc[:, place].to_numpy() for place in range(3)))
