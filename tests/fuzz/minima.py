"""How often the search ends above the lowest minimum that many starts of a dense oracle find: ``./run fuzz minima``.

A problem counts as above where the library's own criterion is lower by more than 1e-4 at the oracle's theta.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import process_time

import numpy as np

import mme
from fuzz.oracle import FARTHEST, Dense, dense, further, lowest
from fuzz.problems import problem

ABOVE = 1e-4
# Towards a response without residuals the criterion falls by 2 log(10) a degree of freedom for ten times theta.
FALL = 1.0
# From here on the oracle's V has few digits left.
FAR = 1e3


@dataclass(frozen=True)
class Outcome:
    """What became of one problem: ``gap`` above the lowest known criterion, None where there is nothing to compare."""

    number: int
    text: str
    what: str
    gap: float | None = None
    evaluations: int = 0
    verdict: str = ""


def outcome(number: int, starts: int = 40) -> Outcome:
    """Fit one problem and compare."""
    given = problem(number)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mme.MMEWarning)
            fit = mme.lmer(given.formula, given.table, **given.options)
    except mme.MMEError as error:
        return Outcome(number, str(given), f"refused: {_kind(str(error))}")
    oracle = dense(fit.internals.model)
    theta = _lowest_of(fit, oracle, starts)
    if theta is None:
        return Outcome(number, str(given), "the lowest criterion is at infinity", None, *_found(fit))
    gap = fit.criterion - fit.internals.objective(oracle.users(theta))
    what = "above" if gap > ABOVE else "oracle above" if gap < -ABOVE else "equal"
    return Outcome(number, str(given), what, gap, *_found(fit))


def _found(fit: mme.Fit) -> tuple[int, str]:
    return fit.optimum.evaluations, fit.optimum.verdict


def _lowest_of(fit: mme.Fit, oracle: Dense, starts: int) -> np.ndarray | None:
    """Where the oracle's criterion is lowest; None where it is so at infinity.

    Where that is below the fit, four times as many starts say whether it is a saddle on the way further down.
    """
    value, theta = lowest(oracle, starts)
    if fit.criterion - fit.internals.objective(oracle.users(theta)) > ABOVE:
        value, theta = min((value, theta), lowest(oracle, 4 * starts, seed=1), key=lambda found: found[0])
    return None if _at_infinity(fit, oracle, theta) else theta


def _at_infinity(fit: mme.Fit, oracle: Dense, theta: np.ndarray) -> bool:
    """Whether the criterion has no lowest value: it falls at ten and at a hundred times theta, or descents there do."""
    multiples = np.array([1.0, 10.0, 100.0]) * (0.01 if np.abs(theta).max() > FAR else 1.0)
    values = [fit.internals.objective(oracle.users(multiple * theta)) for multiple in multiples.tolist()]
    if (np.diff(values) < -FALL).all():
        return True
    if not fit.criterion - min(values) > ABOVE:
        return False
    values = []
    for decades in (1.0, 10.0, 100.0):
        value, theta = further(replace(oracle, farthest=decades * FARTHEST), theta)
        values.append(value)
    return bool((np.diff(values) < -FALL).all())


def _kind(message: str) -> str:
    """A message without the names and numbers in it."""
    for what in ("one level", "as many levels as", "random effects for", "exactly", "zero in every record"):
        if what in message:
            return what
    return message[:80]


def run(numbers: Sequence[int], starts: int, failures: str | None, every: int) -> Iterator[str]:
    """Lines of a report; ``failures`` is a file for the problems that end above."""
    seen: list[Outcome] = []
    began = process_time()
    for number in numbers:
        seen.append(outcome(number, starts))
        if seen[-1].what == "above":
            last = seen[-1]
            line = f"{last.text}: above by {last.gap:.6g} ({last.verdict}, {last.evaluations} evaluations)"
            yield line
            if failures is not None:
                with open(failures, "a") as file:
                    file.write(line + "\n")
        if len(seen) % every == 0:
            yield f"... {len(seen)} of {len(numbers)}, {process_time() - began:.0f} s of one core"
    yield from report(seen)


def report(seen: Sequence[Outcome]) -> Iterator[str]:
    """What happened, in numbers."""
    compared = [one for one in seen if one.gap is not None]
    above = [one.gap for one in compared if one.gap is not None and one.gap > ABOVE]
    evaluations = [one.evaluations for one in compared]
    yield f"{len(seen)} problems, {len(compared)} compared"
    for what, count in Counter(one.what for one in seen).most_common():
        yield f"  {count:6d} {what}"
    if above:
        sizes = f"{min(above):.3g} to {max(above):.3g}, median {np.median(above):.3g}"
        yield f"above by {sizes}: {len(above)} of {len(compared)}"
        verdicts = Counter(one.verdict for one in compared if one.what == "above")
        yield "  their verdicts: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    if evaluations:
        mean, median = np.mean(evaluations), np.median(evaluations)
        yield f"evaluations: mean {mean:.1f}, median {median:.0f}, most {max(evaluations)}"


def main() -> int:
    """Run from the command line; fails where a search ended above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5000, help="how many problems")
    parser.add_argument("--first", type=int, default=0, help="the number of the first")
    parser.add_argument("--starts", type=int, default=40, help="descents of the oracle")
    parser.add_argument("--failures", help="file to add the problems to that end above")
    parser.add_argument("--every", type=int, default=250, help="say how far it is after so many")
    given = parser.parse_args()
    above = 0
    for line in run(range(given.first, given.first + given.n), given.starts, given.failures, given.every):
        above += ": above by " in line
        print(line, flush=True)
    return int(above > 0)


if __name__ == "__main__":
    raise SystemExit(main())
