"""One model: agreement first, then paired runs (mme, peer, mme, peer, ...), each in a warm process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers import MME, Peer
from benchmarks.questions import Row, Task
from benchmarks.tables import write_model
from benchmarks.worker import PeerError, Worker

# The criterion is -2 log-likelihood: a thousandth of it is no evidence for anything, whatever its size.
_ABSOLUTE, _RELATIVE = 1e-3, 1e-6
# Small fits are repeated within a run until it takes about this long.
_SECONDS_A_RUN = 0.2
_MOST_A_RUN = 100


class DisagreementError(AssertionError):
    """The criterion of mme is not that of the reference."""


@dataclass(frozen=True)
class Settings:
    """How to measure: pairs a model (None: the model's own), threads, seconds a peer may take for an answer."""

    repeats: int | None = None
    threads: int = 1
    limit: float = 600.0
    quick: bool = False

    def pairs(self, repeats: int) -> range:
        """Pairs that are timed of a model that asks for so many."""
        return range(self.repeats or (1 if self.quick else repeats))

    def times(self, seconds: float) -> int:
        """Fits in a run."""
        return max(1, min(_MOST_A_RUN, round((0.1 if self.quick else 1.0) * _SECONDS_A_RUN / seconds)))


def measure(task: Task, peers: Iterable[Peer], settings: Settings) -> Row:
    """Measure a model alone and beside each peer; all numbers of the row come from this run."""
    with tempfile.TemporaryDirectory() as name:
        folder, described = Path(name), asdict(task)
        del described["table"], described["name"]
        formula = described.pop("formula")
        model = write_model(folder, task.table(), formula, **described)
        kept = ("formula", "method", "text", "aim", "reference", "n", "levels")
        row: Row = {"task": task.name, **{key: model[key] for key in kept}}
        if settings.quick:
            row["aim"] = None
        with Worker(MME, folder, threads=settings.threads, limit=settings.limit) as mine:
            first = mine.ask("fit", method=task.method, times=1)
            _check(first["criterion"], task.reference)
            row["mme"] = {**mine.hello, **first, "first": first["seconds"][0]}
            warm = mine.ask("fit", method=task.method, times=1)["seconds"][0]
            row["peers"] = {peer.name: _beside(mine, warm, peer, model, folder, settings) for peer in peers}
            times = settings.times(warm)
            runs = [mine.ask("fit", method=task.method, times=times) for _ in settings.pairs(task.repeats)]
            row["mme"]["seconds"] = median(median(run["seconds"]) for run in runs)
            row["mme"]["stages"] = {key: median(run["stages"][key] for run in runs) for key in first["stages"]}
            row["evaluation"] = row["mme"]["evaluation"] = _evaluation(mine, row["mme"], settings)
            row["mme"]["after"] = mine.ask("after")
    return row


def _beside(mine: Worker, warm: float, peer: Peer, model: dict[str, Any], folder: Path, settings: Settings) -> Row:
    """Pairs with one peer, or why there are none."""
    if reason := peer.refuses(model):
        return {"skipped": reason}
    try:
        with Worker(peer, folder, threads=settings.threads, limit=settings.limit) as theirs:
            return _pairs(mine, warm, peer, theirs, model, settings)
    except PeerError as error:
        return {"skipped": str(error)}


def _pairs(mine: Worker, warm: float, peer: Peer, theirs: Worker, model: dict[str, Any], settings: Settings) -> Row:
    method = model["method"] if model["method"] in peer.methods else peer.methods[0]
    ours = mine.ask("fit", method=method, times=1)["criterion"]
    first = theirs.ask("fit", method=method, times=1)
    excess = first["criterion"] - ours
    row = {**theirs.hello, **first, "method": method, "excess": excess}
    if peer.referee and model["reference"] is None:
        _check(ours, min(ours, first["criterion"]))
    if abs(excess) > max(_RELATIVE * abs(ours), _ABSOLUTE):
        return {**row, "skipped": f"its criterion is {excess:+.3g} from mme's"}
    turns = [(mine, settings.times(warm)), (theirs, settings.times(first["seconds"][0]))]
    runs = [
        [median(worker.ask("fit", method=method, times=times)["seconds"]) for worker, times in turns]
        for _ in settings.pairs(model["repeats"])
    ]
    row |= {
        "runs": runs,
        "mme_seconds": median(ours for ours, _ in runs),
        "seconds": median(seconds for _, seconds in runs),
        "ratio": median(seconds / ours for ours, seconds in runs),
    }
    row["evaluation"] = _evaluation(theirs, row, settings)
    return row


def _check(criterion: float, reference: float | None) -> None:
    """Assert that mme's criterion is the reference's."""
    if reference is None:
        return
    allowed = min(_RELATIVE * max(abs(reference), 1.0), _ABSOLUTE)
    if not abs(criterion - reference) <= allowed:
        raise DisagreementError(f"mme's criterion {criterion:.9g} is not the reference {reference:.9g}")


def _evaluation(worker: Worker, row: Row, settings: Settings) -> float | None:
    """Seconds of one evaluation of the criterion; None where the peer offers none."""
    expected = row["seconds"] / (row["evaluations"] or 50)
    times = min(_MOST_A_RUN, max(3, settings.times(expected)))
    seconds = worker.ask("evaluate", times=times)["seconds"]
    return median(seconds) if seconds else None
