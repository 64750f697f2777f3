r"""A field of plots as random effects: b ~ N(0, sigma_b^2 K_1 (x) K_2), each factor a chain along a coordinate.

Levels are all places of the grid of each field, those without records too, so that the inverse is the product of
tridiagonal ones,

    K^-1 = Q_1 (x) Q_2,    Q = B'D^-1 B of a chain,    log|K| = sum over axes of (places / places along it) sum log d,

nine entries a plot in two dimensions (Gilmour, Cullis and Verbyla 1997, J. Agric. Biol. Environ. Stat. 2:269-293).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any, ClassVar

import numpy as np

from mme.errors import MMEError
from mme.numeric.decay import Decay
from mme.numeric.limits import limits
from mme.relationship.parametric import Parametric
from mme.relationship.places import BETWEEN, place_labels
from mme.tables.arrays import numbers
from mme.tables.levels import factorise
from mme.tables.spelling import labels_of
from mme.tables.times import as_one

# Coordinates end here: beyond it neighbours are one level but for 1e-8, and what rounding leaves of d shows.
_FARTHEST, _LONGEST = 9.5, 18.0
# There a small field is taken by its root, which keeps all digits, and may go on.
_BY_ROOT = 14.0
# Correlations of neighbours at which a search may begin: of plots that compete too, where signs are free.
_CANDIDATES, _ALTERNATING = (0.3, 0.8), -0.5
# Distances are whole numbers to within this.
_WHOLE = 1e-6
# Places for each record beyond which coordinates make no grid.
_MOST_EMPTY, _FEW = 20, 2000


@dataclass(frozen=True, eq=False)
class Lattice(Parametric):
    """K of a field; made by :func:`lattice`.

    Attributes
    ----------
    fields : (J,) object array
        The field of each level, as text; "" where there is one.
    place : (d, J) array
        Its coordinates; the levels of each field are a whole grid, in any order.
    decays : tuple of Decay
        The correlation along each.
    nugget : bool
        Whether the residuals are the errors beside it of a residual structure.
    """

    fields: np.ndarray
    place: np.ndarray
    decays: tuple[Decay, ...]
    names: tuple[str, ...]
    nugget: bool = False
    trusted: ClassVar[bool] = True

    @cached_property
    def levels(self) -> np.ndarray:  # type: ignore[override]
        """``field:row:col``, or ``row:col`` of one field."""
        return place_labels(self.fields, self.place)

    @cached_property
    def _grids(self) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        """The level at each place of a field's grid, and the places along each axis."""
        found = []
        codes = np.unique(self.fields, return_inverse=True)[1].ravel()
        for code in range(int(codes.max()) + 1):
            members = np.flatnonzero(codes == code)
            along, index = zip(*(np.unique(one[members], return_inverse=True) for one in self.place), strict=True)
            level = np.empty(tuple(one.size for one in along), dtype=np.int64)
            level[tuple(index)] = members
            found.append((level, list(along)))
        return found

    @cached_property
    def _entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column, and by axis (d, nnz) the entry of the chain that each value of K^-1 takes."""
        rows, cols, ids = [], [], []
        sizes = np.array([level.shape for level, _ in self._grids])
        starts = [np.array([0, total]) for total in sizes.sum(axis=0).tolist()]  # of diagonals and of steps, by axis
        for level, _ in self._grids:
            for step in product((0, 1, -1), repeat=level.ndim):
                if step < tuple(0 for _ in step):
                    continue
                here = tuple(slice(max(-s, 0), size - max(s, 0)) for s, size in zip(step, level.shape, strict=True))
                there = tuple(slice(max(s, 0), size + min(s, 0)) for s, size in zip(step, level.shape, strict=True))
                one, other = level[here].ravel(), level[there].ravel()
                rows.append(np.maximum(one, other))
                cols.append(np.minimum(one, other))
                index = np.indices(level[here].shape).reshape(level.ndim, -1)
                ids.append([i + first[int(s != 0)] for i, s, first in zip(index, step, starts, strict=True)])
            starts = [first + np.array([size, size - 1]) for first, size in zip(starts, level.shape, strict=True)]
        return np.concatenate(rows), np.concatenate(cols), np.concatenate([np.array(one) for one in ids], axis=1)

    @cached_property
    def rows(self) -> np.ndarray:  # type: ignore[override]
        """Row of each value of K^-1."""
        return self._entries[0]

    @cached_property
    def cols(self) -> np.ndarray:  # type: ignore[override]
        """Column of each value of K^-1."""
        return self._entries[1]

    def _x(self, x: np.ndarray) -> list[float]:
        """Coordinates within what makes a difference."""
        farthest = _BY_ROOT if 100.0 * self.fields.size**3 <= limits().orthogonal_operations else _FARTHEST
        most = [farthest if decay.kind == "ar1" else _LONGEST for decay in self.decays]
        return [float(np.clip(one, -end, end)) for one, end in zip(x, most, strict=True)]

    def values_at(self, x: np.ndarray) -> np.ndarray:
        """Products along the axes of 1 + sum of rho^2 / d over both steps, and -rho / d."""
        value = np.ones(self.rows.size)
        for a, (decay, at) in enumerate(zip(self.decays, self._x(x), strict=True)):
            diagonals, steps = [], []
            for _, along in self._grids:
                gaps = np.diff(along[a])
                rho, d = decay.correlation(at, gaps), decay.left(at, gaps)
                added = rho * rho / d  # 1 / d = 1 + rho^2 / d
                diagonals.append(1.0 + np.append(0.0, added) + np.append(added, 0.0))
                steps.append(-rho / d)
            value *= np.concatenate([*diagonals, *steps])[self._entries[2][a]]
        return value

    def logdet_at(self, x: np.ndarray) -> float:
        """Sum over axes of log d, each as often as there are lines along the axis."""
        total = 0.0
        for level, along in self._grids:
            for places, decay, at in zip(along, self.decays, self._x(x), strict=True):
                total += level.size / places.size * float(np.log(decay.left(at, np.diff(places))).sum())
        return total

    def root_at(self, x: np.ndarray) -> np.ndarray:
        """Products of those of the chains: L_ij = corr_ij sqrt(d_j), d_j what the place before j leaves of j."""
        root = np.zeros((self.fields.size, self.fields.size))
        for level, along in self._grids:
            whole = np.ones((1, 1))
            for places, decay, at in zip(along, self.decays, self._x(x), strict=True):
                left = np.append(1.0, decay.left(at, np.diff(places)))
                apart = np.abs(np.subtract.outer(places, places))
                whole = np.kron(whole, np.tril(decay.correlation(at, apart)) * np.sqrt(left))
            members = level.ravel()
            root[np.ix_(members, members)] = whole
        return root

    def diagonal_at(self, x: np.ndarray) -> np.ndarray:
        """Ones: the field is stationary."""
        return np.ones(self.fields.size)

    def starts(self) -> np.ndarray:
        """Weak, strong and negative correlation along each axis."""
        each = ((*_CANDIDATES, _ALTERNATING) if decay.kind == "ar1" else _CANDIDATES for decay in self.decays)
        candidates = [[decay.start(rho) for rho in of] for of, decay in zip(each, self.decays, strict=True)]
        return np.array(list(product(*candidates)))

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of each axis."""
        return tuple(decay.bounds for decay in self.decays)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Correlations of neighbours, or ranges."""
        return np.array([decay.natural(at) for decay, at in zip(self.decays, self._x(x), strict=True)])

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Fisher's z, or logarithms."""
        found = [decay.coordinate(float(one)) for decay, one in zip(self.decays, natural, strict=True)]
        return np.array(self._x(np.nan_to_num(found, neginf=-700.0, posinf=700.0)))

    def recognised(self, labels: np.ndarray) -> np.ndarray:
        """The same labels, places written in one way."""
        present = set(self.levels.tolist())
        at = [i for i, label in enumerate(labels.tolist()) if isinstance(label, str) and label not in present]
        found = [(i, self._parted(labels[i])) for i in at]
        known = [(i, parted) for i, parted in found if parted is not None]
        if not known:
            return labels
        out, fields = labels.astype(object), np.empty(len(known), dtype=object)
        fields[:] = [field for _, (field, _) in known]
        out[[i for i, _ in known]] = place_labels(fields, np.array([place for _, (_, place) in known]).T)
        return out

    def extended(self, labels: np.ndarray) -> Lattice | None:
        """With new places of its fields, and what these need for a grid."""
        present = set(self.levels.tolist())
        new = [self._parted(label) for label in map(str, self.recognised(labels).tolist()) if label not in present]
        asked = [one for one in new if one is not None and one[0] in set(self.fields.tolist())]
        asked = [one for one in asked if self._fits(one[1])]
        if not asked:
            return None
        fields, places = [self.fields], [self.place]
        for name in dict.fromkeys(field for field, _ in asked):
            own = self.place[:, self.fields == name]
            added = np.array([place for field, place in asked if field == name]).T
            along = [np.union1d(one, other) for one, other in zip(own, added, strict=True)]
            cells = np.array(np.meshgrid(*along, indexing="ij")).reshape(len(along), -1)
            known = set(map(tuple, own.T.tolist()))
            other = np.array([place for place in cells.T.tolist() if tuple(place) not in known]).T
            fields.append(np.full(other.shape[1], name, dtype=object))
            places.append(other)
        return replace(self, fields=np.concatenate(fields), place=np.concatenate(places, axis=1))

    def _fits(self, place: Sequence[float]) -> bool:
        """Whether a place is a whole number of steps from the others, where distances are."""
        pairs = zip(self.decays, place, self.place[:, 0].tolist(), strict=True)
        return all(decay.kind != "ar1" or abs(one - first - round(one - first)) < _WHOLE for decay, one, first in pairs)

    def _parted(self, label: str) -> tuple[str, list[float]] | None:
        """The field and the coordinates of a label; None where it is none of a place."""
        d = len(self.decays)
        field, *places = ["", *label.split(BETWEEN)] if not self.fields[0] else label.rsplit(BETWEEN, d)
        try:
            return (field, [float(one) for one in places]) if len(places) == d else None
        except ValueError:
            return None


def lattice(
    fields: Any, places: Sequence[Any], kinds: Sequence[str], called: Sequence[str], name: str, *, nugget: bool = False
) -> tuple[np.ndarray, Lattice]:
    """Codes (n,) of the records among the places of a field, and the field.

    Parameters
    ----------
    fields : (n,) labels or None
        Different fields are independent; None: there is one.
    places : sequence of (n,) arrays
        The coordinates.
    kinds : sequence of str
        "ar1" or "exponential", an axis.
    called : sequence of str
        Names of the coordinates.

    Raises
    ------
    MMEError
        A coordinate is missing, does not vary, or has distances that are no whole numbers.

    Examples
    --------
    >>> codes, K = lattice(None, [[1, 1, 2], [1, 2, 2]], ["ar1", "ar1"], ["row", "col"], "plot")
    >>> codes.tolist(), K.levels.tolist(), K.names
    ([0, 1, 3], ['1:1', '1:2', '2:1', '2:2'], ('rho.row', 'rho.col'))
    >>> round(float(np.linalg.inv(K.precision_at(np.arctanh([0.5, 0.2])).toarray())[0, 3]), 12)
    0.1
    """
    read = [numbers(one, f"grouping factor '{name}': {what}") for one, what in zip(places, called, strict=True)]
    n = read[0].size
    codes, found = factorise(np.full(n, "") if fields is None else fields, name)
    labels = labels_of(found)
    decays = []
    for a, (one, kind, what) in enumerate(zip(read, kinds, called, strict=True)):
        if not np.isfinite(one).all():
            raise MMEError(f"grouping factor '{name}': {what} has missing or infinite values; drop those records")
        read[a] = as_one(codes, one)
        decays.append(_decay(codes, read[a], kind, f"grouping factor '{name}': {what}"))
    at = np.empty(n, dtype=np.int64)
    levels, cells = [], []
    total = 0
    for code, label in enumerate(labels):
        members = np.flatnonzero(codes == code)
        along, index = zip(*(np.unique(one[members], return_inverse=True) for one in read), strict=True)
        sizes = tuple(one.size for one in along)
        if np.prod(sizes, dtype=float) > _MOST_EMPTY * members.size + _FEW:
            raise MMEError(
                f"grouping factor '{name}': the coordinates of {members.size:,} records make a grid of "
                f"{' x '.join(map(str, sizes))} places; round them to rows and columns, or take ps() of them"
            )
        at[members] = total + np.ravel_multi_index(index, sizes)
        cells.append(np.array(np.meshgrid(*along, indexing="ij")).reshape(len(sizes), -1))
        levels.append(np.full(cells[-1].shape[1], label, dtype=object))
        total += cells[-1].shape[1]
    words = tuple(f"{decay.word}.{what}" for decay, what in zip(decays, called, strict=True))
    return at, Lattice(np.concatenate(levels), np.concatenate(cells, axis=1), tuple(decays), words, nugget)


def _decay(codes: np.ndarray, places: np.ndarray, kind: str, what: str) -> Decay:
    """The decay along a coordinate with its typical gap."""
    order = np.lexsort((places, codes))
    gaps = np.diff(places[order])[np.diff(codes[order]) == 0]
    gaps = gaps[gaps > 0.0]
    if not gaps.size:
        raise MMEError(
            f"{what} does not differ between the records of any field, so that nothing can be said of correlation "
            "along it; leave that factor out"
        )
    whole = np.rint(gaps)
    if kind == "ar1" and (np.abs(gaps - whole) > _WHOLE).any():
        raise MMEError(f"{what} must be whole numbers of steps; number the places, or write ou() for any distances")
    return Decay(kind, float(np.median(whole if kind == "ar1" else gaps)))
