"""Cells and notes as LaTeX, with the rules of booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mme.results.text import Row

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "²": r"$^2$",
    "χ": r"$\chi$",
    "σ": r"$\sigma$",
    "±": r"$\pm$",
}
# Points of a letter at ten points, of the space beside a column, and of a line of the class article.
_LETTER, _SPACE, _LINE = 4.6, 6.0, 345.0
_NARROW_SPACE = 4.0
# How wide letters of smaller sizes are, as shares of those of ten points.
_SIZES = {r"\small": 0.92, r"\footnotesize": 0.85, r"\scriptsize": 0.75}
# A minus before a number, at the beginning of a cell or after a bracket or a blank.
_MINUS = re.compile(r"(?<![^\s\[(])-(?=[\d.])")


def escaped(text: str) -> str:
    r"""Text as LaTeX prints it.

    Examples
    --------
    >>> print(escaped("x_1 [-0.5, 2], p <0.001"))
    x\_1 [$-$0.5, 2], p $<$0.001
    """
    out = "".join(_SPECIAL.get(letter, letter) for letter in text)
    return _MINUS.sub("$-$", out)


def table(
    header: Row,
    rows: Sequence[Row],
    sections: Sequence[int],
    left: int,
    title: str,
    notes: Sequence[str],
    label: str = "",
) -> str:
    """A floating table: rules above, below and under the header, headings of sections over all columns."""
    plain = [row for i, row in enumerate(rows) if i not in sections]
    lines = [r"\begin{table}", r"\centering", *_narrowed([header, *plain])]
    lines += [rf"\caption{{{escaped(title)}}}"] if title else []
    lines += [rf"\label{{{label}}}"] if label else []
    lines += [
        rf"\begin{{tabular}}{{{'l' * left}{'r' * (len(header) - left)}}}",
        r"\toprule",
        _line(header),
        r"\midrule",
    ]
    for i, row in enumerate(rows):
        if i not in sections:
            lines.append(_line(row))
            continue
        lines += [r"\midrule"] if i else []
        lines += [rf"\multicolumn{{{len(row)}}}{{l}}{{\textit{{{escaped(row[0])}}}}} \\"] if row[0] else []
    lines += [r"\bottomrule", r"\end{tabular}"]
    if notes:
        text = " ".join(map(escaped, notes))
        lines += [r"\par\smallskip", r"\begin{minipage}{\linewidth}\footnotesize", rf"\textit{{Note.}} {text}"]
        lines += [r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _narrowed(rows: Sequence[Row]) -> list[str]:
    """Commands for smaller letters and spaces, where the table is wider than a line."""
    letters = sum(max(map(len, column)) for column in zip(*rows, strict=True))
    spaces = 2 * (len(rows[0]) - 1)
    if _LETTER * letters + _SPACE * spaces <= _LINE:
        return []
    fitting = (size for size, share in _SIZES.items() if share * _LETTER * letters + _NARROW_SPACE * spaces <= _LINE)
    return [next(fitting, [*_SIZES][-1]), rf"\setlength{{\tabcolsep}}{{{_NARROW_SPACE:g}pt}}"]


def _line(row: Row) -> str:
    return " & ".join(map(escaped, row)) + r" \\"
