"""What the search found, judged on the criterion's own scale and said in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mme.identifiability.reduced import Reduced
from mme.identifiability.undetermined import Undetermined
from mme.model.problem import Model
from mme.numeric.curvature import Curvature, judged, second_difference
from mme.numeric.kept import deferred
from mme.numeric.newton import ACCEPTED
from mme.numeric.optimize import Minimum
from mme.search.bent import Bent, Place
from mme.search.searched import Searched, growing

# A parameter with this share in a direction that the data leave open is named.
_TAKES_PART = 0.3
# A standard deviation of one response is so many times that of another at the most, where curvatures are compared.
_ALIKE = 3.0
# Parameters from which on a known Hessian saves evaluations.
_SEVERAL = 3
UNBOUNDED = "no finite maximum"
# Why there is no minimum: of the sizes of random effects beside sigma, and of parameters of the residuals.
WITHOUT_BOUND = (
    "there is no minimum: some random effects and the fixed effects fit the response exactly, and the criterion falls "
    "as long as the residual variance goes to zero beside theirs"
)

TO_THEIR_ENDS = (
    "there is no minimum: some records, or sums of them, are fitted exactly beside the others, and the criterion falls "
    "without bound towards the end of the range of {}"
)


ELSEWHERE = (
    "this is not the lowest criterion: elsewhere it falls to {:.6f} and further, as the residual variance goes to zero "
    "beside those of random effects, and has no minimum there"
)
# A criterion that is lower by less is the same.
_LOWER = 1e-4


@dataclass(frozen=True, eq=False)
class Optimum:
    """The optimum of a fit.

    Attributes
    ----------
    theta : (k,) array
        Where the search ended, in the user's units.
    phi : array
        Coordinates of the residual structure, empty without one; ``fit.residual`` has its natural parameters.
    criterion : float
        The REML criterion or ML deviance there.
    evaluations : int
        Evaluations of the criterion, those of the verdict included.
    reason : str
        Why the search stopped.
    boundary : tuple of str
        Components that are zero: variances of zero, sigma among them, correlations of plus or minus one; parameters of
        the residuals that are at an end of what they may be.
    at_bounds : tuple of str
        Parameters that are at a bound of ``bounds=``, and their values.
    ended : tuple of str
        Parameters of the residuals at an end of what they may be, or on their way to it without a minimum.
    gradient : array
        Slope of the criterion by theta and phi, each divided by the square root of its curvature; NaN where given.
    hessian : array
        Second derivatives of the criterion by theta and phi.
    expected_decrease : float
        What one more Newton step would gain on the criterion.
    flat : int
        Directions in which the criterion does not change: the data do not determine them.
    undetermined : tuple of str
        What the data do not determine of the variances, in words, where the design says so
        (:mod:`mme.identifiability.identified`).
    weak : tuple of str
        Parameters that take part in flat directions of which the design says nothing.
    open : array of bool
        Which standard deviations and correlations that is, in the order of theta, and sigma; empty for none.
    falls_to : float
        The lowest criterion that the search saw elsewhere, lower than this and falling further, without a minimum;
        infinite where it saw none.
    verdict : str
        ``"minimum"``, ``"minimum on the boundary"``, ``"flat"``, ``"no finite maximum"`` of the likelihood, ``"not
        converged"`` or ``"given"``.
    """

    theta: np.ndarray
    phi: np.ndarray
    criterion: float
    evaluations: int
    reason: str
    boundary: tuple[str, ...]
    expected_decrease: float
    flat: int
    verdict: str
    gradient: deferred[np.ndarray] = deferred()  # noqa: RUF009  a descriptor
    hessian: deferred[np.ndarray] = deferred()  # noqa: RUF009
    undetermined: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    open: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))
    at_bounds: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    falls_to: float = np.inf

    @property
    def converged(self) -> bool:
        """The criterion cannot be lowered by more than a millionth from here."""
        return self.verdict not in ("not converged", UNBOUNDED)

    @property
    def without_bound(self) -> str:
        """Why there is no minimum, where there is none."""
        return TO_THEIR_ENDS.format(", ".join(self.ended)) if self.ended else WITHOUT_BOUND

    @property
    def elsewhere(self) -> str:
        """That the criterion falls without a minimum elsewhere, below this one; empty where the search saw none."""
        return ELSEWHERE.format(self.falls_to) if self.falls_to < np.inf else ""

    def __str__(self) -> str:
        text = f"{self.verdict} after {self.evaluations} evaluations ({self.reason}), criterion {self.criterion:.6f}"
        if self.boundary:
            text += f"; at the edge: {', '.join(self.boundary)}"
        if self.at_bounds:
            text += f"; at the bound {', '.join(self.at_bounds)}"
        if self.undetermined:
            text += f"; {'; '.join(self.undetermined)}"
        elif self.flat and not (self.boundary or self.at_bounds):
            names = ", ".join(self.weak) or "theta"
            text += f"; flat in {self.flat} direction(s): the data do not determine {names}"
        if self.elsewhere:
            text += f"; {self.elsewhere}"
        if self.verdict == UNBOUNDED:
            part = "residual" if self.ended else "random"
            text += f"; {self.without_bound}: simplify the {part} part"
        elif not self.converged:
            text += (
                f"; one more Newton step promises {self.expected_decrease:.2g}: start elsewhere, rescale the "
                "covariates of the random slopes, or simplify the random part"
            )
        return text


def judge(minimum: Minimum, model: Model, place: Place, searched: Searched, ended: tuple[str, ...] = ()) -> Optimum:
    """Put a minimum found in scaled coordinates of the free parameters, theta in the axes, into the user's terms.

    Of what is estimated and not free the data say nothing: the criterion is flat along it. Parameters of the residuals
    that ``ended`` are not free, and were estimated.
    """
    estimated, free, at = searched.estimated, searched.free, minimum.curvature
    if minimum.settled:  # sizes matter beside one another alone: sigma stands for the largest
        estimated = estimated.copy()
        estimated[np.argmax(np.abs([*place.theta, *place.phi]) * (growing(model) & free))] = False
    zeros = [model.theta_names[j] for j in model.coordinates.at_edge(place.inner * searched.scale[: model.k])]
    flat = at.flat if searched.all_free else at.flat + int((estimated & ~free).sum())
    on_boundary = bool(zeros or ended) or minimum.settled
    verdict = _verdict(minimum, on_boundary, flat, not (searched.estimated.any() or ended))
    bent = Bent(at, searched, place, estimated)
    return Optimum(
        theta=place.theta,
        phi=place.phi,
        criterion=minimum.value,
        evaluations=minimum.evaluations,
        reason=minimum.reason,
        boundary=(*zeros, *(("sigma",) * minimum.settled), *ended),
        expected_decrease=at.expected_decrease,
        flat=flat,
        verdict=verdict,
        gradient=bent.gradient,
        hessian=bent.hessian,
        weak=open_parameters(bent.hessian(), flat, search_names(model)) if verdict == "flat" else (),
        ended=ended,
    )


def curvature_of(optimum: Optimum | None, searched: Searched) -> Curvature | None:
    """The curvature at an optimum by the scaled coordinates of a search; None where it has no definite Hessian there.

    The other way round as :func:`judge`. Of few parameters one by differences takes no longer: None too.
    """
    k, coordinates = searched.model.k, searched.model.coordinates
    if optimum is None or searched.first.size < _SEVERAL:
        return None
    if optimum.verdict != "minimum" or not searched.free.all() or not np.isfinite(optimum.hessian).all():
        return None
    by_axes = np.eye(searched.free.size)
    by_axes[:k, :k] = coordinates.jacobian(optimum.theta)
    at = np.concatenate([coordinates.inner(optimum.theta), optimum.phi])
    back = np.linalg.inv(searched.jacobian(at) @ by_axes)
    ratios = _ratios(searched.x(at), searched.x(searched.first), searched.even)
    hessian = back.T @ optimum.hessian @ back * (ratios[:, None] * ratios)
    if not np.linalg.eigvalsh(hessian).min(initial=1.0) > 0.0:
        return None
    steps = np.sqrt(second_difference(optimum.criterion) / np.diag(hessian))
    return judged(searched.x(at), optimum.criterion, np.zeros(at.size), hessian, np.minimum(steps, 1.0))


def _ratios(there: np.ndarray, here: np.ndarray, even: np.ndarray) -> np.ndarray:
    """Of standard deviations at two points, where they are alike: the Hessian by their logarithms hardly changes."""
    alike = even & (here != 0.0)
    ratios = np.divide(there, here, out=np.ones(here.size), where=alike)
    return np.where((ratios > 1.0 / _ALIKE) & (ratios < _ALIKE), ratios, 1.0)


def search_names(model: Model) -> tuple[str, ...]:
    """Names of what is searched: theta, then the parameters of the residual structure."""
    return (*model.theta_names, *(() if model.residual is None else model.residual.names))


def open_parameters(hessian: np.ndarray, flat: int, names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of these take part in the directions in which the criterion is flattest, as many as are flat.

    Examples
    --------
    >>> open_parameters(np.array([[1.0, 0.0, 0.0], [0.0, 4.0, 2.0], [0.0, 2.0, 1.0]]), 1, ("a", "b", "c"))
    ('b', 'c')
    """
    free = np.isfinite(np.diag(hessian))
    H = hessian[np.ix_(free, free)]
    if not np.isfinite(H).all():
        return ()
    size = np.sqrt(np.abs(np.diag(H)))
    size[size == 0.0] = 1.0
    _, vectors = np.linalg.eigh(H / np.outer(size, size))
    share = np.abs(vectors[:, :flat]).max(axis=1, initial=0.0)
    kept = [name for name, is_free in zip(names, free.tolist(), strict=True) if is_free]
    return tuple(name for name, part in zip(kept, share.tolist(), strict=True) if part > _TAKES_PART)


def _verdict(minimum: Minimum, boundary: bool, flat: int, given: bool) -> str:
    if given:
        return "given"
    if minimum.endless and not minimum.settled:
        return UNBOUNDED
    at = minimum.curvature
    if at.saddle or not at.expected_decrease <= ACCEPTED:
        return "not converged"
    if boundary:
        return "minimum on the boundary"
    return "flat" if flat else "minimum"


def with_undetermined(optimum: Optimum, found: Undetermined) -> Optimum:
    """The same optimum, with what the design says that the data do not determine."""
    return replace(
        optimum,
        flat=max(optimum.flat, found.directions),
        verdict="flat" if optimum.converged else optimum.verdict,
        undetermined=found.sentences,
        weak=(),
        open=np.append(found.parameters, found.sigma),
    )


def beside_a_fall(optimum: Optimum, falls_to: float) -> Optimum:
    """The same optimum, with the criterion to which it falls elsewhere, if that is lower."""
    if optimum.verdict in ("given", UNBOUNDED) or not falls_to < min(optimum.criterion - _LOWER, optimum.falls_to):
        return optimum
    return replace(optimum, falls_to=falls_to)


def of_whole(optimum: Optimum, rest: Reduced) -> Optimum:
    """The optimum of a reduced model as one of the whole: entries left out are zero and have no derivatives (NaN)."""
    names = [rest.whole.theta_names[i] for i in rest.thetas.tolist()]
    own = dict(zip(rest.model.theta_names, names, strict=True))
    return replace(
        optimum,
        reason="no variance is left to search for" if optimum.verdict == "given" else optimum.reason,
        theta=rest.embedded(optimum.theta, 0.0),
        boundary=tuple(own.get(name, name) for name in optimum.boundary),
        gradient=rest.embedded(optimum.gradient, np.nan),
        hessian=rest.embedded(optimum.hessian, np.nan),
    )


def of_reduced(optimum: Optimum, rest: Reduced) -> Optimum:
    """The optimum of the whole model as one of the reduced model: entries that it lacks are left out."""
    names = [rest.whole.theta_names[i] for i in rest.thetas.tolist()]
    own = dict(zip(names, rest.model.theta_names, strict=True)) | {name: name for name in ("sigma", *optimum.ended)}
    at = np.concatenate([rest.thetas, np.arange(rest.whole.k, optimum.gradient.size)])
    return replace(
        optimum,
        theta=optimum.theta[rest.thetas],
        boundary=tuple(own[name] for name in optimum.boundary if name in own),
        gradient=optimum.gradient[at],
        hessian=optimum.hessian[np.ix_(at, at)],
        open=optimum.open[np.append(rest.thetas, rest.whole.k)] if optimum.open.size else optimum.open,
    )
