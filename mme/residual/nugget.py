r"""A correlation beside an independent error of each record: R = (1 - nu) C + nu I, nu the nugget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.errors import MMEError
from mme.numeric.differences import slopes
from mme.numeric.scales import logistic
from mme.residual.base import Bound
from mme.residual.bygroup import ByGroup
from mme.tables.names import unlike

# This share of the variance is started as error.
_START = 0.2
# Logits of the nugget at which other valleys may be.
_ELSEWHERE = (-2.0, 1.0)
# Derivatives whose Gram matrix, of unit diagonal, has a smaller eigenvalue are dependent.
_DEPENDENT = 1e-8
# Derivatives of this size are what differences leave of none.
_NOTHING = 1e-10
# Steps of the coordinates towards stronger correlations, which tell lags apart at which weak ones are nothing.
_STRONGER = (0.0, 2.0)
# Records that are looked at for the derivatives, of the largest groups: a few, and more where these do not do.
_FEW, _MOST = 20, 400


def with_nugget(of: Bound) -> Bound:
    """A structure beside errors.

    Raises
    ------
    MMEError
        A variance function, a structure with variances of its own, or one in which the nugget changes nothing that its
        own parameters do not.
    """
    if of.group is None or np.ptp(of.log_sd(of.start() + 1.0)) > 0.0:
        raise MMEError(f"{of.kind}.with_nugget(): the errors stand beside a correlation; say it before the variances")
    found = BoundNugget(of.n, unlike([*of.names, "nugget"]), of.group, of)
    if not found.identified:
        raise MMEError(
            f"{of.kind}.with_nugget(): with one record a place its own parameters ({', '.join(of.names)}) make every "
            "correlation that the nugget makes, so that it cannot be identified; leave the nugget out, or take a "
            "structure with fewer parameters"
        )
    return found


@dataclass(frozen=True, eq=False)
class BoundNugget(ByGroup):
    """A correlation ``of`` with a share of error."""

    of: Bound

    @property
    def kind(self) -> str:
        """The correlation, with a nugget."""
        return f"{self.of.kind} with nugget"

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Coordinates to begin a search: those of the correlation, and a nugget of 0.2."""
        return np.append(self.of.start(residual), np.log(_START / (1.0 - _START)))

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """Those of the correlation, beside a small nugget and a large one."""
        return [np.append(other, logit) for other in self.of.elsewhere(x[:-1]) for logit in _ELSEWHERE]

    def radius(self) -> np.ndarray:
        """How far off a start may be: that of the correlation, and of a share."""
        return np.append(self.of.radius(), 0.5)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """The natural parameters: those of the correlation, and nu."""
        return np.append(self.of.natural(x[:-1]), logistic(x[-1:])[0])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of the correlation, and a share."""
        return (*self.of.bounds, (0.0, 1.0))

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Coordinates of the natural parameters: those of the correlation, and logit(nu)."""
        nugget = np.asarray(natural, dtype=float)[-1:]
        return np.append(self.of.coordinates(np.asarray(natural)[:-1]), np.log(nugget) - np.log1p(-nugget))

    def block(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """R among the records of a group: (1 - nu) C + nu I."""
        share, rest = logistic(x[-1])
        return rest * self.of.covariance(x[:-1], members) + share * np.eye(members.size)

    @cached_property
    def identified(self) -> bool:
        """Whether the derivatives of the correlations by the parameters are independent, at weak or strong ones."""
        largest = np.argsort(-np.bincount(self.codes)[self.codes], kind="stable")

        def independent(x: np.ndarray, among: np.ndarray) -> bool:
            pairs = np.triu_indices(among.size, 1)
            D = slopes(lambda x: self.covariance(x, among)[pairs], x)
            size = np.linalg.norm(D, axis=1)
            if size.min() < _NOTHING:
                return False
            return bool(np.linalg.eigvalsh((D @ D.T) / np.outer(size, size))[0] > _DEPENDENT)

        places = [self.start() + np.linspace(0.05, 0.2, self.k) + stronger for stronger in _STRONGER]
        return any(independent(x, largest[:most]) for most in (_FEW, _MOST) for x in places)
