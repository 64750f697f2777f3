"""A table of cells that are text already, with its title and notes, in the languages of papers and pages."""

from __future__ import annotations

import os
import textwrap
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from mme.errors import MMEError
from mme.results import latex
from mme.results.text import WIDTH, Row, text_table
from mme.tables.arguments import path_of

if TYPE_CHECKING:
    import pandas as pd


# Characters of a label that stands beside its numbers.
_SHORT_LABEL = 12


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Cells under a header, formatted; in a notebook it shows itself.

    Attributes
    ----------
    frame : DataFrame
        The numbers, all digits.
    header : tuple of str
        Names of the columns.
    rows : tuple of tuple of str
        The cells.
    sections : tuple of int
        Rows that are headings of those below them: their first cell alone has text.
    left : int
        Columns of labels, which stand to the left.
    title : str
    notes : tuple of str
        What stands below, a sentence or two each.
    """

    frame: pd.DataFrame
    header: Row
    rows: tuple[Row, ...]
    sections: tuple[int, ...] = ()
    left: int = 1
    title: str = ""
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = [self.title] if self.title else []
        parts += ["\n\n".join(text_table(block, left=self.left) for block in self._blocks())]
        parts += [textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in self.notes]
        return "\n".join(parts)

    def _blocks(self) -> list[list[Row]]:
        """The rows with as many columns at a time as a line holds, each time with their labels."""
        rows = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        others = sum(widths[self.left :]) + len(widths) - self.left
        if self.left == 1 and others + _SHORT_LABEL <= WIDTH:  # long labels then have lines of their own
            return [rows]
        blocks, room = [list[int]()], WIDTH - sum(widths[: self.left]) - self.left
        for c in range(self.left, len(widths)):
            if blocks[-1] and sum(widths[k] + 1 for k in blocks[-1]) + widths[c] > room:
                blocks.append([])
            blocks[-1].append(c)
        return [[tuple(row[c] for c in [*range(self.left), *block]) for row in rows] for block in blocks]

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """The table as HTML, its notes below it."""
        lines = [self._html_line("th", self.header)]
        head, body = "".join(lines), "".join(self._html_body())
        caption = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        table = f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"
        notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in self.notes)
        return f"<div>{table}{notes}</div>"

    def _html_body(self) -> list[str]:
        lines = []
        for i, row in enumerate(self.rows):
            if i in self.sections:
                head = f'<th colspan="{len(row)}" style="text-align:left">{escape(row[0])}</th>'
                lines.append(f"<tr>{head}</tr>")
            else:
                lines.append(self._html_line("td", row))
        return lines

    def _html_line(self, tag: str, row: Row) -> str:
        sides = ("left" if c < self.left else "right" for c in range(len(row)))
        cells = zip(sides, row, strict=True)
        marked = [f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>' for side, cell in cells]
        return f"<tr>{''.join(marked)}</tr>"

    def to_markdown(self) -> str:
        """The table in Markdown (GitHub's and Pandoc's pipe tables), its notes below it."""
        rows = [tuple(cell.replace("|", "\\|") for cell in row) for row in (self.header, *self.rows)]
        rows = [(f"**{row[0]}**", *row[1:]) if i - 1 in self.sections and row[0] else row for i, row in enumerate(rows)]
        widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
        rule = [("-" * w if c < self.left else "-" * (w - 1) + ":") for c, w in enumerate(widths)]

        def line(row: Row) -> str:
            cells = zip(row, widths, strict=True)
            return f"| {' | '.join(f'{x:<{w}}' if c < self.left else f'{x:>{w}}' for c, (x, w) in enumerate(cells))} |"

        parts = [self.title] if self.title else []
        parts += ["\n".join([line(rows[0]), f"| {' | '.join(rule)} |", *map(line, rows[1:])]), *self.notes]
        return "\n\n".join(parts) + "\n"

    def to_latex(self, *, label: str = "") -> str:
        r"""The table in LaTeX, with the rules of the package booktabs: ``\usepackage{booktabs}``.

        Parameters
        ----------
        label : str
            For ``\ref``.
        """
        return latex.table(self.header, self.rows, self.sections, self.left, self.title, self.notes, label)

    def to_docx(self, path: str | os.PathLike[str]) -> None:
        """Write the table as a Word document (``pip install mme[docx]``).

        Raises
        ------
        MMEError
            python-docx is not installed, or the file cannot be written.
        """
        from mme.results.word import document

        target = path_of(path)
        made = document(self.header, self.rows, self.sections, self.left, self.title, self.notes)
        try:
            made.save(str(target))
        except OSError as error:
            raise MMEError(f"cannot write {path}: {error.strerror}") from None
