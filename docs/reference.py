#!/usr/bin/env python3
"""The API reference: every public name with its signature and docstring, as Markdown for the site.

Docstrings are numpydoc; their sections become headings and lists of definitions, their examples code, their references
links.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mme
from mme.diagnosis.findings import Diagnosis
from mme.fitted.varcorr import VarCorr
from mme.generalised.verdict import JointOptimum
from mme.inference.intervals.bootstrap import Bootstrap
from mme.inference.intervals.curves import Profile
from mme.inference.responses.fits import ManyFits
from mme.inference.scanning.scan import Scan
from mme.inference.selection.stepwise import Reduction
from mme.plot import GeneralisedPlots, Plots
from mme.results.draws import Draws
from mme.results.table import Table
from mme.search.verdict import Optimum

ROOT = Path(__file__).resolve().parents[1]
# Sections whose entries are names, or types, with a description each.
LISTS = ("Parameters", "Attributes", "Other Parameters", "Returns", "Raises")
# Page -> public names, in the order in which one meets them.
PAGES: dict[str, tuple[str, ...]] = {
    "fitting": ("lmer", "lm", "fit", "glmer", "glm_fit", "Term", "load"),
    "comparing": ("anova", "compare", "variance_test", "exact_rlrt", "load_fit"),
    "planning-and-many-at-once": ("power", "simulate_model", "lmer_many", "scan", "CrossProducts"),
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
        "OwnFamily",
        "check_family",
    ),
    "residuals": (
        "AR1",
        "ARMA",
        "AnteDependence",
        "CompoundSymmetry",
        "Exponential",
        "ExponentialOfCovariate",
        "Heterogeneous",
        "PowerOfCovariate",
        "PowerOfMean",
        "Spatial",
        "Toeplitz",
        "Unstructured",
    ),
    "your-own": ("GStructure", "RStructure", "Parametric"),
    "relationships": (
        "Pedigree",
        "Relationship",
        "dominance",
        "epistatic",
        "genomic_relationship",
        "maternal_grandsires",
        "metafounders",
        "selection_index",
        "sex_linked",
        "single_step",
    ),
    "equations": ("MixedModelEquations", "EquationsSolution", "solve", "objective"),
    "errors": ("MMEError", "FormulaError", "MemoryForecastError", "MMEWarning"),
}
# What calls return: objects that have methods of their own.
RESULTS = (VarCorr, Optimum, JointOptimum, Table, Diagnosis, Bootstrap, Profile, Draws, Reduction, ManyFits, Scan)

# Targets do not tell capitals apart: mme.Fit is described elsewhere than mme.fit.
_OBJECTS = {"Fit": "a-fit", "GeneralisedFit": "a-generalised-fit"}


def pages() -> dict[str, str]:
    """File name -> text, the index among them; references in the text lead to where a name is described."""
    found = _pages()
    places = {name for text in found.values() for name in re.findall(r"^\(([\w.]+)\)=$", text, re.MULTILINE)}
    return {name: _with_links(text, places) for name, text in found.items()}


def _pages() -> dict[str, str]:
    found = {"fit-object.md": _fit(), "generalised-fit-object.md": _generalised_fit()}
    found |= {"pictures-of-a-fit.md": _pictures(), "results.md": _results()}
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
    listed = ["```{toctree}", ":maxdepth: 1", "", *(name.removesuffix(".md") for name in found), "```"]
    return {"index.md": "\n".join([f"# Reference, mme {mme.__version__}", "", *listed, ""]), **found}


def members(kind: type) -> dict[str, Any]:
    """The public methods and properties that a class defines, by name, in the order of the source."""
    own = {name: value for name, value in vars(kind).items() if not name.startswith("_") and _is_documentable(value)}
    return {name: value for name, value in own.items() if not _is_inherited(kind, value)}


def _is_inherited(kind: type, value: Any) -> bool:
    """Whether a method is that of a base, which the class explains (:mod:`mme.tables.calls`)."""
    owner, dot, _ = getattr(value, "__qualname__", "").rpartition(".")
    return bool(dot) and owner != kind.__qualname__ and any(owner == base.__qualname__ for base in kind.__mro__[1:])


def _is_documentable(value: Any) -> bool:
    return callable(value) or isinstance(value, property | classmethod | staticmethod) or hasattr(value, "func")


def _fit() -> str:
    lines = ["(a-fit)=", "# Fit", "", *_markdown(inspect.getdoc(mme.Fit) or "")]
    for part in mme.Fit.__mro__[1:-1]:
        if members(part):
            lines += ["", f"## {_summary(part)}", *_members(part, "fit", "Fit")]
    lines += ["", "## The same model again", *_members(mme.Fit, "fit", "Fit")]
    return "\n".join(lines) + "\n"


def _generalised_fit() -> str:
    """Its own properties, then those of its parts."""
    lines = ["(a-generalised-fit)=", "# GeneralisedFit", "", *_markdown(inspect.getdoc(mme.GeneralisedFit) or "")]
    lines += ["", "## What was estimated, and how well it fits", *_members(mme.GeneralisedFit, "fit", "GeneralisedFit")]
    for part in mme.GeneralisedFit.__mro__[1:-1]:
        if members(part):
            lines += ["", f"## {_summary(part)}", *_members(part, "fit", "GeneralisedFit")]
    return "\n".join(lines) + "\n"


def _pictures() -> str:
    """Pictures of linear fits, then those that generalised ones alone have."""
    lines = ["# Pictures of a fit", "", *_markdown(inspect.getdoc(sys.modules[Plots.__module__]) or "")]
    own = {name for name, value in members(GeneralisedPlots).items() if members(Plots).get(name) is None}
    apart = [f"fit.plot.{name}" for name in ("residuals", "qq")]
    lines += ["", "## Of linear fits, and mostly of generalised ones too", *_members(Plots, "fit.plot")]
    lines += ["", "## Of generalised fits alone", "", f"Beside these, {' and '.join(apart)} are of their own kind."]
    return "\n".join([*lines, *_members(GeneralisedPlots, "fit.plot", only=own)]) + "\n"


def _results() -> str:
    """What calls return."""
    lines = ["# What calls return"]
    for kind in RESULTS:
        lines += ["", f"## {kind.__name__}", "", *_markdown(inspect.getdoc(kind) or "")]
        lines += _members(kind, kind.__name__)
    return "\n".join(lines) + "\n"


def _entry(path: str) -> str:
    value = getattr(mme, path.partition(".")[2])
    name = path.partition(".")[2]
    lines = ["", f"({name})=", f"## {path}", "", *_called(path, value), *_markdown(inspect.getdoc(value) or "")]
    if inspect.isclass(value) and not issubclass(value, Exception):
        lines += _members(value, value.__name__)
    return "\n".join(lines)


def _members(kind: type, owner: str, of: str = "", only: Container[str] | None = None) -> Iterator[str]:
    for name, value in members(kind).items():
        if only is not None and name not in only:
            continue
        target = getattr(value, "__func__", getattr(value, "func", value))
        called = _called(f"{owner}.{name}", target) if callable(value) or hasattr(value, "__func__") else ()
        place = f"({of or owner}.{name})="
        yield from ("", place, f"### {owner}.{name}", "", *called, *_markdown(inspect.getdoc(value) or ""))


def _called(path: str, value: Any) -> list[str]:
    """How it is called, as code."""
    signature = _signature(path, value)
    return ["```", f"{path}{signature}", "```", ""] if signature else []


def _signature(path: str, value: Any) -> str:
    """Names and defaults of the arguments, without types: the docstring says what they are."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    hidden = ("self", "cls", "seen", "fit") if ".plot." in f"{path}." else ("self", "cls")
    parts = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name not in hidden]
    return str(signature.replace(parameters=parts, return_annotation=signature.empty))


def _summary(kind: type) -> str:
    return re.split(r"[;\n]", inspect.getdoc(kind) or kind.__name__)[0].rstrip(".")


def _markdown(doc: str) -> Iterator[str]:
    """A docstring as Markdown: sections, definitions of parameters, examples as code, references."""
    lines = doc.split("\n")
    section, in_code = "", False
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        if re.fullmatch(r"-{3,}", line):
            continue
        is_code = bool(section == "Examples" and line.strip() and (line.startswith(">>>") or in_code))
        if is_code != in_code:
            yield "```python" if is_code else "```"
            in_code = is_code
        if re.fullmatch(r"-{3,}", following) and line:
            section = line
            yield f"**{line}**"
            yield ""
        elif in_code:
            yield line
        elif section in LISTS and re.match(r"\S", line) and "``" not in line:
            yield from ("", f"`{line}`", "")
        elif section in LISTS and line.startswith("    "):
            lead = ":   " if not lines[i - 1].startswith("    ") else "    "
            yield f"{lead}{_linked(line[4:])}"
        else:
            yield _linked(line)
    if in_code:
        yield "```"


def _linked(line: str) -> str:
    """References as marks that become links, double backticks as single ones, footnotes and citations as text."""
    line = re.sub(r":\w+:`~?([^`]*)`", lambda found: f"\x02{found[1]}\x03", line)
    line = re.sub(r"\[(\d+)\]_", r"[\1]", re.sub(r"^\.\. \[(\d+)\] ", r"[\1] ", line))
    return line.replace("``", "`")


def _with_links(text: str, places: set[str]) -> str:
    """The marks of references as links where the name has a place, else as code."""

    def link(found: re.Match[str]) -> str:
        name = found[1].removeprefix("mme.")
        if name in _OBJECTS:
            return f"[`{found[1]}`](#{_OBJECTS[name]})"
        known = next((one for one in (name, name.rpartition(".")[2], f"Fit.{name}") if one in places), None)
        shown = found[1] if len(found[1].split(".")) < 4 else name.rpartition(".")[2]
        return f"[`{shown}`](#{known})" if known else f"`{shown}`"

    return re.sub("\x02([^\x03]*)\x03", link, text)
