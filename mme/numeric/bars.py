"""One bar on the error stream for work that goes on: tqdm's where it is installed, in a terminal or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any, TypeVar

from mme.errors import warn

T = TypeVar("T")


def is_watched() -> bool:
    """Whether somebody looks at a bar that is drawn over itself: a terminal, or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class ProgressBar:
    """How far work is: ``done`` of ``total`` steps (None: it is not known how many), and a note beside it.

    It is drawn by tqdm where that is installed, with the time left where the total is known.
    """

    def __init__(self, what: str, total: int | None = None) -> None:
        self.what, self.total, self.began, self.drawn = what, total, monotonic(), 0.0
        made = _tqdm()
        self._tqdm: Any = None if made is None else made(total=total, desc=what, file=sys.stderr)

    def to(self, done: int, note: str = "") -> None:
        """Move to so many steps."""
        if self._tqdm is not None:
            self._tqdm.set_postfix_str(note, refresh=False)
            self._tqdm.update(done - self._tqdm.n)
        elif monotonic() - self.drawn > 0.1 or done == self.total:
            self.drawn = monotonic()
            print(f"\r{text(self.what, done, self.total, self.drawn - self.began, note)} ", end="", file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is, and go to the next line."""
        if self._tqdm is not None:
            self._tqdm.close()
        else:
            print(file=sys.stderr)


def stepped(what: str, names: Sequence[str], shown: bool) -> Iterator[str]:
    """The names, one after another, with a bar of how many are done where it is asked for."""
    if not shown:
        yield from names
        return
    bar = ProgressBar(what, len(names))
    for done, name in enumerate(names):
        bar.to(done, name)
        yield name
    bar.to(len(names))
    bar.close()


def one_by_one(what: str, names: Sequence[str], make: Callable[[str], T], shown: bool) -> dict[str, T]:
    """What is made of each name; with a bar, an interrupt ends it early and keeps what was made, if anything was."""
    made: dict[str, T] = {}
    try:
        for name in stepped(what, names, shown):
            made[name] = make(name)
    except KeyboardInterrupt:
        if not shown or not made:
            raise
        warn(f"interrupted: {what} has {len(made)} of {len(names)} ({', '.join(made)})")
    return made


def text(what: str, done: int, total: int | None, seconds: float, note: str) -> str:
    """A bar as text.

    Examples
    --------
    >>> text("profile", 3, 12, 6.0, "sigma")
    'profile [#######.......................] 3/12, 18 s left, sigma'
    >>> text("fit", 7, None, 2.0, "")
    'fit: 7 steps, 2 s'
    """
    beside = f", {note}" if note else ""
    if total is None:
        return f"{what}: {done} steps, {seconds:.0f} s{beside}"
    filled = 30 * done // total
    left = seconds * (total - done) / max(done, 1)
    return f"{what} [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}, {left:.0f} s left{beside}"


def _tqdm() -> Callable[..., Any] | None:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    made: Callable[..., Any] = tqdm
    return made
