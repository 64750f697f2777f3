"""Edits of saved fits and sums, each refused at load or loaded into what works: ``./run fuzz archives``.

An edit replaces, drops or copies one place of the JSON, or changes kind, shape or values of one array. What is loaded
is asked for all that users ask of a fit; what fails there, or is refused by anything but an MMEError, is a finding.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

import mme
from tests.fuzz.saved import read, saved

# What a place of the JSON is replaced by.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 10**9, 2**70, 0.5, -1e300, "", "x", "REML", "nan", "(Intercept)"),
    *([], [0], ["x"], [[]], {}, {"float": "nan"}, {"float": "inf"}, {"tuple": []}, {"tuple": ["x"]}, {"map": []}),
    *({"array": 0}, {"array": 1}, {"array": 2}, {"objects": ["a"]}, {"objects": []}),
    *({"map": [["x", 1]]}, {"class": "Name", "fields": {"value": "x"}}, {"class": "Name", "fields": {}}),
)
KINDS = ("<f8", "<f4", "<i8", "<i1", "<u2", "?", "<U3", "<M8[D]", "<m8[s]", ">f8", "<f2")


class Finding(NamedTuple):
    """An edit that was neither refused nor harmless."""

    fit: str
    seed: int
    edit: str
    problem: str


class Archive:
    """A saved fit in its parts, which an edit changes."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        with zipfile.ZipFile(path) as file:
            self.head = json.loads(file.read("fit.json"))
            count = len(file.namelist()) - 1
            self.arrays = [np.load(io.BytesIO(file.read(f"arrays/{k}.npy"))) for k in range(count)]

    def edited(self, seed: int) -> tuple[Archive, str]:
        """A copy with one edit, and what it was."""
        rng, other = random.Random(seed), copy.copy(self)
        other.head, other.arrays = copy.deepcopy(self.head), list(self.arrays)
        if self.arrays and rng.random() < 0.35:
            k = rng.randrange(len(self.arrays))
            other.arrays[k], what = _changed(self.arrays[k], rng)
            return other, f"arrays/{k}.npy {self.arrays[k].dtype}{self.arrays[k].shape}: {what}"
        places = list(all_places(other.head["content"], ()))
        parent, key, path = rng.choice(places)
        return other, f"{path} {_edit(parent, key, rng, places)}"

    def write(self, path: Path) -> None:
        """The file."""
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("fit.json", json.dumps(self.head))
            for k, array in enumerate(self.arrays):
                stream = io.BytesIO()
                np.lib.format.write_array(stream, array, allow_pickle=False)
                file.writestr(f"arrays/{k}.npy", stream.getvalue())


def all_places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, Any, str]]:
    """Every place of a JSON structure: what holds it, its key there, and where that is."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield value, key, "/".join(map(str, (*path, key)))
        yield from all_places(item, (*path, item[0] if _is_pair(item) else key))


def _is_pair(item: Any) -> bool:
    return isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)


def _edit(parent: Any, key: Any, rng: random.Random, places: list[tuple[Any, Any, str]]) -> str:
    way = rng.random()
    old = json.dumps(parent[key])[:50]
    if way < 0.15:
        del parent[key]
        return f"= {old} dropped"
    if way < 0.25 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
        return f"= {old} twice"
    source, place, name = rng.choice(places)
    new = copy.deepcopy(source[place]) if way < 0.45 else rng.choice(VALUES)
    if way > 0.9 and isinstance(parent[key], int | float):
        new = rng.choice([-parent[key], parent[key] + 1, parent[key] * 1000, parent[key] / 3])
    parent[key] = new
    return f"= {old} -> {json.dumps(new)[:50]}" + (f" of {name}" if way < 0.45 else "")


def _changed(array: np.ndarray, rng: random.Random) -> tuple[np.ndarray, str]:
    """An array of another kind or shape, or with other values."""
    kind = rng.choice(KINDS)
    ways: dict[str, Callable[[], np.ndarray]] = {
        f"as {kind}": lambda: array.astype(kind),
        "one less": lambda: array[:-1],
        "one more": lambda: np.concatenate([array, array[:1]]),
        "transposed": lambda: np.array(array.T),
        "flat": lambda: array.ravel(),
        "a column": lambda: array.reshape(-1, 1),
        "deeper": lambda: array[None],
        "a number": lambda: array.ravel()[0],
        "empty": lambda: array[:0],
        "zeros": lambda: np.zeros_like(array),
        "reversed": lambda: array[::-1].copy(),
        "one of another sign": lambda: _with(array, rng, lambda x: -x),
        "one huge": lambda: _with(array, rng, lambda x: x * 0 + 10**9),
        "one NaN": lambda: _with(array, rng, lambda x: x * np.nan),
        "one infinite": lambda: _with(array, rng, lambda x: x * 0 + np.inf),
    }
    while True:
        what = rng.choice(list(ways))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return np.asarray(ways[what]()), what
        except (ValueError, TypeError, IndexError, OverflowError):
            continue


def _with(array: np.ndarray, rng: random.Random, change: Callable[[Any], Any]) -> np.ndarray:
    out = array.copy()
    place = rng.randrange(array.size)
    out.flat[place] = change(out.flat[place])
    return out


def outcome(archive: Archive, seed: int, path: Path) -> tuple[str, str]:
    """What became of an edit: ``refused``, ``works`` or ``finding``, and the edit or the problem."""
    edited, what = archive.edited(seed)
    edited.write(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found, asked = read(path, archive.name)
        except mme.MMEError:
            return "refused", what
        except Exception as error:
            return "finding", f"{what}: at load {type(error).__name__}: {error}"
        try:
            asked(found)
        except Exception as error:
            return "finding", f"{what}: then {type(error).__name__}: {str(error)[:100]}"
    return "works", what


def run(edits: int, first: int = 0, only: str = "", told: bool = False) -> tuple[Counter[str], list[Finding]]:
    """So many edits, of all kinds of fit in turn; findings are ``told`` as they come."""
    counts, found = Counter[str](), list[Finding]()
    with TemporaryDirectory() as folder:
        archives = {name: Archive(path) for name, path in saved(Path(folder)).items() if only in name}
        for seed in range(first, first + edits):
            name = list(archives)[seed % len(archives)]
            what, said = outcome(archives[name], seed, Path(folder) / "edited.mme")
            counts[what] += 1
            if what == "finding":
                found.append(Finding(name, seed, *said.split(": ", 1)))
                if told:
                    print(*found[-1], sep=" | ", flush=True)
    return counts, found


def main() -> int:
    """Print the findings; 1 where there are some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("edits", type=int, nargs="?", default=5000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first")
    parser.add_argument("--only", default="", help="kinds of file whose names contain this")
    arguments = parser.parse_args()
    counts, found = run(arguments.edits, arguments.first, arguments.only, told=True)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
