"""Cells and notes as a Word document: three rules, numbers to the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mme.errors import MMEError
from mme.results.text import Row

# Sixteenths of a point of a rule.
_RULE = "8"


def document(
    header: Row, rows: Sequence[Row], sections: Sequence[int], left: int, title: str, notes: Sequence[str]
) -> Any:
    """A document with the table in it.

    Raises
    ------
    MMEError
        python-docx is not installed.
    """
    try:
        import docx
    except ImportError:
        raise MMEError("Word documents need python-docx: pip install 'mme[docx]'") from None
    made = docx.Document()
    if title:
        made.add_paragraph().add_run(title).bold = True
    table = made.add_table(rows=1 + len(rows), cols=len(header))
    for r, row in enumerate([header, *rows]):
        _fill(table.rows[r], row, left, heading=r == 0 or r - 1 in sections)
    _rule(table.rows[0], "top")
    _rule(table.rows[0], "bottom")
    _rule(table.rows[-1], "bottom")
    for note in notes:
        paragraph = made.add_paragraph()
        paragraph.add_run("Note. ").italic = True
        paragraph.add_run(note)
    return made


def _fill(line: Any, row: Row, left: int, *, heading: bool) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH

    for c, (cell, text) in enumerate(zip(line.cells, row, strict=True)):
        paragraph = cell.paragraphs[0]
        paragraph.paragraph_format.space_after = 0
        paragraph.alignment = WD_ALIGN_PARAGRAPH.LEFT if c < left else WD_ALIGN_PARAGRAPH.RIGHT
        run = paragraph.add_run(text)
        run.bold = heading


def _rule(line: Any, edge: str) -> None:
    """A line along an edge of a row."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    for cell in line.cells:
        properties = cell._tc.get_or_add_tcPr()
        borders = properties.find(qn("w:tcBorders"))
        if borders is None:
            borders = OxmlElement("w:tcBorders")
            properties.append(borders)
        border = OxmlElement(f"w:{edge}")
        for name, value in (("val", "single"), ("sz", _RULE), ("color", "000000")):
            border.set(qn(f"w:{name}"), value)
        borders.append(border)
