"""The order of the rooms: each imports only from rooms above it, and outside libraries enter by one door each."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "mme"

# From top to bottom. A room may import those that stand before it, in its own layer or in an earlier one; a new room
# is entered here. ``mme`` is the package itself.
LAYERS = {
    "foundations that know nothing of models": (
        "errors",
        "names",
        "dates",
        "arrays",
        "arguments",
        "lapack",
        "kernels",
        "factor",
        "crossproducts",
        "panels",
        "optimize",
    ),
    "tables, labels and formulas": (
        "syntax",
        "spelling",
        "intake",
        "frame",
        "labels",
        "levels",
        "contrasts",
        "transforms",
        "splines",
        "algebra",
        "bars",
        "columns",
        "evaluate",
        "typical",
        "grouping",
        "order",
        "times",
        "datasets",
        "rows",
    ),
    "relationships among levels": (
        "relationship",
        "parametric",
        "ornstein",
        "pedigree_kernels",
        "inbreeding",
        "parentage",
        "pedigree",
        "genomic",
    ),
    "the model": (
        "terms",
        "axes",
        "covariance",
        "coordinates",
        "residual.base",
        "residual.given",
        "residual.scales",
        "residual.chain",
        "residual.patterns",
        "residual.reading",
        "residual.occasions",
        "residual.ar1",
        "residual.exponential",
        "residual.compound",
        "residual.unstructured",
        "residual.toeplitz",
        "residual.variance",
        "residual.product",
        "residual",
        "unknown_parents",
        "model",
        "along",
        "formula",
    ),
    "one evaluation": (
        "whitening",
        "basis",
        "aliasing",
        "spectrum",
        "blocks",
        "span",
        "orthogonal",
        "absorption",
        "schur",
        "remainder",
        "penalty",
        "engine",
        "pls",
        "criterion",
        "objective",
        "identified",
        "inverse",
        "estimates",
        "gains",
        "information",
        "slopes",
    ),
    "the literal equations": ("equations",),
    "the search": (
        "descents",
        "valleys",
        "start",
        "verdict",
        "saturated",
        "loop",
        "local",
    ),
    "what is asked of a fit": (
        "varcorr",
        "delta",
        "genetics",
        "hat_groups",
        "hat_levels",
        "hat_large",
        "hat",
        "hat_records",
        "influence",
        "scaled",
        "shares",
        "between",
        "effects",
        "shrinkage",
        "smallarea",
        "simulate",
        "prediction_error",
        "joint",
        "draws",
        "inference",
        "inference.nested",
        "inference.compare",
        "inference.contrasts",
        "inference.hypotheses",
        "inference.grid",
        "inference.reference_grid",
        "inference.treatment",
        "inference.anova",
        "inference.differences",
        "inference.units",
        "inference.variance_derivatives",
        "inference.satterthwaite",
        "inference.kenward_roger",
        "inference.predictions",
        "predict",
        "inference.means",
        "inference.natural",
        "inference.whole",
        "inference.wald",
        "inference.slices",
        "inference.held",
        "inference.interpolate",
        "inference.curves",
        "inference.profile",
        "inference.bootstrap",
        "inference.boundary",
        "summary",
        "findings",
        "diagnosis",
        "export",
        "frames",
    ),
    "pictures": (
        "plot.style",
        "plot.caterpillar",
        "plot.groups",
        "plot.profiles",
        "plot.residuals",
        "plot.shrinkage",
        "plot.variance",
        "plot",
        "report",
    ),
    "files": (
        "encoding",
        "archive",
        "store",
    ),
    "the ways in and out": (
        "fit",
        "lmer",
        "restore",
        "sklearn",
        "mme",
        "reading",
        "demo",
        "__main__",
    ),
}
ROOMS = [room for rooms in LAYERS.values() for room in rooms]

# Libraries that one room knows (a package with its rooms); all others ask that room.
DOORS = {
    "sksparse": "factor",
    "nlopt": "optimize",
    "numba": "kernels",
    "matplotlib": "plot",
    "formulaic": "splines",
    "sklearn": "sklearn",
    "scipy.linalg": "lapack",
}
# Too slow or too seldom needed to be loaded with ``import mme``: imported inside the function that uses them.
ON_DEMAND = {"pandas", "polars", "pyarrow", "formulaic", "numba", "matplotlib", "nlopt"}


class Import(NamedTuple):
    """``module`` is imported in ``line``, or ``name`` from it; ``late``: only when a function is called."""

    module: str
    name: str | None
    line: int
    late: bool


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "mme"


FILES = {room_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST, late: bool = False) -> Iterator[Import]:
    """Every import but those for the type checker alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from imports(ast.Module([other], []), late)
        elif isinstance(node, ast.Import):
            yield from (Import(alias.name, None, node.lineno, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from (Import(str(node.module), alias.name, node.lineno, late) for alias in node.names)
        else:
            yield from imports(node, late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def rooms_imported(room: str) -> Iterator[tuple[str, int]]:
    """The rooms that a room imports, by the line."""
    for found in imports(ast.parse(FILES[room].read_text())):
        if found.module.partition(".")[0] != "mme":
            continue
        package = found.module.partition(".")[2]
        inner = f"{package}.{found.name}".strip(".")  # from mme.residual import base
        yield inner if found.name and inner in FILES else package or "mme", found.line


@pytest.mark.parametrize("room", FILES)
def test_every_room_is_in_the_order(room):
    assert room in ROOMS, f"{FILES[room].name} stands outside the order: enter it in LAYERS"


def test_every_room_in_the_order_exists_and_stands_there_once():
    assert [room for room in ROOMS if room not in FILES] == []
    assert len(ROOMS) == len(set(ROOMS))


@pytest.mark.parametrize("room", [room for room in ROOMS if room in FILES])
def test_a_room_imports_only_from_rooms_above_it(room):
    above = set(ROOMS[: ROOMS.index(room)])
    downwards = [f"line {line}: mme.{other}" for other, line in rooms_imported(room) if other not in above]
    assert not downwards, f"mme/{room} imports from below or beside: {', '.join(downwards)}"


def door_of(found: Import) -> tuple[str, str | None]:
    """The library that is imported, and the one room that may do so: that of the longest name which has a door."""
    parts = [*found.module.split("."), *([] if found.name is None else [found.name])]
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next(((name, DOORS[name]) for name in names if name in DOORS), (names[-1], None))


@pytest.mark.parametrize("room", FILES)
def test_outside_libraries_enter_by_their_own_door(room):
    for found in imports(ast.parse(FILES[room].read_text())):
        library, door = door_of(found)
        allowed = door is None or room == door or room.startswith(f"{door}.")
        assert allowed, f"mme/{room}, line {found.line}: only mme/{door} may import {library}"


@pytest.mark.parametrize("room", FILES)
def test_slow_libraries_are_imported_where_they_are_used(room):
    for found in imports(ast.parse(FILES[room].read_text())):
        library = found.module.partition(".")[0]
        assert found.late or library not in ON_DEMAND, f"mme/{room}, line {found.line}: import {library} in a function"


def test_the_outside_imports_nothing_of_the_tests():
    for room in FILES:
        modules = {found.module.partition(".")[0] for found in imports(ast.parse(FILES[room].read_text()))}
        assert not modules & {"pytest", "hypothesis", "mpmath", "dense", "cases", "designs"}


def fresh(code: str) -> Any:
    """What a fresh interpreter prints, read as JSON."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_importing_the_library_loads_no_slow_one():
    loaded = fresh("import json, sys; import mme; print(json.dumps(sorted(sys.modules)))")
    slow = ON_DEMAND | {"scipy.optimize", "scipy.stats", "scipy.interpolate", "sklearn"}
    assert not slow & set(loaded)


def test_importing_the_library_loads_numpy_scipy_and_cholmod_alone():
    """Time to import is what these take: no other library, and of SciPy no part that they do not load themselves."""
    theirs = "numpy, scipy.sparse.linalg, scipy.sparse.csgraph, scipy.linalg.lapack, scipy.special, sksparse.cholmod"
    code = "import json, sys; import {}; print(json.dumps(sorted(sys.modules)))"
    added = set(fresh(code.format("mme"))) - set(fresh(code.format(theirs)))
    assert {name for name in added if name.partition(".")[0] not in {"mme", *sys.stdlib_module_names}} == set()


def test_importing_the_library_enters_no_room_of_what_is_asked_of_a_fit_later():
    modules = fresh("import json, sys; import mme; print(json.dumps(sorted(sys.modules)))")
    loaded = {name.removeprefix("mme.") for name in modules}
    later = {room for layer in ("pictures", "files") for room in LAYERS[layer]}
    later |= {room for room in ROOMS if room.partition(".")[0] in ("inference", "diagnosis", "influence", "formula")}
    later |= {"splines", "transforms", "evaluate", "pedigree", "genomic", "sklearn", "demo"}
    assert later & loaded == set()
