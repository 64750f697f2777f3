r"""Average effects on the mean: what a column does to it, averaged over records.

    A = (1/n) sum_i m(x_i),    m = mu(eta_i), or its integral over b, or the probability of a category,

is taken with a column as it is moved: of a number the slope dA/dx, of a factor A at a level less A at the first, every
record put there (risk differences; or ratios). Standard errors are by the delta method, from the joint covariance of
theta, beta and the family's own parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.formula.specification import Specification
from mme.formula.syntax import names_in
from mme.generalised.marginal import MeanOfEta, marginal_means
from mme.inference.fixed.generalised_means import averages_over_b
from mme.inference.fixed.reference import two_sided
from mme.inference.fixed.z_tables import with_limits
from mme.prediction.generalised import prior_variance, variance_slope
from mme.prediction.rows import PredictedRows, coded_rows, given_rows
from mme.results.mean_of_eta import means_of
from mme.tables.arguments import names_of
from mme.tables.column import Factor
from mme.tables.frame import Frame
from mme.tables.spelling import labels_of

if TYPE_CHECKING:
    import pandas as pd

# Half the width of a difference, in standard deviations of a column; and of parameters of the family.
_STEP, _STEP_OF_TAU = 1e-4, 1e-5


@dataclass(frozen=True, eq=False)
class Average:
    """A and its slope (m,) by the free parameters, or by beta (p,) where their joint covariance is not known."""

    value: float
    slope: np.ndarray

    def minus(self, other: Average, width: float = 1.0) -> Average:
        """A difference, over a width."""
        return Average((self.value - other.value) / width, (self.slope - other.slope) / width)

    def over(self, other: Average) -> Average:
        """The logarithm of a ratio."""
        ratio = float(np.log(self.value / other.value))
        return Average(ratio, self.slope / self.value - other.slope / other.value)


@dataclass(frozen=True, eq=False)
class OverRecords:
    """OverRecords over the records of a table, of one function of eta, with random effects of zero or averaged over."""

    fit: GeneralisedFitted
    mean: MeanOfEta
    average: bool

    @cached_property
    def covariance(self) -> np.ndarray | None:
        """That of the free parameters among theta, gamma and tau; None where gamma is not among them, or it is none."""
        k, p = self.fit.model.k, self.fit.basis.kept.size
        whole = self.fit.searched.free[k : k + p].all()
        return self.fit.estimates.joint_cov if whole else None

    def at(self, frame: Frame) -> Average:
        """Over the rows that miss nothing."""
        rows = self._rows(frame)
        X, offset = rows.X[:, self.fit.basis.kept], rows.offset
        estimates = self.fit.estimates
        eta = X @ estimates.beta + (0.0 if offset is None else offset)
        known = np.isfinite(eta)
        if not known.any():
            raise MMEError("no row of the data has all columns of the fixed part")
        eta, X = eta[known], X[known]
        variance = np.zeros(eta.size)
        if self.average:
            variance = prior_variance(self.fit, rows, self.fit.searched.at.at.theta)[known]
        found = marginal_means(self.mean, eta, variance, estimates.tau)
        by_beta = found.by_eta @ X / eta.size
        if self.covariance is None:
            return Average(float(found.mean.mean()), by_beta)
        free, k = self.fit.searched.free, self.fit.model.k
        theta = [
            float(found.by_variance @ variance_slope(self.fit, rows, j)[known]) / eta.size if self.average else 0.0
            for j in np.flatnonzero(free[:k]).tolist()
        ]
        by_gamma = by_beta @ estimates.problem.beta_of_gamma
        by_tau = np.array(self._by_tau(eta, variance))[free[k + by_gamma.size :]]
        return Average(float(found.mean.mean()), np.concatenate([theta, by_gamma, by_tau]))

    def se(self, of: Average) -> float:
        """Its standard error."""
        V = self.fit.estimates.beta_cov if self.covariance is None else self.covariance
        with np.errstate(invalid="ignore"):
            return float(np.sqrt(of.slope @ V @ of.slope))

    def _by_tau(self, eta: np.ndarray, variance: np.ndarray) -> list[float]:
        """By the family's own parameters, of which a mean may depend."""
        tau, out = self.fit.estimates.tau, []
        for step in _STEP_OF_TAU * np.eye(tau.size):
            ends = [marginal_means(self.mean, eta, variance, tau + sign * step).mean.mean() for sign in (1.0, -1.0)]
            out.append(float(ends[0] - ends[1]) / (2.0 * _STEP_OF_TAU))
        return out

    def _rows(self, frame: Frame) -> PredictedRows:
        chosen = tuple(range(len(self.fit.model.terms))) if self.average else ()
        given = given_rows(self.fit, frame, chosen, labels=False)
        given = replace(given, groups=[(replace(one, codes=one.codes * 0 - 1), z) for one, z in given.groups])
        return coded_rows(self.fit.model, given, chosen, self.fit.model.terms, "population")


def average_effects(
    fit: GeneralisedFitted, data: Any, columns: str | Sequence[str], *, random: Any, ratio: bool, level: float
) -> pd.DataFrame:
    """``estimate, se, z, p, lower, upper`` by column and contrast, and by category of ordered ones.

    Raises
    ------
    MMEError
        The fit has no formula, or a column no part in it, or no ratio.
    """
    import pandas as pd
    from scipy.special import ndtri

    if fit.specification is None or fit.model.unknown_parents:
        raise MMEError("average effects take a fit by a formula: without one columns have no names to be moved by")
    average = averages_over_b(random)
    frame = data if isinstance(data, Frame) else Frame(data)
    means = means_of(fit)
    index, found = [], []
    for name in _asked(fit.specification, columns, frame):
        for contrast, first, second, width in _moves(fit.specification, frame, name, ratio):
            for category, mean in means.items():
                averages = OverRecords(fit, mean, average)
                ends = averages.at(first), averages.at(second)
                one = ends[0].over(ends[1]) if ratio else ends[0].minus(ends[1], width)
                index.append((name, contrast, *((category,) if len(means) > 1 else ())))
                found.append((one.value, averages.se(one)))
    names = ["column", "contrast", *(["category"] if len(means) > 1 else [])]
    estimate, se = np.array(found).reshape(-1, 2).T
    df = np.full(se.size, np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        z = estimate / se
    table = pd.DataFrame(
        {"estimate": estimate, "se": se, "df": df, "t": z, "p": two_sided(z, df)},
        index=pd.MultiIndex.from_tuples(index, names=names),
    )
    return with_limits(table, float(ndtri(0.5 + 0.5 * level)), "ratio" if ratio else None)


def _asked(spec: Specification, columns: str | Sequence[str], frame: Frame) -> list[str]:
    """The columns, all of the fixed part by default; the data must have them."""
    own = list(dict.fromkeys(name for node in spec.fixed.variables for name in sorted(names_in(node))))
    asked = names_of(columns, "columns")
    for name in asked:
        if name not in own:
            raise MMEError(f"'{name}' has no part in the fixed effects, which are of {', '.join(own) or 'no column'}")
    for name in asked or own:
        if name not in frame:
            raise MMEError(f"the data have no column '{name}'; give the table with all columns that the formula names")
    return asked or own


def _moves(spec: Specification, frame: Frame, name: str, ratio: bool) -> Iterator[tuple[str, Frame, Frame, float]]:
    """Yield what is compared: its name, the table moved to both ends, and the width between them."""
    column = frame.column(name)
    if isinstance(column, np.ndarray):
        values = np.unique(column[~np.isnan(column)])
        if any(names_in(node) == {name} for node in spec.codings) or np.isin(values, (0.0, 1.0)).all():
            for value in values[1:]:
                ends = [frame.with_column(name, np.full(frame.n, end)) for end in (value, values[0])]
                yield f"{value:g} - {values[0]:g}", ends[0], ends[1], 1.0
            return
        if ratio:
            raise MMEError(f"'{name}' is a number: its effect is a slope, which has no ratio; ratio=True is of factors")
        step = _STEP * float(np.nanstd(column))
        yield "slope", frame.with_column(name, column + step), frame.with_column(name, column - step), 2.0 * step
        return
    if not isinstance(column, Factor):
        raise MMEError(f"'{name}' is several columns side by side: effects are of one")
    labels = labels_of(column.categories)
    coded = next((list(coding.labels) for node, coding in spec.codings.items() if names_in(node) == {name}), [])
    present = set(np.unique(column.codes[column.codes >= 0]).tolist())
    order = [j for j in sorted(range(len(labels)), key=lambda j: _place(labels[j], coded)) if j in present]
    for j in order[1:]:
        ends = [frame.with_column(name, replace(column, codes=np.full(frame.n, end))) for end in (j, order[0])]
        yield f"{labels[j]} - {labels[order[0]]}", ends[0], ends[1], 1.0


def _place(label: str, coded: list[str]) -> tuple[int, str]:
    """Where a level stands: as in the coding of the fit, others behind by name."""
    return (coded.index(label), "") if label in coded else (len(coded), label)
