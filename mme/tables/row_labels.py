"""Rows of pandas values beside other rows: labels that are in another order say that the values are, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mme.errors import MMEError
from mme.tables.arrays import shown


def row_labels(values: Any) -> Any:
    """The labels of the rows of what pandas or AnnData holds; None of other values, which have places alone."""
    return values.index if hasattr(values, "iloc") else getattr(values, "obs_names", None)


def check_order(values: Any, labels: Any, what: str, beside: str = "the data") -> None:
    """Refuse values whose rows have the same labels as those they stand beside, in another order.

    By place they would be of other records; by label, of other records for those who permuted the rows on purpose.
    Labels that are not the same ones, or not unique, say nothing of the order.

    Examples
    --------
    >>> import pandas as pd
    >>> weights = pd.Series([2.0, 1.0], index=["b", "a"])
    >>> check_order(weights, pd.Index(["a", "c"]), "weights")
    >>> check_order(weights, pd.Index(["a", "b"]), "weights")
    Traceback (most recent call last):
    mme.errors.MMEError: the rows of weights have the labels of the data in another order (row 0 is 'b' there, 'a' ...
    """
    check_labels(row_labels(values), labels, what, beside)


def common_labels(given: Mapping[str, Any]) -> Any:
    """The first row labels, by what they are of; others that are these in another order are refused. None has none."""
    known = [(what, labels) for what, labels in given.items() if labels is not None]
    for what, labels in known[1:]:
        check_labels(labels, known[0][1], what, known[0][0])
    return known[0][1] if known else None


def check_labels(own: Any, labels: Any, what: str, beside: str) -> None:
    """Refuse the labels of ``what`` that are those it stands beside in another order."""
    if own is None or labels is None or own is labels or len(own) != len(labels) or own.equals(labels):
        return
    if own.nlevels == labels.nlevels and own.is_unique and labels.is_unique and own.isin(labels).all():
        row = int((own != labels).argmax())
        raise MMEError(
            f"the rows of {what} have the labels of {beside} in another order (row {row} is {shown(own[row])} there, "
            f"{shown(labels[row])} here): put them in this order, .loc[data.index], or give .to_numpy() if each is in "
            "its place"
        )
