"""The loop, and ``Fit``: the frozen result with everything that can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.covariance.structures import Extended
from mme.engine.aliasing import Aliasing, aliasing
from mme.engine.objective import Objective
from mme.engine.plan import Engine
from mme.errors import MMEError
from mme.fitted.effects import conditional_covariance, effects, error_covariance
from mme.fitted.local import Local, local
from mme.fitted.varcorr import Component, VarCorr
from mme.identifiability.identified import without_held
from mme.model.problem import Model, build_model
from mme.model.term import Term
from mme.results.shrinkage import shrinkage_table
from mme.results.simulate import simulate_responses
from mme.results.summary import summary_html, summary_text
from mme.search.loop import Progress, search
from mme.search.verdict import Optimum, of_reduced
from mme.solution.estimates import Estimates
from mme.tables.arguments import check_options, is_word, yes_or_no
from mme.tables.arrays import numbers, shown
from mme.tables.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

    from mme.diagnosis.hat import Hat
    from mme.inference.fixed.kenward_roger import KenwardRoger
    from mme.inference.fixed.satterthwaite import Satterthwaite
    from mme.inference.intervals.bootstrap import Bootstrap
    from mme.inference.intervals.curves import Profile
    from mme.plot import Plots


# Options of confint by its method.
_INTERVALS: dict[str, tuple[str, ...]] = {
    "wald": (),
    "profile": ("parameters",),
    "bootstrap": ("n", "seed", "workers", "progress", "kind"),
}


class Later:
    """A method that lives in a room of what people do after a fit, imported when it is first asked for."""

    def __init__(self, room: str, name: str) -> None:
        self.room, self.name = room, name

    def __get__(self, fit: Fit | None, owner: type) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(import_module(self.room), self.name)
        return function if fit is None else MethodType(function, fit)


@dataclass(frozen=True, eq=False, repr=False)
class Fit:
    """A fitted mixed model. Made by :func:`mme.fit` and :func:`mme.lmer`.

    Attributes
    ----------
    model : Model
        The checked problem.
    theta : (k,) array
        Parameters of the relative covariance factors, in lme4's order; ``theta_names`` names them.
    optimum : Optimum
        What the search found and how it is judged.
    rows : Rows
        Which of the user's rows were used.
    formula : str or None
        The formula, when there was one.

    Notes
    -----
    Three variances are kept apart: :attr:`se` is of the fixed effects; :meth:`condvar` is var(b | y) with beta held
    at its estimate (lme4's ``condVar``); :meth:`pev` is var(b_hat - b), the uncertainty of beta included.
    """

    model: Model
    theta: np.ndarray
    optimum: Optimum
    objective: Objective
    rows: Rows
    progress: Progress = False
    formula: str | None = None
    specification: Any = None

    # -- the estimates ------------------------------------------------------------------------------------------

    @cached_property
    def estimates(self) -> Estimates:
        """The numbers behind the tables, as plain arrays."""
        return Estimates(self.objective, self.theta)

    @property
    def theta_names(self) -> tuple[str, ...]:
        """Names of theta: ``g.x`` a standard deviation, ``g.x2.x1`` an off-diagonal entry of T."""
        return self.model.theta_names

    @property
    def fixed_names(self) -> tuple[str, ...]:
        """Names of the fixed effects that are estimated."""
        return tuple(self.model.x_names[j] for j in self.objective.basis.kept.tolist())

    @property
    def dropped(self) -> tuple[str, ...]:
        """Columns of X left out because earlier columns determine them."""
        kept = set(self.objective.basis.kept.tolist())
        return tuple(name for j, name in enumerate(self.model.x_names) if j not in kept)

    @cached_property
    def aliasing(self) -> Aliasing:
        """What the columns left out are made of: the one test of what the data determine."""
        return aliasing(self.model.X, self.objective.basis)

    @cached_property
    def beta(self) -> pd.Series:
        """Best linear unbiased estimates of the fixed effects."""
        import pandas as pd

        return pd.Series(self.estimates.beta, index=list(self.fixed_names), name="beta")

    @cached_property
    def beta_cov(self) -> pd.DataFrame:
        """sigma^2 (X'V^-1 X)^-1: the covariance of :attr:`beta`."""
        import pandas as pd

        names = list(self.fixed_names)
        return pd.DataFrame(self.estimates.beta_cov, index=names, columns=names)

    @cached_property
    def se(self) -> pd.Series:
        """Standard errors of :attr:`beta`."""
        import pandas as pd

        return pd.Series(np.sqrt(np.diag(self.estimates.beta_cov)), index=list(self.fixed_names), name="se")

    @property
    def sigma(self) -> float:
        """Residual standard deviation (of a record of weight one)."""
        return self.estimates.sigma

    @cached_property
    def varcorr(self) -> VarCorr:
        """Variances and correlations of the random effects: ``varcorr["g"].sd``, ``.cov``, ``.corr``."""
        parts = zip(self.model.terms, self.model.T(self.theta), strict=True)
        components = {term.name: Component(term.columns, self.sigma**2 * (T @ T.T)) for term, T in parts}
        return VarCorr(components, self.sigma, self.optimum.undetermined)

    @property
    def residual(self) -> dict[str, float]:
        """Natural parameters of the residual structure by name; empty without one."""
        structure = self.model.residual
        if structure is None:
            return {}
        return dict(zip(structure.names, structure.natural(self.optimum.phi).tolist(), strict=True))

    @property
    def relationships(self) -> dict[str, dict[str, float]]:
        """Natural parameters of relationships that have some, by term: ``{"ou(time | g)": {"range": 4.9}}``."""
        found = {}
        for term, part, theta in zip(
            self.model.terms, self.model.structures, self.model.split(self.theta), strict=True
        ):
            if isinstance(part, Extended):
                natural = part.extra.natural(part.coordinates(theta)).tolist()
                found[term.name] = dict(zip(part.extra.names, natural, strict=True))
        return found

    @cached_property
    def hessian(self) -> np.ndarray:
        """Second derivatives of the criterion by (theta, phi) at the optimum; NaN for parameters that were given."""
        return self.local.in_columns(self.model.coordinates, self.theta)

    @cached_property
    def local(self) -> Local:
        """The same in the axes of the terms, from which functions of the variances are differentiated."""
        return local(self.objective, self.theta, self.optimum)

    @property
    def singular(self) -> bool:
        """Some variance is zero or some correlation is one: an ordinary result, at the edge of the model."""
        return bool(self.optimum.boundary)

    @property
    def theta_given(self) -> bool:
        """Whether theta was given, not estimated."""
        k = self.model.k
        return k > 0 and not self.optimum.undetermined and bool(np.isnan(self.optimum.gradient[:k]).all())

    @cached_property
    def determined(self) -> Fit:
        """The fit without the coefficients held at zero because the data do not determine their variances.

        Its beta, sigma and criterion are the same; the fit itself where nothing is held.
        """
        held = np.isnan(self.optimum.gradient[: self.model.k])
        if not self.optimum.undetermined or not held.any():
            return self
        rest = without_held(self.model, held)
        optimum, objective = of_reduced(self.optimum, rest), Objective(rest.model, phi=self.optimum.phi)
        return replace(self, model=rest.model, theta=optimum.theta, optimum=optimum, objective=objective)

    @property
    def phi_given(self) -> tuple[str, ...]:
        """Names of the parameters of the residual structure that were given, not estimated."""
        structure, phi = self.model.residual, self.model.phi
        if structure is None or phi is None:
            return ()
        return tuple(name for name, is_free in zip(structure.names, np.isnan(phi).tolist(), strict=True) if not is_free)

    # -- likelihood ---------------------------------------------------------------------------------------------

    @property
    def criterion(self) -> float:
        """-2 log (restricted) likelihood, with lme4's constants."""
        return self.estimates.criterion

    @property
    def criterion_contrasts(self) -> float:
        """-2 log density of orthonormal error contrasts: the REML criterion less log|X'X|; the deviance under ML."""
        if self.method == "ML":
            return self.criterion
        X = self.model.X[:, self.objective.basis.kept]
        return self.criterion - float(np.linalg.slogdet(X.T @ X)[1])

    @property
    def loglik(self) -> float:
        """Log (restricted) likelihood."""
        return -0.5 * self.criterion

    @property
    def method(self) -> str:
        """``"REML"`` or ``"ML"``."""
        return self.model.method

    @property
    def nobs(self) -> int:
        """Records used."""
        return self.model.n

    @property
    def n_dropped(self) -> int:
        """Rows of the data left out because something was missing."""
        return self.rows.n_dropped

    @property
    def dof(self) -> int:
        """Parameters estimated: fixed effects, theta, phi and sigma."""
        estimated = int(np.isfinite(self.optimum.gradient).sum())
        return self.objective.basis.kept.size + estimated + int(self.model.sigma is None)

    @property
    def aic(self) -> float:
        """Criterion + 2 dof."""
        return self.criterion + 2.0 * self.dof

    @property
    def bic(self) -> float:
        """Criterion + dof log(nobs)."""
        return self.criterion + self.dof * float(np.log(self.nobs))

    @property
    def engine(self) -> Engine:
        """What was absorbed, what was factorised and how, and seconds by stage."""
        return self.objective.engine

    # -- random effects -----------------------------------------------------------------------------------------

    def ranef(self, by: str = "factor") -> dict[str, pd.DataFrame]:
        """BLUPs: levels x coefficients of each grouping factor, or of each term.


        Parameters
        ----------
        by : str
            ``"factor"``: terms on one grouping factor are joined, as in lme4; ``"term"``: each term has a table of its
            own, the second on a factor g under the name ``g.1``. Every result below has the same keys.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days || Subject)", mme.load("sleepstudy"))
        >>> {name: list(table.columns) for name, table in fit.ranef().items()}
        {'Subject': ['(Intercept)', 'Days']}
        >>> {name: list(table.columns) for name, table in fit.ranef(by="term").items()}
        {'Subject': ['(Intercept)'], 'Subject.1': ['Days']}
        """
        return {one.name: one.table(one.beside(self.estimates.effects)) for one in effects(self.model, by)}

    def coef(self) -> dict[str, pd.DataFrame]:
        """Fixed effects plus BLUPs of each grouping factor: intercept, fixed effects, then what is random alone."""
        tables: dict[str, pd.DataFrame] = {}
        given = [name for name in self.fixed_names if name in self.model.x_names[: self.model.p_given]]
        for one in effects(self.model):
            first = [name for name in one.fixed if name == "(Intercept)" and name not in given]
            names = list(dict.fromkeys([*first, *given, *one.fixed]))
            values = np.tile(self.beta.reindex(names, fill_value=0.0).to_numpy(), (one.n_levels, 1))
            for name, b in zip(one.fixed, one.beside(self.estimates.effects).T, strict=True):
                values[:, names.index(name)] += b
            tables[one.name] = replace(one, columns=tuple(names)).table(values)
        return tables

    def condvar(self, by: str = "factor") -> dict[str, np.ndarray]:
        """var(b | y) (levels, q, q), beta held at its estimate: lme4's ``condVar``; between terms on one factor too."""
        return {one.name: conditional_covariance(self.estimates, one) for one in effects(self.model, by)}

    def pev(self, by: str = "factor") -> dict[str, np.ndarray]:
        """Prediction error variance var(b_hat - b) (levels, q, q)."""
        return {one.name: error_covariance(self.estimates, one) for one in effects(self.model, by)}

    def reliability(self, by: str = "factor") -> dict[str, pd.DataFrame]:
        """1 - PEV / var(b): levels x coefficients; var(b) counts inbreeding (K_gg = 1 + F_g).

        Of animals whose unknown parents have fixed groups it is that of what :meth:`ranef` gives, their groups
        included; var(b) counts no groups. NaN where the PEV is larger than that, or nothing is known of the groups.
        """
        from mme.results.genetics import reliabilities

        found = reliabilities(self.estimates)
        return {one.name: one.table(one.beside(found)) for one in effects(self.model, by)}

    def heritability(self, name: str) -> pd.DataFrame:
        """Share of a term in the variance of the records, and its correlations: ``estimate, se`` (delta method)."""
        from mme.results.genetics import heritability_table

        return heritability_table(self, name)

    def shrinkage(self, by: str = "factor") -> dict[str, pd.DataFrame]:
        """Per level: ``n, pooled, no_pooling, partial_pooling, weight``; a factor's terms together, or each."""
        return {one.name: shrinkage_table(self.estimates, one) for one in effects(self.model, by)}

    # -- fixed effects ------------------------------------------------------------------------------------------

    @cached_property
    def satterthwaite(self) -> Satterthwaite:
        """Tests of fixed effects by Satterthwaite's degrees of freedom."""
        from mme.inference.fixed.satterthwaite import satterthwaite

        return satterthwaite(self.determined)

    @cached_property
    def kenward_roger(self) -> KenwardRoger:
        """Tests of fixed effects by Kenward and Roger's; ``cov`` is their adjusted covariance of :attr:`beta`."""
        from mme.inference.fixed.kenward_roger import kenward_roger

        return kenward_roger(self.determined)

    def coefficients(self, ddf: str = "satterthwaite") -> pd.DataFrame:
        """Table of the fixed effects: ``estimate, se, df, t, p``.

        Parameters
        ----------
        ddf : str
            ``"satterthwaite"``, ``"kenward-roger"`` (REML alone; adjusts the standard errors too), or ``"none"``: the
            Wald test, on infinite degrees of freedom.
        """
        from mme.inference.fixed.contrasts import coefficient_table

        return coefficient_table(self, ddf)

    def anova(self, ddf: str = "satterthwaite", *, type: int | str = 3) -> pd.DataFrame:
        """F tests of the terms, of type 1, 2 or 3: ``sum_sq, mean_sq, num_df, den_df, F, p``; ``ddf`` as above.

        A term without columns of its own has no row; ``attrs["note"]`` and a warning say so, and on what tests of type
        3 depend where cells are empty.
        """
        from mme.inference.fixed.anova import anova_table

        return anova_table(self, type, ddf)

    def contrast(self, L: Any, *, rhs: Any = 0.0, joint: bool = False, ddf: str = "satterthwaite") -> pd.DataFrame:
        """Tests of L beta = rhs, row by row (``estimate, se, df, t, p``) or ``joint`` (``num_df, den_df, F, p``).

        L is a vector or matrix with a column a fixed effect, a table with their names, or {name: weight}. What the data
        do not determine is refused, and so are right sides of dependent rows that contradict each other.
        """
        from mme.inference.fixed.contrasts import contrast_table

        return contrast_table(self, L, rhs, joint, ddf)

    def test(self, hypothesis: str, *, ddf: str = "satterthwaite") -> pd.DataFrame:
        """Test a linear hypothesis on the fixed effects: ``"Days = 0"``, ``"2*a + b = 3"``, ``"a = b, c = 0"``.

        One equation gives ``estimate`` (left minus right), ``se, df, t, p``; several ``num_df, den_df, F, p``.
        """
        from mme.inference.fixed.hypotheses import hypothesis_table

        return hypothesis_table(self, hypothesis, ddf)

    def means(
        self,
        factors: str | Sequence[str],
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Any] | None = None,
        pairs: bool = False,
        adjust: str = "tukey",
        ddf: str = "satterthwaite",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Marginal means of factors: ``mean, se, df, lower, upper``; with ``pairs`` their differences.

        Averaged over the levels of all other factors with equal weights. A covariate x is at its mean over the records
        and enters its transforms there, with what these remember of the fit: ``np.log(x)`` is log(mean(x)), as in
        emmeans. A column of two numbers (0 and 1) is at both, with equal weights, and may be named as a factor; the
        offset is at its mean. What the data do not determine is NaN.

        ``at={"x": 3.0}`` puts x elsewhere, ``at={"np.log(x)": 1.0}`` a transform, ``at={"offset": 0}`` the offset.
        ``at={"x": [1, 2]}`` gives the means at each, with x in ``by`` unless it is among the factors.

        ``pairs`` compares all levels of ``factors`` within each level of ``by``: ``estimate, se, df, t, p``, with p
        ``adjust``-ed by ``"tukey"``, ``"bonferroni"`` or ``"none"`` for as many as the data determine.
        """
        from mme.inference.fixed.means import marginal_means, means_table, pairs_table

        pairs = yes_or_no(pairs, "pairs")
        means = marginal_means(self, factors, by, at)
        return pairs_table(self, means, ddf, adjust) if pairs else means_table(self, means, ddf, level)

    def confint(
        self, method: str = "wald", level: float = 0.95, *, ddf: str = "satterthwaite", **options: Any
    ) -> pd.DataFrame:
        """Confidence intervals: ``lower, upper``.

        Parameters
        ----------
        method : str
            ``"wald"``: of the fixed effects and of the parameters of a residual structure, by standard errors: the
            former by t, the latter by the Hessian of the criterion, on a scale without bounds; ``"profile"``: of all
            parameters, by the profile likelihood (:meth:`profile`); ``"bootstrap"``: of all, by refits to simulated
            responses (:meth:`bootstrap`).
        level : float
            Coverage aimed at.
        ddf : str
            Of Wald intervals of the fixed effects: degrees of freedom as in :meth:`coefficients`, so that an interval
            leaves zero out where its p-value says so; ``"none"`` is the normal distribution.
        **options
            Of the method: ``parameters`` of a profile; ``n``, ``seed``, ``workers``, ``progress`` and ``kind`` of a
            bootstrap.

        Examples
        --------
        >>> import mme
        >>> growth = mme.load("Orthodont")
        >>> fit = mme.lmer("distance ~ age", growth, residual=mme.Exponential("age", "Subject"))
        >>> fit.confint("profile", parameters="range").round(2)
               lower  upper
        range    3.3   9.42
        >>> fit.confint().round(2)
                     lower  upper
        range         3.30   9.42
        (Intercept)  14.70  19.12
        age           0.46   0.84
        """
        if not is_word(method, _INTERVALS):
            raise MMEError(f"method={shown(method)}: method is 'wald', 'profile' or 'bootstrap'")
        check_options(options, _INTERVALS[method], f"confint(method='{method}')")
        if method == "profile":
            return self.profile(level=level, **options).confint(level)
        if method == "bootstrap":
            kind = options.pop("kind", "percentile")
            return self.bootstrap(**options).confint(level, kind)
        from mme.inference.intervals.wald import wald_intervals

        return wald_intervals(self, level, ddf)

    def profile(self, parameters: str | Iterable[str] | None = None, *, level: float = 0.95) -> Profile:
        """Profile likelihood (always ML's) of standard deviations, correlations, sigma, residual and fixed effects.

        ``parameters`` names those to profile (None: all), those of a residual structure as :attr:`residual` does;
        ``level`` is the one whose limits are computed to the end, others are interpolated.
        """
        from mme.inference.intervals.profile import profile

        return profile(self, parameters, level)

    def bootstrap(
        self,
        n: int = 1000,
        *,
        seed: int | None = None,
        workers: int | None = None,
        progress: bool | Callable[[int, int], None] = False,
    ) -> Bootstrap:
        """Fit the model to n responses drawn from it.

        Parameters
        ----------
        n : int
            Replicates.
        seed : int, optional
            Makes the same replicates again, whatever the number of processes.
        workers : int, optional
            Processes; None: one a processor, 1: none but this one. Where the system cannot fork (and for models with
            a sparse factor) they start afresh: a script must then guard its own start by ``__name__``.
        progress : bool or callable
            True draws a bar on stderr; a callable gets (replicates done, n).
        """
        from mme.inference.intervals.bootstrap import bootstrap

        return bootstrap(self, n, seed, workers, progress)

    # -- records ------------------------------------------------------------------------------------------------

    @cached_property
    def fitted(self) -> Any:
        """X beta + Z b + offset, one a row of the user's data (NaN where a row was dropped)."""
        return self.rows.aligned(self.estimates.fitted, "fitted")

    @cached_property
    def residuals(self) -> Any:
        """y - fitted, one a row of the user's data."""
        return self.rows.aligned(self.model.y - self.estimates.fitted, "residuals")

    def predict(
        self,
        newdata: Any = None,
        *,
        random: bool | str | Sequence[str] = True,
        new_levels: str = "error",
        interval: str | None = None,
        level: float = 0.95,
        ddf: str = "satterthwaite",
        weights: Any = None,
    ) -> Any:
        """Predictions for the rows of the fit or for new ones.

        Parameters
        ----------
        newdata : data frame, mapping or (X, terms) pair, optional
            None: the rows of the fit. For a fit by formula a table with its columns; for a fit by arrays the new X
            and a list of :class:`mme.Term` in the order of the fit.
        random : bool, or names
            Whether the BLUPs are added, or which: ``"Subject"`` those of all terms on the grouping factor,
            ``"Subject.Days"`` those of one coefficient; without them the prediction is for the population.
        new_levels : str
            ``"error"``, or ``"population"`` to give a level that the fit did not see, or a row without a label, the
            population value.
        interval : str, optional
            ``"confidence"``: of the mean x'beta + z'b; ``"prediction"``: of a new record about it, whose residual is
            independent of those in the fit. From the joint covariance of (beta_hat, b_hat - b) at the estimated
            variances; a new level has its prior variance. Linear in the rows for one grouping factor; several cost a
            solve for each level of the smaller of two.
        level : float
            Of the interval.
        ddf : str
            Degrees of freedom of the interval's t, as in :meth:`coefficients`: of the variance of each row's own error.
            ``"kenward-roger"`` (REML alone) also adds to the variance what the estimated variances leave uncertain, as
            Prasad and Rao; ``"none"`` is the normal distribution.
        weights : array or column name, optional
            Of new rows, for their prediction interval (variance sigma^2 / weight), where the fit had weights.

        Returns
        -------
        array or Series; with ``interval`` a DataFrame ``fit, lower, upper, se, df``. A new row that the data of the fit
        do not determine (an empty cell; aliased columns that differ otherwise) is NaN, and a warning names the cause.

        Raises
        ------
        MMEError
            Columns are missing, or a level is new or missing and ``new_levels`` is ``"error"``.
        """
        from mme.prediction.predict import predict

        return predict(self, newdata, random, new_levels, interval, level, ddf, weights)

    def simulate(self, nsim: int = 1, *, seed: int | np.random.Generator | None = None) -> Any:
        """Draw ``nsim`` new responses, random effects included: (rows of the data, nsim)."""
        return self.rows.aligned(simulate_responses(self.estimates, nsim, seed), "simulated")

    def refit(self, y: Any, *, start_here: bool = True) -> Fit:
        """Fit the same model to another response, one value a row of the data; starts from this fit's theta.

        A theta that was given stays as it is.

        Rows are taken by position; a response that has values for the rows used alone will do too.
        """
        values = numbers(y, f"response '{self.model.response}'")
        given, rows = len(values) if values.ndim else 1, self.rows.kept.size
        if given not in (rows, self.nobs):
            raise MMEError(f"response '{self.model.response}' has {given} values for the {rows} rows of the data")
        response = self.rows.used(values)
        objective = self.objective.with_response(response)
        theta = self.theta if self.theta_given else None
        begin = self.theta if yes_or_no(start_here, "start_here") else None
        found = search(objective.model, theta, self.progress, begin, objective)
        return replace(
            Fit(objective.model, found.theta, found.optimum, found.objective, self.rows, self.progress),
            formula=self.formula,
            specification=self.specification,
        )

    # -- diagnosis ----------------------------------------------------------------------------------------------

    @cached_property
    def hat(self) -> Hat:
        """The hat matrix of the conditional fit."""
        from mme.diagnosis.hat import Hat

        mixed = [self.model.terms[block.terms[0]] for block in self.objective.blocks if block.records is not None]
        if mixed:
            raise MMEError(
                f"term '{mixed[0].name}' varies within the groups of the residual structure: what a record does to the "
                "fit is not told, since it is whitened together with records of other levels"
            )
        return Hat(self.objective, self.theta, self.estimates.at)

    diagnose = Later("mme.diagnosis.checks", "diagnose")
    leverage = Later("mme.diagnosis.influence", "leverage")
    cooks_distance = Later("mme.diagnosis.influence", "cooks_distance")
    dfbeta = Later("mme.diagnosis.influence", "dfbeta")
    scaled_residuals = Later("mme.diagnosis.residuals", "scaled_residuals")
    variance_shares = Later("mme.results.shares", "variance_shares")
    r2 = Later("mme.results.shares", "r2")
    icc = Later("mme.results.shares", "icc")
    variances = Later("mme.results.shares", "variances")
    eblup_mse = Later("mme.results.smallarea", "eblup_mse")

    # -- pictures -----------------------------------------------------------------------------------------------

    @property
    def plot(self) -> Plots:
        """Pictures: ``fit.plot.caterpillar()``, ``.shrinkage()``, ``.residuals()``, ... return matplotlib axes."""
        from mme.plot import Plots

        return Plots(self)

    report = Later("mme.files.report", "write_report")

    # -- neighbours ---------------------------------------------------------------------------------------------

    tidy = Later("mme.files.tidy", "tidy")
    glance = Later("mme.files.tidy", "glance")
    augment = Later("mme.files.tidy", "augment")
    draws = Later("mme.results.draws", "draws")
    save = Later("mme.files.save", "save_fit")

    # -- text ---------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """The fit as text, laid out as lme4's readers know it."""
        return summary_text(self)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return summary_html(self)


def fit(
    y: Any,
    X: Any,
    terms: Sequence[Term],
    *,
    method: str = "REML",
    REML: bool | None = None,
    weights: Any = None,
    offset: Any = None,
    residual: Any = None,
    sigma: float | None = None,
    theta: Any = None,
    phi: Mapping[str, float] | None = None,
    progress: Progress = False,
) -> Fit:
    r"""Fit y = X beta + sum_t Z_t b_t + offset + e by REML or ML.

    b_t has independent levels with covariance sigma^2 T_t T_t', e ~ N(0, sigma^2 / weights). The criterion is profiled
    over beta and sigma and minimised over theta, the entries of the T_t (Bates et al. 2015, J. Stat. Softw. 67(1)).

    Parameters
    ----------
    y : (n,) array
        Response.
    X : (n, p) array, DataFrame or sparse matrix
        Fixed-effect columns; give the column of ones yourself. Columns that depend on earlier ones are dropped.
    terms : sequence of Term
        Random effects.
    method : str
        ``"REML"`` or ``"ML"``, in any case.
    REML : bool, optional
        The same in lme4's words: ``REML=False`` is ``method="ML"``.
    weights : (n,) array, optional
        Prior weights, positive: var(e_i) = sigma^2 / weights_i.
    offset : (n,) array, optional
        Known part of the mean.
    residual : Structure or list of Structure, optional
        Covariance among the residuals: :class:`mme.AR1`, :class:`mme.Exponential`, :class:`mme.Unstructured`, ...;
        a list of a correlation and a variance function is their product. Columns are arrays.
    sigma : float, optional
        Known residual standard deviation (sampling variances: ``sigma=1, weights=1/variance``).
    theta : (k,) array, optional
        Evaluate there without a search; parameters of a residual structure are searched still, unless they are given.
    phi : mapping, optional
        Parameters of the residual structure that are known, ``{"rho": 0.5}``, by the names of :attr:`Fit.residual`;
        the others are estimated.
    progress : bool or callable
        True prints a line an evaluation to stderr; a callable gets (evaluation, criterion, theta).

    Returns
    -------
    Fit

    Raises
    ------
    MMEError
        The input cannot be used; the message names the column or level and says what to do.

    Examples
    --------
    >>> import mme, numpy as np
    >>> data = mme.load("Dyestuff")
    >>> fit = mme.fit(data["Yield"], np.ones((30, 1)), [mme.Term(data["Batch"], name="Batch")])
    >>> round(fit.sigma, 2), round(float(fit.varcorr["Batch"].sd[0]), 2), round(fit.criterion, 4)
    (49.51, 42.0, 319.6543)
    """
    model = build_model(
        y,
        X,
        terms,
        method=method,
        REML=REML,
        weights=weights,
        offset=offset,
        residual=residual,
        sigma=sigma,
        phi=phi,
    )
    return _estimate(model, theta, progress)


def fit_model(model: Model, theta: Any, progress: Progress, **described: Any) -> Fit:
    """Fit a checked model; ``described`` are the formula, its specification and the rows used."""
    return replace(_estimate(model, theta, progress), **described)


def _estimate(model: Model, theta: Any, progress: Progress) -> Fit:
    found = search(model, theta, progress)
    return Fit(model, found.theta, found.optimum, found.objective, Rows.all(model.n), progress)
