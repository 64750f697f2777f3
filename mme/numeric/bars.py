"""One bar on the error stream for work that goes on: tqdm's where it is installed, in a terminal or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any, TypeVar

import numpy as np

from mme.errors import MMEError, warn

T = TypeVar("T")
# What the user gives: whether to show a bar, or a function of how many steps are done and of how many there are.
Progress = bool | Callable[[int, int | None], None]


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


def is_shown(progress: Any, of: str = "(done, total)") -> bool:
    """Whether the user asked to be shown how far work is, by a bar or by a function ``of`` these.

    Raises
    ------
    MMEError
        It is no function, and neither True nor False.
    """
    if callable(progress) or isinstance(progress, bool | np.bool_):
        return bool(progress)
    raise MMEError(f"progress must be True, False or a function of {of}, got {progress!r}")


def reporter(what: str, total: int | None, progress: Progress) -> Callable[..., None]:
    """A function of how many steps are done, and of a note: a bar on the error stream, the caller's own, or nothing."""
    if not is_shown(progress):
        return lambda done, note="": None
    if callable(progress):
        return lambda done, note="": progress(done, total)
    bar = ProgressBar(what, total)

    def tell(done: int, note: str = "") -> None:
        bar.to(done, note)
        if done == total:
            bar.close()

    return tell


def stepped(what: str, names: Sequence[str], progress: Progress) -> Iterator[str]:
    """The names, one after another; how many are done is shown where it is asked for."""
    tell = reporter(what, len(names), progress)
    for done, name in enumerate(names):
        tell(done, name)
        yield name
    tell(len(names))


def one_by_one(what: str, names: Sequence[str], make: Callable[[str], T], progress: Progress) -> dict[str, T]:
    """What is made of each name; where it is shown, an interrupt ends it early and keeps what was made, if anything."""
    made: dict[str, T] = {}
    try:
        for name in stepped(what, names, progress):
            made[name] = make(name)
    except KeyboardInterrupt:
        if not is_shown(progress) or not made:
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
    filled = 30 * done // max(total, 1)
    left = seconds * (total - done) / max(done, 1)
    return f"{what} [{'#' * filled}{'.' * (30 - filled)}] {done}/{total}, {left:.0f} s left{beside}"


def _tqdm() -> Callable[..., Any] | None:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    made: Callable[..., Any] = tqdm
    return made
