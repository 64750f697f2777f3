"""``./run mutants``: put faults into the source, one at a time in a copy, and print those that no test notices."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from mutants.mutations import Mutation, mutations
from mutants.trying import ROOT, TESTS, USUAL, files, verdicts

EQUIVALENT = Path(__file__).with_name("equivalent.txt")


def equivalent() -> dict[str, str]:
    """Mutations that change no result, with the reason: ``key # reason``, one a line."""
    lines = [line for line in EQUIVALENT.read_text().splitlines() if line and not line.startswith("#")]
    return {key.strip(): reason.strip() for key, _, reason in (line.partition(" ## ") for line in lines)}


def chosen(places: list[str], n: int | None, seed: int) -> list[Mutation]:
    """``n`` of all mutations of the folders or files named, by a seed; None: all of them."""
    paths = [path for place in places for path in (files(place) if place in TESTS else [ROOT / place])]
    found = [m for path in paths for m in mutations(str(path.relative_to(ROOT)), path.read_bytes())]
    known = equivalent()
    random.Random(seed).shuffle(found)
    return [m for m in found if m.key not in known][:n]


def parser() -> argparse.ArgumentParser:
    """The arguments of ``./run mutants``."""
    made = argparse.ArgumentParser("./run mutants", description=__doc__.split(": ", 1)[1])
    made.add_argument(
        "places", nargs="*", default=list(USUAL), help=f"of {', '.join(TESTS)}, or a file; default: {', '.join(USUAL)}"
    )
    made.add_argument(
        "--tests",
        type=lambda said: tuple(said.split(",")),
        default=(),
        help="ask these alone, by commas, about every fault: all of a room beside its own tests in a minute or two",
    )
    made.add_argument("--n", type=int, help="how many (100; with --tests all there are)")
    made.add_argument("--seed", type=int, default=1, help="which (1)")
    made.add_argument("--workers", type=int, default=2, help="processes at a time (2)")
    made.add_argument("--minutes", type=float, default=60.0, help="time after which no more are tried (60)")
    made.add_argument("--killed", action="store_true", help="print the killed ones too, with the test that did it")
    made.add_argument("--list", action="store_true", help="print the mutations and try none")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Try them and print survivors; 1 when more than three in a hundred survive."""
    options = parser().parse_args(arguments)
    n = options.n if options.n is not None or options.tests else 100
    wanted = chosen(options.places, n, options.seed)
    if options.list:
        print(*wanted, sep="\n")
        return 0
    count: Counter[bool | None] = Counter()
    with tempfile.TemporaryDirectory() as place:
        for verdict in verdicts(wanted, options.tests, Path(place), options.workers, options.minutes):
            count[verdict.killed] += 1
            said = f"{verdict.asked} tests, {verdict.seconds:.0f} s"
            if verdict.killed is False:
                print(f"SURVIVED  {verdict.mutation}   ({said})", flush=True)
            elif options.killed:
                print(f"{verdict.killed}  {verdict.mutation}  by {verdict.by} ({said})", flush=True)
            elif sys.stdout.isatty():
                print(f"{count.total()} of {len(wanted)}", end="\r", flush=True)
    tried = count[True] + count[False]
    print(f"{count[False]} of {tried} survived; {count[None]} had no time; seed {options.seed}")
    return int(count[False] > 0.03 * tried)


if __name__ == "__main__":
    sys.exit(main())
