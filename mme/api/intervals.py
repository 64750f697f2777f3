"""Intervals of parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mme.api.base import Face, of_records
from mme.errors import MMEError
from mme.numeric.bars import Progress
from mme.results.frames import framed
from mme.tables.arguments import check_options, is_word, yes_or_no
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

    from mme.inference.intervals.bootstrapped import Bootstrap
    from mme.inference.intervals.curves import Profile

# Options of confint by its method.
_INTERVALS: dict[str, tuple[str, ...]] = {
    "wald": ("variances",),
    "profile": ("parameters", "progress"),
    "bootstrap": ("n", "seed", "workers", "progress", "kind", "draws", "by"),
}


class Intervals(Face):
    """How far the parameters of a fit may be off."""

    def confint(
        self,
        method: str = "wald",
        level: float = 0.95,
        *,
        ddf: str = "satterthwaite",
        scale: str = "sd",
        **options: Any,
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
        scale : str
            ``"sd"``: of standard deviations; ``"variance"``: of their squares, called ``var_x|g`` and ``sigma2``.
        **options
            Of the method: ``variances=True`` of Wald's, standard deviations and correlations of the random effects too,
            by the observed information on the scale of logarithms and of Fisher's z; ``parameters`` of a profile;
            ``n``, ``draws``, ``by``, ``seed``, ``workers`` and ``progress`` of a bootstrap, and ``kind``:
            ``"percentile"``, ``"basic"``, ``"normal"``, ``"bca"`` or ``"studentised"``.

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
        if not is_word(scale, ("sd", "variance")):
            raise MMEError(f"scale must be 'sd' or 'variance', got {shown(scale)}")
        from mme.inference.intervals.wald_variances import squared

        table = self._limits(method, level, ddf, options)
        return framed(squared(table) if scale == "variance" else table)

    def _limits(self, method: str, level: float, ddf: str, options: dict[str, Any]) -> pd.DataFrame:
        """``lower, upper`` by a method."""
        if method == "profile":
            return self.profile(level=level, **options).confint(level)
        if method == "bootstrap":
            kind = options.pop("kind", "percentile")
            return self.bootstrap(**options).confint(level, kind)
        import pandas as pd

        from mme.inference.intervals.wald import wald_intervals
        from mme.inference.intervals.wald_variances import variance_limits

        table = wald_intervals(self.internals, level, ddf)
        if not yes_or_no(options.get("variances", False), "variances"):
            return table
        return pd.concat([variance_limits(self.internals, level), table])

    def profile(
        self,
        parameters: str | Iterable[str] | None = None,
        *,
        level: float = 0.95,
        scale: str = "sd",
        progress: Progress = False,
    ) -> Profile:
        """Profile likelihood (always ML's) of standard deviations, correlations, sigma, residual and fixed effects.

        ``parameters`` names those to profile (None: all), those of a residual structure as :attr:`residual` does;
        ``level`` is the one whose limits are computed to the end, others are interpolated. ``scale="variance"`` has
        variances, ``var_x|g`` and ``sigma2``, in place of standard deviations. ``progress=True`` draws a bar of
        the parameters on stderr, a callable gets (parameters done, how many); an interrupt then keeps what is done.

        Zeta grows outwards but where the likelihood itself turns back: of few records it can have several valleys, and
        rise again further out. Then ``curves[name].turns`` is true, and limits are where zeta is reached first.
        """
        from mme.inference.intervals.profile import profile
        from mme.inference.intervals.wald_variances import of_variances

        if not is_word(scale, ("sd", "variance")):
            raise MMEError(f"scale must be 'sd' or 'variance', got {shown(scale)}")
        found = profile(self.internals, parameters, level, progress)
        return of_variances(found) if scale == "variance" else found

    @of_records
    def bootstrap(
        self,
        n: int = 1000,
        *,
        draws: str = "parametric",
        by: Any = None,
        seed: int | None = None,
        workers: int | None = None,
        progress: Progress = False,
    ) -> Bootstrap:
        """Fit the model to n responses drawn from it.

        Parameters
        ----------
        n : int
            Replicates.
        draws : str
            ``"parametric"``: random effects and residuals from normal distributions; ``"given"``: residuals alone,
            at the predicted random effects; ``"residual"``: predicted effects of levels and residuals resampled,
            inflated to the estimated covariances (Carpenter, Goldstein and Rasbash 2003), where they are not normal;
            ``"wild"``: residuals from X beta of each group times a random number (Mammen's two points), for fixed
            effects where variances differ between groups; factors must be nested; ``"cases"``: whole groups drawn with
            replacement, with all that is known of their records.
        by : str or (n,) labels, optional
            The factor whose levels are drawn as cases, and left out one by one for ``"bca"`` intervals. None: the one
            in whose levels all others are nested. Copies of a level have levels of their own in the factors nested in
            it, and share those of factors that cross it.
        seed : int, optional
            Makes the same replicates again, whatever the number of processes.
        workers : int, optional
            Processes; None: one a processor, 1: none but this one. Where the system cannot fork (and for models with
            a sparse factor) they start afresh: a script must then guard its own start by ``__name__``.
        progress : bool or callable
            True draws a bar on stderr; a callable gets (replicates done, n).
        """
        from mme.inference.intervals.bootstrap import bootstrap

        return bootstrap(self.internals, n, seed, workers, progress, draws=draws, by=by)
