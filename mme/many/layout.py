"""What all responses share, laid out for the compiled loops: one vector of numbers, and where each array begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.many import reduction


@dataclass(frozen=True, eq=False)
class LoopLayout:
    """What all responses share, as ``reduction.py`` takes it: ``numbers`` array after array, ``at`` where each begins.

    ``XX`` (p, p) is X'(I - QQ')X.
    """

    numbers: np.ndarray
    at: np.ndarray
    XX: np.ndarray

    @property
    def width(self) -> int:
        """Sums of a response."""
        at = self.at
        cells = (at[reduction.CELL_AT] - at[reduction.CELL_ZX]) // max(at[reduction.P], 1)
        return int(
            1
            + at[reduction.P]
            + at[reduction.C] * at[reduction.PAIRS] * (1 + at[reduction.P])
            + at[reduction.M]
            + cells
        )

    @classmethod
    def of(cls, counts: list[int], arrays: list[np.ndarray], room: list[int]) -> LoopLayout:
        """Lay the arrays out one after another, in the order of ``reduction.py``, and what an evaluation overwrites."""
        starts = np.concatenate([[0], np.cumsum([a.size for a in arrays])])[:-1]
        rooms = np.concatenate([[0], np.cumsum(room)])
        at = np.concatenate([counts, starts, rooms]).astype(np.int64)
        assert at.size == reduction.PLACES
        return cls(np.concatenate([np.asarray(a, dtype=float).ravel() for a in arrays]), at, arrays[3])
