"""Integers in the order in which they first come: a table that grows with them.

Those in a range that is not much wider than their number stand in a table of the range; others are hashed.
"""

from __future__ import annotations

import numpy as np

from mme.numeric.kernels import kernel

# 2^64 divided by the golden ratio, odd: products with it spread over the upper bits (Knuth, vol. 3, 6.4).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# Places of a range for each integer that came, up to which a table of it beats hashing.
_RANGE = 8
# Places of a range for each integer that came, up to which they may be the integers' own; the share of the first range
# that is left free below it, as the next integers may be lower.
_GAPS, _BELOW = 6, 16
# Steps of a loop for each integer.
_STEPS = 8


class Places:
    """Where integers stand among those that came before: 0, 1, ... in the order of first appearance.

    Examples
    --------
    >>> places = Places()
    >>> places.of(np.array([7, -3, 7])).tolist(), places.of(np.array([5, -3])).tolist(), places.keys.tolist()
    ([0, 1, 0], [2, 1], [7, -3, 5])
    """

    def __init__(self) -> None:
        self._keys = np.empty(8, dtype=np.int64)
        self._table = np.zeros(0, dtype=np.int32)
        self._low: int | None = 0  # of the range; None: hashed
        self._bits = 0
        self._came = self.size = 0

    @property
    def keys(self) -> np.ndarray:
        """The integers, by their places."""
        return self._keys[: self.size]

    def of(self, keys: np.ndarray) -> np.ndarray:
        """The places (n,) of these integers, new ones behind the others."""
        keys = np.ascontiguousarray(keys, dtype=np.int64)
        if not keys.size:
            return np.zeros(0, dtype=np.int64)
        self._came += keys.size
        self._make_room(self.size + keys.size)
        if self._low is not None and not self._has_range(int(keys.min()), int(keys.max())):
            self._low = None
            self._hash(self.size + keys.size)
        if self._low is None and 2 * (self.size + keys.size) > self._table.size:
            self._hash(self.size + keys.size)
        found = np.empty(keys.size, dtype=np.int64)
        self.size = self._put(keys, self.size, found)
        return found

    def copy(self) -> Places:
        """Another table with the same places."""
        twin = Places()
        twin.of(self.keys)
        return twin

    def __getstate__(self) -> np.ndarray:
        return self.keys.copy()

    def __setstate__(self, keys: np.ndarray) -> None:
        self.__init__()  # type: ignore[misc]
        self.of(keys)

    def _put(self, keys: np.ndarray, size: int, found: np.ndarray) -> int:
        """Put the keys into the table; the loops are compiled once many came, be it a few at a time."""
        if self._low is not None:
            return int(kernel(put_in_range, _STEPS * self._came)(keys, self._low, self._table, self._keys, size, found))
        slots = ((keys.view(np.uint64) * _GOLDEN) >> np.uint64(64 - self._bits)).view(np.int64)
        return int(kernel(put_hashed, _STEPS * self._came)(keys, slots, self._table, self._keys, size, found))

    def _make_room(self, size: int) -> None:
        if size > self._keys.size:
            more = np.empty(max(size, self._keys.size + self._keys.size // 2), dtype=np.int64)
            more[: self.size] = self.keys
            self._keys = more

    def _has_range(self, low: int, high: int) -> bool:
        """Whether the table has this range, or is made to have it; it is left as it is where that would be too wide."""
        assert self._low is not None
        if self._low <= low and high < self._low + self._table.size:
            return True
        if self.size:
            low, high = min(low, self._low), max(high, self._low + self._table.size - 1)
        if high - low >= _RANGE * max(self._came, 1024):
            return False
        table = np.full(high - low + 1, -1, dtype=np.int32)
        table[self.keys - low] = np.arange(self.size)
        self._low, self._table = low, table
        return True

    def _hash(self, size: int) -> None:
        self._bits = int(2 * size - 1).bit_length()
        self._table = np.full(2**self._bits, -1, dtype=np.int32)
        self._put(self.keys.copy(), 0, np.empty(self.size, dtype=np.int64))


class GappedPlaces(Places):
    """Integers of a narrow range at their distance from its beginning, without a look at a table.

    Some of these places stand for integers that never came. Once the range is not narrow, new integers go behind.

    Examples
    --------
    >>> places = GappedPlaces()
    >>> places.of(np.array([7, 5, 7])).tolist(), places.of(np.array([9])).tolist(), places.keys.tolist()
    ([2, 0, 2], [4], [5, 6, 7, 8, 9])
    >>> places.of(np.array([4, 9, 10**9])).tolist()
    [5, 4, 6]
    """

    def __init__(self) -> None:
        super().__init__()
        self._first = 0
        self._is_narrow = True

    @property
    def keys(self) -> np.ndarray:
        """The integers, by their places."""
        return np.arange(self._first, self._first + self.size) if self._is_narrow else super().keys

    def of(self, keys: np.ndarray) -> np.ndarray:
        """The places (n,) of these integers."""
        keys = keys if keys.dtype.kind == "i" else keys.astype(np.int64)
        if not keys.size or not self._is_narrow:
            return super().of(keys)
        low, high = int(keys.min()), int(keys.max())
        first = self._first if self.size else low - (high - low) // _BELOW
        size = max(high + 1 - first, self.size)
        if low >= first and size <= max(_GAPS * max(self._came + keys.size, 1024), self.size):
            self._first, self.size, self._came = first, size, self._came + keys.size
            return np.subtract(keys, np.int64(first), dtype=np.int64)
        known = self.keys
        self._is_narrow, self.size = False, 0
        super().of(known)
        return super().of(keys)

    def chosen(self, places: np.ndarray) -> Places:
        """The integers at these places alone, which ascend."""
        made = Places()
        if not self._is_narrow or not places.size:
            made.of(self.keys[places])
            return made
        made._keys, made._low = places + self._first, int(places[0]) + self._first
        made._came = made.size = places.size
        made._table = np.full(int(places[-1] - places[0]) + 1, -1, dtype=np.int32)
        made._table[places - places[0]] = np.arange(places.size, dtype=np.int32)
        return made


def put_in_range(keys: np.ndarray, low: int, table: np.ndarray, known: np.ndarray, size: int, found: np.ndarray) -> int:
    """The loop of :meth:`Places.of` over a table of their range; how many keys are known then."""
    for i in range(keys.size):
        at = table[keys[i] - low]
        if at < 0:
            at = size
            table[keys[i] - low] = size
            known[size] = keys[i]
            size += 1
        found[i] = at
    return size


def put_hashed(
    keys: np.ndarray, slots: np.ndarray, table: np.ndarray, known: np.ndarray, size: int, found: np.ndarray
) -> int:
    """The same over hashed keys: each at its slot or at the next free one."""
    last = table.size - 1
    for i in range(keys.size):
        key, slot = keys[i], slots[i]
        while True:
            at = table[slot]
            if at < 0:
                table[slot] = size
                known[size] = key
                found[i] = size
                size += 1
                break
            if known[at] == key:
                found[i] = at
                break
            slot = (slot + 1) & last
    return size
