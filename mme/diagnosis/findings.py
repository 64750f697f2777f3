"""What a diagnosis says, as text and as HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

_WIDTH = 80


@dataclass(frozen=True)
class Finding:
    """One unusual thing: a short ``kind`` for programs, and three texts for people."""

    kind: str
    found: str
    meaning: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis:
    """Everything unusual about a fit; empty, and false, for an ordinary one. Printed as text."""

    of: str
    findings: tuple[Finding, ...]

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds found."""
        return tuple(finding.kind for finding in self.findings)

    def __str__(self) -> str:
        if not self.findings:
            return f"{self.of}\nNothing unusual was found.\n"
        parts = [self.of]
        for number, finding in enumerate(self.findings, 1):
            lines = [_wrapped(f"{number}. {finding.found}", "   ")]
            lines += [
                _wrapped(f"   Meaning: {finding.meaning}", "     "),
                _wrapped(f"   To try: {finding.remedy}", "     "),
            ]
            parts.append("\n".join(lines))
        return "\n\n".join(parts) + "\n"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.findings:
            return "<p>Nothing unusual was found.</p>"
        items = (
            f"<li><p><b>{escape(one.found)}</b></p><p>Meaning: {escape(one.meaning)}</p>"
            f"<p>To try: {escape(one.remedy)}</p></li>"
            for one in self.findings
        )
        return f"<ol>{''.join(items)}</ol>"


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
