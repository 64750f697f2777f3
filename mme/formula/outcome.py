"""The left side of a formula: numbers, or what a family of distributions reads (counts of two kinds, labels)."""

from __future__ import annotations

import numpy as np

from mme.errors import FormulaError, MMEError
from mme.formula.evaluate import Evaluator, Value
from mme.formula.given import number_of
from mme.formula.nesting import without_parentheses
from mme.formula.syntax import Call, Node, deparse
from mme.tables.arguments import is_word
from mme.tables.arrays import shown
from mme.tables.frame import WideColumn

# What the left side of a formula may be.
NUMBERS, FAMILY = "numbers", "family"


def response_of(node: Node, evaluator: Evaluator, kind: str) -> Value:
    """The response on all rows: numbers, or for a family numbers, labels, or two columns of counts.

    Raises
    ------
    MMEError
        The left side is none of these.
    """
    if not is_word(kind, (NUMBERS, FAMILY)):
        raise MMEError(f'response must be "{NUMBERS}" or "{FAMILY}", got {shown(kind)}')
    if kind == NUMBERS:
        return number_of(evaluator.value(node), f"the response '{deparse(node)}'")
    inner = without_parentheses(node)
    if isinstance(inner, Call) and inner.function.rpartition("::")[2] == "cbind":
        return _counts(inner, evaluator)
    return evaluator.value(node)


def _counts(call: Call, evaluator: Evaluator) -> WideColumn:
    """``cbind(success, failure)``, whose columns may be named or computed."""
    columns = sorted([*call.args, *(column for _, column in call.keywords)], key=lambda column: column.start)
    if len(columns) != 2:
        raise FormulaError.at(
            evaluator.formula,
            call.start,
            f"cbind() of a response takes two columns, counts of successes and of failures; got {len(columns)}",
        )
    return WideColumn(np.column_stack([_count(column, evaluator) for column in columns]), ("1", "2"))


def _count(column: Node, evaluator: Evaluator) -> np.ndarray:
    value = evaluator.value(column)
    try:
        return number_of(value, f"'{deparse(column)}' in cbind()")
    except MMEError as error:
        raise FormulaError.at(evaluator.formula, column.start, str(error)) from None
