"""Numbers and tables as text and as HTML, laid out as in R."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from html import escape

# The cells of a line.
Row = tuple[str, ...]

# Significant digits of the smallest number in a column, as in lme4.
_DIGITS = 4
# Of p-values: the decimals, and the least that is written.
_DECIMALS_P, _LEAST_P = 3, 1e-3
# Degrees of freedom from which on their decimals say nothing.
_MANY_DF = 1000.0
# Characters of a line.
WIDTH = 80


def column_format(values: Iterable[float], digits: int = _DIGITS) -> str:
    """R's common format of a column of numbers, as a format specification.

    The smallest number shows ``digits`` significant digits; fixed or scientific notation, whichever is shorter.

    Examples
    --------
    >>> column_format([612.1, 35.0717, 654.94]), column_format([1e-9, 2.5e-10])
    ('.2f', '.1e')
    """
    parts = [f"{abs(value):.{digits - 1}e}".split("e") for value in values if math.isfinite(value)]
    if not parts:
        return ".0f"
    significant = [len(mantissa.replace(".", "").rstrip("0")) or 1 for mantissa, _ in parts]
    exponents = [int(exponent) for _, exponent in parts]
    decimals = max(max(s - 1 - e, 0) for s, e in zip(significant, exponents, strict=True))
    width_fixed = max(max(exponents), 0) + 1 + (decimals + 1 if decimals else 0)
    width_scientific = max(significant) + (max(significant) > 1) + len("e+00")
    return f".{decimals}f" if width_fixed <= width_scientific else f".{max(significant) - 1}e"


def column(values: Sequence[float]) -> list[str]:
    """Numbers in their common format (:func:`column_format`)."""
    spec = column_format(values)
    return [formatted(value, spec) for value in values]


def formatted(value: float, spec: str) -> str:
    """One number in a format; NaN and infinity by their names."""
    return f"{value:{spec}}" if math.isfinite(value) else str(float(value)).replace("nan", "NaN")


def fixed_point(value: float, decimals: int) -> str:
    """One number with so many decimals, never a minus zero."""
    return formatted(round(float(value), decimals) + 0.0, f".{decimals}f")  # + 0.0: no "-0.00"


def p_values(values: Iterable[float]) -> list[str]:
    """P-values to three decimals, as papers print them; NaN is an empty cell.

    Examples
    --------
    >>> p_values([0.04213, 1.0e-9, 0.9999, float("nan")])
    ['0.042', '<0.001', '1.000', '']
    """
    return [_p_value(float(value)) for value in values]


def _p_value(value: float) -> str:
    if not math.isfinite(value):
        return ""
    return f"<{_LEAST_P:.{_DECIMALS_P}f}" if value < _LEAST_P else f"{value:.{_DECIMALS_P}f}"


def freedoms(values: Iterable[float]) -> list[str]:
    """Degrees of freedom, with a decimal where they are few enough for it to matter.

    Examples
    --------
    >>> freedoms([17.0, 140.26, 73421.0, float("inf"), float("nan")])
    ['17.0', '140.3', '73421', 'Inf', '']
    """
    return [_freedom(float(value)) for value in values]


def _freedom(value: float) -> str:
    if math.isnan(value):
        return ""
    return "Inf" if math.isinf(value) else f"{value:.{1 if value < _MANY_DF else 0}f}"


def text_table(rows: Sequence[Row], *, left: int, indent: str = "", width: int = WIDTH) -> str:
    """Cells under one another: the first ``left`` columns to the left, the others to the right.

    Where lines would be wider than ``width``, a first cell that is too long has a line of its own above the others.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = width - len(indent) - sum(widths[1:]) - len(widths) + 1
    if left and len(widths) > 1 and widths[0] > room:
        fitting = [len(row[0]) for row in rows if len(row[0]) <= room]
        widths[0] = max(fitting, default=0)
    return "\n".join(_lines(row, widths, left, indent) for row in rows)


def _lines(row: Row, widths: Sequence[int], left: int, indent: str) -> str:
    """One row, on a line of its own; on two where its first cell is wider than its column."""
    first, *others = row
    above = ""
    if len(first) > widths[0]:
        wrap = textwrap.TextWrapper(WIDTH, indent, f"{indent}  ", break_long_words=False, break_on_hyphens=False)
        above, first = wrap.fill(first) + "\n", ""
    cells = zip((first, *others), widths, strict=True)
    line = indent + " ".join(f"{cell:{'<' if c < left else '>'}{size}}" for c, (cell, size) in enumerate(cells))
    return above + line.rstrip()


def html_table(caption: str, rows: Sequence[Row], *, left: int) -> str:
    """Cells as a table of HTML: the first row is its head, the first ``left`` columns stand to the left."""

    def line(tag: str, row: Row) -> str:
        cells = (
            f'<{tag} style="text-align:{"left" if c < left else "right"}">{escape(cell)}</{tag}>'
            for c, cell in enumerate(row)
        )
        return f"<tr>{''.join(cells)}</tr>"

    body = "".join(line("td", row) for row in rows[1:])
    return f"<table><caption>{caption}</caption><thead>{line('th', rows[0])}</thead><tbody>{body}</tbody></table>"


def abbreviated(names: Sequence[str], length: int) -> list[str]:
    """Names cut to about ``length`` characters, longer where two would read alike."""
    short = [_abbreviate(name, length) for name in names]
    while len(set(short)) < len(set(names)) and length < max(map(len, names)):
        length += 1
        short = [
            _abbreviate(name, length) if short.count(text) > 1 else text
            for name, text in zip(names, short, strict=True)
        ]
    return short


def _abbreviate(name: str, length: int) -> str:
    """Drop lower-case vowels from the end, then lower-case letters, never the first of a word; as R does.

    Examples
    --------
    >>> _abbreviate("(Intercept)", 6), _abbreviate("MachineB", 6), _abbreviate("Days", 6)
    ('(Intr)', 'MachnB', 'Days')
    """
    for droppable in ("[aeiou]", "[a-z]"):
        for found in reversed(list(re.finditer(rf"(?<=[A-Za-z]){droppable}", name))):
            if len(name) <= length:
                return name
            name = name[: found.start()] + name[found.end() :]
    return name
