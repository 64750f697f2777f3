"""The order of the house: the tree in docs/architecture.md is the tree on disk, and imports go upwards in it."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mme"

# Libraries that one place knows (a room, or a folder with its rooms); all others ask it.
DOORS = {
    "sksparse": "numeric.cholmod",
    "nlopt": "numeric.by_values",
    "numba": "numeric.kernels",
    "llvmlite": "numeric.machine_code",
    "scipy.linalg": "numeric.lapack",
    "matplotlib": "plot",
    "docx": "results.word",
    "sklearn": "sklearn",
    "dask": "streaming.dask_frame",
}
# Too slow or too seldom needed to be loaded with ``import mme``: imported inside the function that uses them.
ON_DEMAND = {"pandas", "polars", "pyarrow", "numba", "llvmlite", "matplotlib", "nlopt", "docx", "dask"}


class Import(NamedTuple):
    """``module`` is imported in ``line``, or ``name`` from it; ``late``: only when a function is called."""

    module: str
    name: str | None
    line: int
    late: bool


def room_of(path: Path) -> str:
    """``mme/engine/pls.py`` is the room ``engine.pls``; the package itself is ``__init__``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {room_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
ROOMS = {room: path for room, path in FILES.items() if path.name != "__init__.py" or room == "__init__"}


def drawn() -> list[str]:
    """The rooms that docs/architecture.md draws, in its order."""
    tree = re.search(r"```text\nmme/\n(.*?)```", (ROOT / "docs" / "architecture.md").read_text(), re.DOTALL)
    assert tree is not None
    rooms, folders = [], []
    for line in tree[1].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        words = line.split()
        if depth == 1 and words[0].endswith(".py"):
            rooms.append(words[0].removesuffix(".py"))
        elif words[0].endswith("/"):
            folders = [*folders[: depth - 1], words[0].rstrip("/")]
        else:
            rooms += [".".join([*folders[: depth - 1], word]) for word in words]
    return rooms


def place(room: str) -> str:
    """The folder, or file at the top, in which a room stands."""
    return room.partition(".")[0]


ORDER = list(dict.fromkeys(map(place, drawn())))


def imports(tree: ast.AST, late: bool = False) -> Iterator[Import]:
    """Every import: at the top, inside functions, and for the type checker alone (these are ``late`` too)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from imports(ast.Module([*node.body, *node.orelse], []), True)
        elif isinstance(node, ast.Import):
            yield from (Import(alias.name, None, node.lineno, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from (Import(str(node.module), alias.name, node.lineno, late) for alias in node.names)
        else:
            yield from imports(node, late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


@cache
def imports_of(room: str) -> list[Import]:
    return list(imports(ast.parse(FILES[room].read_text())))


def rooms_imported(room: str) -> Iterator[tuple[str, int]]:
    """The rooms that a room imports, by the line."""
    for found in imports_of(room):
        if found.module.partition(".")[0] != "mme":
            continue
        package = found.module.partition(".")[2]
        inner = f"{package}.{found.name}".strip(".")  # from mme.residual import base
        yield inner if found.name and inner in FILES else package or "__init__", found.line


def test_the_tree_on_the_page_is_the_tree_on_disk():
    assert sorted(drawn()) == sorted(ROOMS)
    assert len(drawn()) == len(set(drawn()))


def test_few_files_stand_outside_the_folders():
    assert len(list(PACKAGE.glob("*.py"))) <= 10


def test_a_folder_imports_only_from_folders_above_it():
    downwards = [
        f"mme/{room}, line {line}: mme.{other}"
        for room in FILES
        for other, line in rooms_imported(room)
        if place(other) not in ORDER[: ORDER.index(place(room)) + 1]
    ]
    assert not downwards, "imports from below"


def test_no_two_rooms_import_each_other_through_any_chain():
    edges = {room: {other for other, _ in rooms_imported(room) if other != room} for room in FILES}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_rooms_below_the_face_do_not_know_it():
    below = [room for room in FILES if place(room) not in {"api", "sklearn", "__init__", "cli"}]
    assert not [room for room in below if "Fit" in {found.name for found in imports_of(room)}]


def test_rooms_are_named_by_imports_and_not_by_strings():
    rooms = [room for room in FILES if room != "__init__"]
    assert not [room for room in rooms if "import_module" in FILES[room].read_text()]


def door_of(found: Import) -> tuple[str, str | None]:
    """The library that is imported, and the one room that may do so: that of the longest name which has a door."""
    parts = [*found.module.split("."), *([] if found.name is None else [found.name])]
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next(((name, DOORS[name]) for name in names if name in DOORS), (names[-1], None))


def test_outside_libraries_enter_by_their_own_door():
    for room in FILES:
        for found in imports_of(room):
            library, door = door_of(found)
            allowed = door is None or room == door or room.startswith(f"{door}.")
            assert allowed, f"mme/{room}, line {found.line}: only mme/{door} may import {library}"


def test_slow_libraries_are_imported_where_they_are_used():
    for room in FILES:
        for found in imports_of(room):
            library = found.module.partition(".")[0]
            assert found.late or library not in ON_DEMAND, f"mme/{room}, line {found.line}: import {library} later"


def test_the_library_imports_nothing_of_the_tests():
    of_tests = {"pytest", "hypothesis", "mpmath", "dense", "cases", "designs"}
    imported = {(room, found.module.partition(".")[0]) for room in FILES for found in imports_of(room)}
    assert not [(room, module) for room, module in imported if module in of_tests]


@cache
def fresh(code: str) -> Any:
    """What a fresh interpreter prints, read as JSON."""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


# The doors through which most come in.
ENTERED = "import json, sys; import mme; mme.lmer, mme.fit, mme.Term, mme.solve; print(json.dumps(sorted(sys.modules)))"


def test_importing_the_library_imports_nothing_but_its_names():
    loaded = fresh("import json, sys; import mme; print(json.dumps(sorted(sys.modules)))")
    assert [name for name in loaded if name.partition(".")[0] == "mme"] == ["mme", "mme.errors", "mme.version"]
    assert {"numpy", "scipy", "pandas"} & set(loaded) == set()


def test_every_public_name_is_found_and_one_that_is_none_is_missed():
    code = (
        "import json, mme; print(json.dumps([mme.__all__, dir(mme), [getattr(mme, n).__name__ for n in mme.__all__]]))"
    )
    named, listed, found = fresh(code)
    assert named == sorted(named) == found
    assert set(named) < set(listed)
    missing = "import json, mme\ntry: mme.lmerr\nexcept AttributeError as error: print(json.dumps(str(error)))"
    assert fresh(missing) == "module 'mme' has no attribute 'lmerr': did you mean 'lmer'?"


def test_entering_the_library_loads_no_slow_one():
    loaded = fresh(ENTERED)
    slow = ON_DEMAND | {"scipy.optimize", "scipy.stats", "scipy.interpolate", "sklearn", "sksparse"}
    assert not slow & set(loaded)


# Sixty records, as a mapping, by all that a fit is.
SMALL = """
import json, sys, numpy as np, mme
g = np.repeat(np.arange(10), 6)
table = {"y": (g + np.arange(60)) % 7.0, "x": np.arange(60) % 11.0, "g": g.astype(str)}
made = mme.lmer("y ~ x + (1 | g)", table), mme.glmer("y ~ x + (1 | g)", table, family="poisson")
print([one.criterion for one in made], file=sys.stderr)
print(json.dumps(sorted(sys.modules)))
"""


def test_a_fit_of_a_mapping_of_arrays_loads_no_library_of_tables():
    assert not {"pandas", "pyarrow", "polars"} & set(fresh(SMALL))


def test_entering_the_library_loads_numpy_and_scipy_alone():
    """Time to enter is what these take: no other library, and of SciPy no part that they do not load themselves."""
    theirs = "numpy, scipy.sparse.linalg, scipy.sparse.csgraph, scipy.linalg.lapack, scipy.special"
    code = "import json, sys; import {}; print(json.dumps(sorted(sys.modules)))"
    added = set(fresh(ENTERED)) - set(fresh(code.format(theirs)))
    assert {name for name in added if name.partition(".")[0] not in {"mme", *sys.stdlib_module_names}} == set()


def test_entering_the_library_enters_no_room_of_what_is_asked_of_a_fit_later():
    modules = fresh(ENTERED)
    loaded = {place(name.removeprefix("mme.")) for name in modules if name.startswith("mme.")}
    assert loaded & {"formula", "inference", "diagnosis", "prediction", "plot", "files", "sklearn", "cli"} == set()


def test_files_of_tests_have_names_of_their_own():
    names = Counter(file.name for file in (Path(__file__).parent).rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []  # pytest collects but one of each name


def test_tests_patch_nothing_of_the_package_that_is_private():
    """They choose by argument, or by the limits of ``mme.numeric.limits.within``."""
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
                words = [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
                patched = any(str(word).startswith(("mme.", "_")) for word in words)
            else:
                targets = node.targets if isinstance(node, ast.Assign) else []
                names = [target.attr for target in targets if isinstance(target, ast.Attribute)]
                patched = any(name.startswith("_") and name.isupper() for name in names)
            if patched:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found
