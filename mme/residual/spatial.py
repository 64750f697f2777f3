"""Correlation by distance in one to three coordinates: exponential, Gaussian, spherical, Matern, and others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.memory import require
from mme.numeric.scales import clipped, logistic
from mme.residual.base import Bound, Column
from mme.residual.bygroup import ByGroup
from mme.residual.distances import KINDS, log_slope, smoothness_slope
from mme.residual.ranges import ENDING, elsewhere, shorter
from mme.residual.reading import Labels, Reader
from mme.residual.rstructure import RStructure
from mme.tables.arguments import is_word
from mme.tables.arrays import as_array, shown
from mme.tables.names import unlike

# A nugget is started at this share, neighbours at the typical distance with this correlation where none is rooted.
_START_NUGGET = 0.2
# 1 - f(h) near zero is of the order of h to this power; else of its square.
_POWERS = {"exponential": 1.0, "spherical": 1.0, "linear": 1.0}
# Smoothness of Matern's correlation unless it is given, and where its search begins.
_SMOOTHNESS = 1.5
# Logarithms of a smoothness that is searched: beyond these the correlation is that of 50, or hardly one.
_LOG_SMOOTHNESS = (-4.0, np.log(50.0))
# Distances that differ by less than this share of them differ by rounding.
_ALIKE = 1e-9
# Arrays of all pairs of a group that are alive at one time.
_COPIES = 6


@dataclass(frozen=True, eq=False, repr=False)
class Spatial(RStructure):
    r"""Correlation by distance: corr(e_i, e_j) = f(d_ij / range) between records of one group.

    | kind | f(h) | nlme | SAS |
    |---|---|---|---|
    | ``"exponential"`` | exp(-h) | ``corExp`` | ``SP(EXP)``, and ``SP(POW)`` with rho = exp(-1 / range) |
    | ``"gaussian"`` | exp(-h^2) | ``corGaus`` | ``SP(GAU)`` |
    | ``"spherical"`` | 1 - 1.5 h + 0.5 h^3, zero beyond 1 | ``corSpher`` | ``SP(SPH)`` |
    | ``"matern"`` | h^nu K_nu(h) 2^(1 - nu) / Gamma(nu) | | ``SP(MATERN)`` |
    | ``"rational quadratic"`` | 1 / (1 + h^2) | ``corRatio`` | |
    | ``"linear"`` | 1 - h, zero beyond 1; one coordinate | ``corLin`` | ``SP(LIN)`` |

    By the Cholesky factor of each group: O(s^3) for s records. On a grid :class:`AR1` times :class:`AR1` is O(s).

    Parameters
    ----------
    kind : str
        As above.
    coordinates : list of one to three columns
        Numbers in one unit: ``["x", "y"]``.
    group : str or (n,) array, optional
        Records of different groups are independent: ``"trial"``, ``"block/plot"``. None: all records are one group.
    nugget : bool
        A share of the variance is an independent error of each record: corr = (1 - nugget) f between different ones.
    isotropic : bool
        One range for all directions; False: a range along each coordinate, d^2 = sum of (difference / range)^2.
    smoothness : float, optional
        nu of Matern's correlation; None: it is estimated.

    Examples
    --------
    >>> R = Spatial("spherical", [[0.0, 3.0, 0.0], [0.0, 4.0, 20.0]]).bind(np.asarray, 3)
    >>> R.covariance(R.coordinates(np.array([10.0])), np.arange(3))
    array([[1.    , 0.3125, 0.    ],
           [0.3125, 1.    , 0.    ],
           [0.    , 0.    , 1.    ]])
    """

    kind: str
    coordinates: Any
    group: Any = None
    nugget: bool = field(default=False, kw_only=True)
    isotropic: bool = field(default=True, kw_only=True)
    smoothness: float | None = field(default=_SMOOTHNESS, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse a kind that is not known."""
        if not is_word(self.kind, tuple(KINDS)):
            raise MMEError(f"Spatial: kind must be one of {', '.join(map(repr, KINDS))}; got {shown(self.kind)}")
        if self.smoothness is None:
            if self.kind != "matern":
                raise MMEError(f"Spatial: smoothness is of kind 'matern', not of '{self.kind}'")
        elif not isinstance(self.smoothness, int | float) or not 0.0 < self.smoothness <= 50.0:
            raise MMEError(f"Spatial: smoothness must be a number between 0 and 50, got {shown(self.smoothness)}")

    def reads(self) -> tuple[Any, ...]:
        """The coordinates and the group."""
        return (*self._axes(), self.group)

    def with_nugget(self) -> RStructure:
        """The same with ``nugget=True``."""
        return replace(self, nugget=True)

    def bind(self, column: Column, n: int) -> Bound:
        """Read the coordinates and groups."""
        reader = Reader("Spatial", column, n)
        groups = Labels(np.zeros(n, dtype=np.int64), ["all"], "field")
        groups = groups if self.group is None else reader.labels(self.group, "group")
        axes = self._axes()
        if not 1 <= len(axes) <= (1 if self.kind == "linear" else 3):
            most = "one, as its correlation is positive definite along a line alone" if self.kind == "linear" else "3"
            raise reader.error(f"{len(axes)} coordinates; give at least one and at most {most}")
        read = [reader.times(axis, "coordinate", groups) for axis in axes]
        reader.require_pairs(groups)
        places, sizes = np.array([values for values, _ in read]), groups.sizes.astype(float)
        require(_COPIES * 8 * int((sizes**2).sum()), f"Spatial: correlations among {int(sizes.max()):,} records take")
        scales = self._scales(reader, groups, places, [title for _, title in read])
        names = ("range",) if self.isotropic else tuple(_range_of(axis, j) for j, axis in enumerate(axes))
        searched = self.smoothness is None
        names = unlike([*names, *["smoothness"] * searched, *["nugget"] * self.nugget])
        nu = _SMOOTHNESS if self.smoothness is None else float(self.smoothness)
        return BoundSpatial(n, names, groups.codes, places, scales, self.kind, self.nugget, nu, searched)

    def _axes(self) -> list[Any]:
        """The coordinates, each by itself."""
        given = self.coordinates
        if isinstance(given, str):
            return [given]
        if hasattr(given, "columns") and hasattr(given, "iloc"):
            return [given.iloc[:, j] for j in range(len(given.columns))]
        if not isinstance(given, list | tuple):
            return list(as_array(given, "Spatial: coordinates").T) if np.ndim(given) == 2 else [given]
        nested = any(isinstance(one, str) or np.ndim(one) == 1 for one in given)
        return list(given) if nested else [given]

    def _scales(self, reader: Reader, groups: Labels, places: np.ndarray, titles: list[str]) -> np.ndarray:
        """The typical distance of neighbours, of all coordinates or along each; and what cannot be identified."""
        distances, between = _distances(groups.codes, places)
        if not self.nugget and (distances == 0.0).any():
            raise reader.error(
                "two records of a group are at one place; average them, or say nugget=True for an error of each record"
            )
        nearest, farthest = distances.min(), distances.max()
        if farthest == 0.0:
            raise reader.error("the coordinates do not differ between the records of any group")
        if self.nugget and farthest - nearest <= _ALIKE * farthest:
            raise reader.error(
                f"all pairs of records are {farthest:g} apart, one record a place: range and nugget cannot be told "
                "apart; leave the nugget out"
            )
        if self.isotropic:
            return np.array([_typical(distances)])
        still = [title for title, one in zip(titles, between, strict=True) if not one.any()]
        if still:
            raise reader.error(f"{still[0]} does not differ within any group, so that it has no range of its own")
        return np.array([_typical(np.abs(one)) for one in between])


def _range_of(axis: Any, j: int) -> str:
    return f"range.{axis if isinstance(axis, str) else getattr(axis, 'name', None) or j + 1}"


def _distances(codes: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the pairs of records of one group, and the differences (d, pairs) of their coordinates."""
    order = np.argsort(codes, kind="stable")
    found = []
    for at in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        i, j = np.triu_indices(at.size, 1)
        found.append(places[:, at[i]] - places[:, at[j]])
    between = np.concatenate(found, axis=1)
    return np.sqrt((between**2).sum(axis=0)), between


def _typical(distances: np.ndarray) -> float:
    """The lower tenth of the distances that are not zero."""
    return float(np.quantile(distances[distances > 0.0], 0.1))


@dataclass(frozen=True, eq=False)
class BoundSpatial(ByGroup):
    """Spatial with its columns read: ``places`` (d, n), ``scales`` of one range or of one along each coordinate.

    A smoothness nu that is ``searched`` stands behind the ranges, which are then searched times the root of 4 nu: how
    far the correlation reaches depends on both.
    """

    places: np.ndarray
    scales: np.ndarray
    of: str
    has_nugget: bool
    smoothness: float
    searched: bool = False

    @property
    def kind(self) -> str:
        """The kind of correlation."""
        beside = " with nugget" if self.has_nugget else ""
        return f"Spatial {self.of}{beside}"

    @property
    def _ranges(self) -> int:
        return self.scales.size

    def _nu(self, x: np.ndarray) -> float:
        """The smoothness."""
        return float(np.exp(np.clip(x[self._ranges], *_LOG_SMOOTHNESS))) if self.searched else self.smoothness

    def _at(self, x: np.ndarray) -> np.ndarray:
        """The ranges."""
        reach = self.scales * np.exp(clipped(x[: self._ranges]))
        return np.asarray(reach / (2.0 * np.sqrt(self._nu(x))) if self.searched else reach)

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """A range of a few typical distances; beside a nugget also others, where the residuals are likelier there."""
        first = np.full(self._ranges, np.log(4.0) if self.of in ("spherical", "linear") else 0.5)
        if self.searched:
            first = np.append(first + 0.5 * np.log(4.0 * self.smoothness), np.log(self.smoothness))
        first = np.append(first, np.log(_START_NUGGET / (1.0 - _START_NUGGET))) if self.has_nugget else first
        if residual is None or not self.has_nugget:  # residuals that hold random effects choose ranges too short
            return first
        return min([first, *shorter(first, self._ranges)], key=lambda x: self._unlikely(x, residual))

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """Ranges from the least distance to many times the typical one; beside a nugget each with several nuggets."""
        return elsewhere(x, self._ranges, self.of, self.has_nugget)

    @property
    def has_valleys(self) -> bool:
        """Of short ranges and of long ones, beside a nugget."""
        return self.has_nugget

    def smooth_within(self, x: np.ndarray) -> np.ndarray:
        """Of a correlation that ends at its range: how far the nearest distance is from it, as a logarithm."""
        found = super().smooth_within(x)
        if self.of in ENDING:
            h, _ = _distances(self.codes, self.places / self._at(x)[:, None])
            found[: self._ranges] = np.abs(np.log(h[h > 0.0])).min()
        return found

    @property
    def intrinsic(self) -> list[np.ndarray]:
        """Ranges grow by one, the nugget falls by the power p of 1 - f(h) near zero."""
        if not self.has_nugget or self.searched:
            return []
        power = min(2.0, 2.0 * self.smoothness) if self.of == "matern" else _POWERS.get(self.of, 2.0)
        return [np.append(np.ones(self._ranges), -power)]

    def _unlikely(self, x: np.ndarray, residual: np.ndarray) -> float:
        """log |R| + n log e'R^-1 e, -2 log likelihood of residuals but for constants; infinite where R is singular."""
        try:
            with np.errstate(all="ignore"):
                return self.logdet(x) + self.n * float(np.log((self.whiten(x, residual[None]) ** 2).sum()))
        except (MMEError, np.linalg.LinAlgError):
            return np.inf

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Ranges, the smoothness if it is searched, and the nugget."""
        nu = [self._nu(x)] * self.searched
        return np.concatenate([self._at(x), nu, logistic(x[self._ranges + self.searched :])[0]])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Ranges are positive, as the smoothness is, the nugget is a share."""
        return ((0.0, np.inf),) * (self._ranges + self.searched) + ((0.0, 1.0),) * int(self.has_nugget)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Logarithms of ranges in typical distances and of the smoothness, logit of the nugget."""
        values = np.asarray(natural, dtype=float)
        ranges, nu, nugget = np.split(values, [self._ranges, self._ranges + self.searched])
        reach = np.log(ranges / self.scales) + 0.5 * np.log(4.0 * nu).sum()
        return np.concatenate([reach, np.log(nu), np.log(nugget) - np.log1p(-nugget)])

    def block(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """f(h), and less than it by the nugget between different records."""
        C = KINDS[self.of](self._h(x, self.places[:, members, None] - self.places[:, None, members]), self._nu(x))
        if self.has_nugget:
            C = float(logistic(x[-1])[1]) * C
        C[np.arange(members.size), np.arange(members.size)] = 1.0
        return np.asarray(C)

    def block_slopes(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """h f'(h), shared among the ranges as these make h^2; f' by differences but for those of exponentials."""
        between = self.places[:, members[:, :, None]] - self.places[:, members[:, None, :]]  # d, G, s, s
        parts = (between / self._at(x)[:, None, None, None]) ** 2
        h, nu = np.sqrt(parts.sum(axis=0)), self._nu(x)
        own = parts.sum(axis=0)[None] if self._ranges == 1 else parts
        out = -log_slope(self.of, h, nu) * own / np.where(h > 0.0, h, 1.0) ** 2
        if self.searched:
            own_slope = smoothness_slope(h, nu) - 0.5 * out.sum(axis=0)
            out = np.concatenate([out, own_slope[None]])
        if not self.has_nugget:
            return np.asarray(out)
        share, rest = logistic(x[-1])
        among = KINDS[self.of](h, nu) * (1.0 - np.eye(members.shape[1]))
        return np.concatenate([rest * out, -share * rest * among[None]])

    def _h(self, x: np.ndarray, between: np.ndarray) -> np.ndarray:
        """Distances in ranges."""
        return np.asarray(np.sqrt(((between / self._at(x)[:, None, None]) ** 2).sum(axis=0)))
