"""The API reference: every public name is in it, and what a docstring says of parameters is true."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import mme
from mme.plot import GeneralisedPlots, Plots

spec = importlib.util.spec_from_file_location("reference", Path(__file__).parents[2] / "docs" / "reference.py")
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

FUNCTIONS = {f"mme.{name}": getattr(mme, name) for name in mme.__all__ if inspect.isfunction(getattr(mme, name))}
CLASSES = {f"mme.{name}": getattr(mme, name) for name in mme.__all__ if inspect.isclass(getattr(mme, name))}
METHODS = {
    f"{part.__name__}.{name}": value
    for part in (
        *mme.Fit.__mro__[:-1],
        *reference.RESULTS,
        *mme.GeneralisedFit.__mro__[:-1],
        mme.MixedModelEquations,
        mme.EquationsSolution,
        mme.Pedigree,
    )
    for name, value in reference.members(part).items()
}


def documented(value) -> list[str]:
    """The names of the section Parameters, in order."""
    doc = inspect.getdoc(value) or ""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-{3,}|\Z)", doc, re.DOTALL | re.MULTILINE)
    if section is None:
        return []
    heads = [line.partition(" :")[0] for line in section[1].splitlines() if re.match(r"[\w*]", line)]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def test_every_public_name_is_on_a_page():
    text = "\n".join(reference.pages().values())
    for name in {*mme.__all__} - {"Fit", "GeneralisedFit"}:
        assert f"## mme.{name}" in text
    for kind, page in ((mme.Fit, "fit-object.md"), (mme.GeneralisedFit, "generalised-fit-object.md")):
        shown = set(re.findall(r"^### fit\.(\w+)", reference.pages()[page], re.MULTILINE))
        assert shown == {name for name in dir(kind) if not name.startswith("_")} - {"made_by"}
    for kind in (Plots, GeneralisedPlots):
        for name in reference.members(kind):
            assert f"### fit.plot.{name}\n" in text


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES, *METHODS])
def test_public_names_say_what_they_are(name):
    value = (FUNCTIONS | CLASSES | METHODS)[name]
    doc = inspect.getdoc(value)
    assert doc, name
    first = doc.split("\n\n")[0]
    assert len(first) > 15 or "\n" in doc, f"{name}: {first!r} is no sentence"
    assert not re.match(r"(The same|Likewise|As above|That of|Those of|Ditto)\b", first), f"{name} needs its neighbour"


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_parameters_that_are_described_are_those_of_the_signature(name):
    value = (FUNCTIONS | METHODS)[name]
    target = getattr(value, "__func__", getattr(value, "func", getattr(value, "fget", value)))
    listed = documented(value)
    if listed:
        own = [parameter for parameter in inspect.signature(target).parameters if parameter not in ("self", "cls")]
        assert set(listed) <= set(own), f"{name} describes {sorted(set(listed) - set(own))}, which it does not take"


def test_sections_examples_and_references_become_markdown():
    text = "\n".join(reference.pages().values())
    assert "-----" not in text
    assert ":meth:" not in text
    assert len(re.findall(r"^```", text, re.MULTILINE)) % 2 == 0
    assert "[`Fit.coefficients`](#Fit.coefficients)" in text
    assert re.search(r"^`newdata : .*`$\n\n:   ", text, re.MULTILINE)
    places = re.findall(r"^\(([\w.-]+)\)=$", text, re.MULTILINE)
    assert len({place.lower() for place in places}) == len(places)
    assert set(re.findall(r"\]\(#([\w.-]+)\)", text)) <= set(places)
