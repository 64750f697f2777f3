"""A whitening W as one dense matrix a group, read off what it makes of unit vectors: it serves any structure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mme.numeric.memory import require

# Arrays of the size of all unit vectors that are alive at one time.
_COPIES = 3


def dense_by_group(
    whiten: Callable[[np.ndarray], np.ndarray], group: np.ndarray | None, n: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield records (G, s) of the groups of one size s, and their W (G, s, s).

    Groups do not mix, so that row k of the unit vectors has a one at the k-th record of every group: what ``whiten``
    makes of it is column k of every W.

    Parameters
    ----------
    whiten : callable
        W applied to each row of (m, n).
    group : (n,) array or None
        Codes of the groups; None: every record is a group.
    n : int
        Number of records.

    Raises
    ------
    MemoryForecastError
        Groups so long that their matrices would not fit into memory.

    Examples
    --------
    >>> W = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [5.0, 0.0, 3.0]])  # records 0 and 2 are a group
    >>> for members, own in dense_by_group(lambda rows: rows @ W.T, np.array([0, 1, 0]), 3):
    ...     print(members.tolist(), own.tolist())
    [[1]] [[[2.0]]]
    [[0, 2]] [[[1.0, 0.0], [5.0, 3.0]]]
    """
    codes = np.arange(n) if group is None else np.unique(group, return_inverse=True)[1]
    sizes, order = np.bincount(codes), np.argsort(codes, kind="stable")
    longest = int(sizes.max())
    require(
        _COPIES * 8 * longest * n,
        f"the residual structure has a group of {longest:,} records, whose whitening as a matrix takes",
        "; take shorter groups, or give its class colour(), whiten_transposed() and precision_diagonal() of its own",
    )
    first = np.cumsum(sizes) - sizes
    units = np.zeros((longest, n))
    units[np.arange(n) - np.repeat(first, sizes), order] = 1.0
    columns = whiten(units)
    for s in np.unique(sizes).tolist():
        members = order[first[sizes == s, None] + np.arange(s)]
        yield members, columns[:s, members].transpose(1, 2, 0)
