"""One page of HTML that needs nothing outside it: sections that fold, tables that sort, pictures with their words."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.numeric.bars import Progress, stepped
from mme.plot.style import close, png
from mme.tables.arguments import path_of
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

# Dots an inch of a picture; one wider than so many pixels of the page has its row alone when printed.
_DPI, _BROAD = 110, 560
_STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #555; --line: #e0e0e0; --paper: #fff; --band: #f6f6f6; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e4; --soft: #aaa; --line: #3a3a3a; --paper: #161616; --band: #202020; }
  img { filter: invert(.914) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
details { border-top: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; font-size: 1.15rem; font-weight: 600; padding: .2rem 0; }
.wide { overflow-x: auto; max-width: 100%; overflow-wrap: normal; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; max-width: calc(100vw - 2.4rem); }
th, td { padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--soft); } tbody tr:hover { background: var(--band); }
th[role=button] { cursor: pointer; } th[aria-sort=ascending]::after { content: " \\2191"; }
th[aria-sort=descending]::after { content: " \\2193"; }
figure { display: inline-block; vertical-align: top; margin: 1.2rem 1.4rem 1rem 0; max-width: 100%; }
figcaption { color: var(--soft); font-size: .92rem; } figcaption, img { max-width: 100%; }
img { height: auto; } ol li p { margin: .2rem 0; }
@media (max-width: 40rem) { tbody td:first-child, tbody th { white-space: normal; overflow-wrap: anywhere;
  min-width: 6rem; } td, th { padding-right: .6rem; } figure { margin-right: 0; } }
@media print { :root { font-size: 11px; } body { max-width: none; margin: 0; font-size: 11px; }
  figure, table, tr { break-inside: avoid; } figure { margin: .6rem 1% .6rem 0;
  max-width: 48%; } figure.broad { max-width: 100%; }
  figure img { max-height: 92vh; } summary, h3 { break-after: avoid; } summary { list-style: none; }
  th[aria-sort]::after { content: ""; } .wide { overflow: visible; } }
"""
# Tables wider than the page scroll by themselves; a click on a head sorts; all sections unfold for print.
_SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const box = document.createElement("div");
  box.className = "wide"; table.replaceWith(box); box.append(table);
  const body = table.tBodies[0];
  if (!body || body.rows.length < 3) continue;
  const number = text => parseFloat(text.replace(/[<,]/g, "").replace("\u2212", "-"));
  table.querySelectorAll("thead th").forEach((head, k) => {
    head.tabIndex = 0; head.setAttribute("role", "button");
    const sort = () => {
      const up = head.getAttribute("aria-sort") !== "ascending", sign = up ? 1 : -1;
      table.querySelectorAll("th").forEach(one => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      [...body.rows].sort((a, b) => {
        const s = a.cells[k] ? a.cells[k].textContent : "", t = b.cells[k] ? b.cells[k].textContent : "";
        const x = number(s), y = number(t);
        return sign * (isNaN(x) || isNaN(y) ? s.localeCompare(t) : x - y);
      }).forEach(row => body.append(row));
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", event => { if (event.key === "Enter") sort(); });
  });
}
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach(one => { one.open = true; });
});
addEventListener("afterprint", () => folded.forEach(one => { one.open = false; }));
"""


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a page under a heading that folds; ``folded``: it does so at first."""

    title: str
    parts: Iterable[str]
    folded: bool = False

    def html(self) -> str:
        """The section; empty without parts."""
        inside = "\n".join(self.parts)
        opened = "" if self.folded else " open"
        return f"<details{opened}><summary>{escape(self.title)}</summary>\n{inside}\n</details>" if inside else ""


def write_page(
    fit: Record,
    path: str | os.PathLike[str],
    title: str | None,
    sections: Sequence[Section],
    progress: Progress = False,
) -> None:
    """Write sections under a heading; what they hold is made here, one after another.

    Raises
    ------
    MMEError
        The title is no text, or the file cannot be written.
    """
    groups = ", ".join(dict.fromkeys(term.group for term in fit.model.terms))
    target = path_of(path)
    if title is not None and not isinstance(title, str):
        raise MMEError(f"title must be text or None, got {shown(title)}")
    heading = title or f"{fit.model.response}" + (f" by {groups}" if groups else "")
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(heading)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join([f"<h1>{escape(heading)}</h1>", *_made(sections, progress)])
        + f"\n<script>{_SCRIPT}</script></body></html>\n"
    )
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise MMEError(f"cannot write {path}: {error.strerror}") from None


def _made(sections: Sequence[Section], progress: Progress) -> list[str]:
    steps = stepped("report", [section.title for section in sections], progress)
    return [section.html() for _, section in zip(steps, sections, strict=True)]


def note(many: bool, text: str) -> str:
    """What a picture of much leaves out, as the end of its caption."""
    return f" {text}" if many else ""


def figure_html(axes: Any, caption: str) -> str:
    """A picture as part of the page; ``caption`` stands below it, and for it where it is not seen."""
    figure = np.ravel(axes)[0].figure
    data = base64.b64encode(png(figure, _DPI)).decode()
    width = round(_DPI * float(figure.get_size_inches()[0]) / 1.25)
    close(figure)
    text = escape(caption)
    image = f'<img src="data:image/png;base64,{data}" width="{width}" alt="{text}">'
    broad = ' class="broad"' if width > _BROAD else ""
    return f'<figure{broad} style="width: {width}px">{image}<figcaption>{text}</figcaption></figure>'


def figure_or_reason(draw: Callable[[], Any], caption: str) -> str:
    """A picture that not every model has; without it the sentence that says why."""
    try:
        axes = draw()
    except MMEError as error:
        return f"<p>{escape(str(error))}.</p>"
    return figure_html(axes, caption)


def frame_html(frame: pd.DataFrame, caption: str) -> str:
    """A table with numbers to five digits, without columns that are empty."""
    frame = frame.loc[:, [not all(value in ("", None) for value in frame[name]) for name in frame.columns]]
    sides = ["right" if frame[name].dtype.kind in "fiu" else "left" for name in frame.columns]
    head = "".join(
        f'<th style="text-align:{side}">{escape(str(name))}</th>'
        for name, side in zip(frame.columns, sides, strict=True)
    )
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in frame.itertuples(index=False))
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td style="text-align:right">{f"{value:.5g}" if np.isfinite(value) else ""}</td>'
    return f"<td>{'' if value is None else escape(str(value))}</td>"
