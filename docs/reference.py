#!/usr/bin/env python3
"""The API reference: every public name with its signature and docstring, as Markdown: ``./run docs [FOLDER]``.

Docstrings are numpydoc; their sections become headings and lists, their examples code. No tool beside Python is needed.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mme
from mme.api.fixed import FixedEffects
from mme.api.intervals import Intervals
from mme.api.numbers import Numbers
from mme.api.output import Output
from mme.api.random import RandomEffects
from mme.api.records import Records
from mme.api.shared import Shared

ROOT = Path(__file__).resolve().parents[1]
# Sections whose entries are names, or types, with a description each.
LISTS = ("Parameters", "Attributes", "Other Parameters", "Returns", "Raises")
# Page -> public names, in the order in which one meets them.
PAGES: dict[str, tuple[str, ...]] = {
    "fitting": ("lmer", "fit", "glmer", "glm_fit", "Term", "load"),
    "comparing": ("anova", "variance_test", "exact_rlrt", "load_fit"),
    "families": (
        "Family",
        "Binomial",
        "Poisson",
        "NegativeBinomial",
        "Gamma",
        "InverseGaussian",
        "Gaussian",
        "Beta",
        "Ordinal",
        "Tweedie",
    ),
    "residuals": (
        "AR1",
        "CompoundSymmetry",
        "Exponential",
        "Heterogeneous",
        "PowerOfCovariate",
        "Toeplitz",
        "Unstructured",
    ),
    "your-own": ("GStructure", "RStructure", "Parametric"),
    "relationships": ("Pedigree", "Relationship", "genomic_relationship", "single_step"),
    "equations": ("MixedModelEquations", "EquationsSolution", "solve", "objective"),
    "errors": ("MMEError", "FormulaError", "MemoryForecastError", "MMEWarning"),
}
# What a fit is asked, part by part.
FACE = (Shared, Numbers, RandomEffects, FixedEffects, Intervals, Records, Output)


def pages() -> dict[str, str]:
    """File name -> text, the index among them."""
    found = {"fit-object.md": _fit(), "generalised-fit-object.md": _generalised_fit()}
    for title, names in PAGES.items():
        found[f"{title}.md"] = (
            "\n".join(
                [
                    f"# {title.capitalize().replace('-', ' ')}",
                    *(_entry(f"mme.{name}") for name in names if hasattr(mme, name)),
                ]
            )
            + "\n"
        )
    rest = sorted(set(mme.__all__) - {"Fit", "GeneralisedFit", *(name for names in PAGES.values() for name in names)})
    if rest:
        found["more.md"] = "\n".join(["# More", *(_entry(f"mme.{name}") for name in rest)]) + "\n"
    listed = [f"* [{name.removesuffix('.md')}]({name})" for name in found]
    return {"index.md": "\n".join([f"# mme {mme.__version__}: reference", "", *listed, ""]), **found}


def members(kind: type) -> dict[str, Any]:
    """The public methods and properties that a class defines, by name, in the order of the source."""
    return {name: value for name, value in vars(kind).items() if not name.startswith("_") and _is_documentable(value)}


def _is_documentable(value: Any) -> bool:
    return callable(value) or isinstance(value, property | classmethod | staticmethod) or hasattr(value, "func")


def _fit() -> str:
    lines = ["# Fit", "", *_markdown(inspect.getdoc(mme.Fit) or "")]
    for part in FACE:
        lines += ["", f"## {_summary(part)}", *_members(part, "fit")]
    lines += ["", "## The same model again", *_members(mme.Fit, "fit")]
    return "\n".join(lines) + "\n"


def _generalised_fit() -> str:
    """Its own properties, then those of its parts."""
    lines = ["# GeneralisedFit", "", *_markdown(inspect.getdoc(mme.GeneralisedFit) or "")]
    lines += ["", "## What was estimated, and how well it fits", *_members(mme.GeneralisedFit, "fit")]
    for part in mme.GeneralisedFit.__mro__[1:-1]:
        if members(part):
            lines += ["", f"## {_summary(part)}", *_members(part, "fit")]
    return "\n".join(lines) + "\n"


def _entry(path: str) -> str:
    value = getattr(mme, path.partition(".")[2])
    lines = ["", f"## {path}{_signature(value)}", "", *_markdown(inspect.getdoc(value) or "")]
    if inspect.isclass(value) and not issubclass(value, Exception):
        lines += _members(value, value.__name__)
    return "\n".join(lines)


def _members(kind: type, owner: str) -> Iterator[str]:
    for name, value in members(kind).items():
        target = getattr(value, "__func__", getattr(value, "func", value))
        called = _signature(target) if callable(value) or hasattr(value, "__func__") else ""
        yield from ("", f"### {owner}.{name}{called}", "", *_markdown(inspect.getdoc(value) or ""))


def _signature(value: Any) -> str:
    """Names and defaults of the arguments, without types: the docstring says what they are."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    parts = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name not in ("self", "cls")]
    return str(signature.replace(parameters=parts, return_annotation=signature.empty))


def _summary(kind: type) -> str:
    return (inspect.getdoc(kind) or kind.__name__).split("\n")[0].rstrip(".")


def _markdown(doc: str) -> Iterator[str]:
    """A docstring as Markdown: sections, references, tables of parameters, examples."""
    lines = doc.split("\n")
    section, in_code = "", False
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        if re.fullmatch(r"-{3,}", line):
            continue
        is_code = bool(section == "Examples" and line.strip() and (line.startswith(">>>") or in_code))
        if is_code != in_code:
            yield "```"
            in_code = is_code
        if re.fullmatch(r"-{3,}", following) and line:
            section = line
            yield f"**{line}**"
            yield ""
        elif in_code:
            yield line
        elif section in LISTS and re.match(r"\S", line):
            yield f"* `{line}`"
        elif section in LISTS and line.startswith("    "):
            yield f"  {_linked(line.strip())}"
        else:
            yield _linked(line)
    if in_code:
        yield "```"


def _linked(line: str) -> str:
    """``:meth:`Fit.pev``` and its like as code, double backticks as single ones."""
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", line).replace("``", "`")


def main(arguments: list[str]) -> int:
    """Write the pages into a folder."""
    folder = Path(arguments[0]) if arguments else ROOT / "build" / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)
    print(f"{len(pages())} pages in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
