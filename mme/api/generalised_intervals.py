"""Intervals of the parameters of a generalised fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mme.api.generalised_base import GeneralisedFace
from mme.errors import MMEError
from mme.numeric.bars import Progress
from mme.results.frames import framed
from mme.tables.arguments import check_options, is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

    from mme.inference.intervals.bootstrapped import Bootstrap
    from mme.inference.intervals.curves import Profile

# Options of confint by its method.
_INTERVALS: dict[str, tuple[str, ...]] = {
    "wald": ("se",),
    "profile": ("parameters", "progress"),
    "bootstrap": ("n", "seed", "workers", "progress", "kind", "draws", "by"),
}


class GeneralisedIntervals(GeneralisedFace):
    """How far the parameters of a generalised fit may be off."""

    def confint(self, method: str = "wald", level: float = 0.95, **options: Any) -> pd.DataFrame:
        """Confidence intervals of all parameters: ``lower, upper``.

        Parameters
        ----------
        method : str
            ``"wald"``: by standard errors and the normal distribution, of standard deviations and the family's
            parameters on the scale of their logarithms, of correlations on Fisher's; NaN for what is at the edge of the
            model. ``"profile"``: by the profile likelihood (:meth:`profile`). ``"bootstrap"``: by refits to simulated
            responses (:meth:`bootstrap`).
        level : float
            Coverage aimed at.
        **options
            Of the method: ``se`` of Wald intervals of the fixed effects, as in :meth:`coefficients`; ``parameters`` of
            a profile; ``n``, ``draws``, ``by``, ``seed``, ``workers``, ``progress`` and ``kind`` of a bootstrap, as in
            :meth:`mme.Fit.confint`.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [1, 1, 4, 3, 12, 9], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds)
        >>> fit.confint("profile").round(2)
                             lower  upper
        sd_(Intercept)|herd   0.28   3.42
        (Intercept)          -2.74   1.00
        """
        if not is_word(method, _INTERVALS):
            raise MMEError(f"method={shown(method)}: method is 'wald', 'profile' or 'bootstrap'")
        check_options(options, _INTERVALS[method], f"confint(method='{method}')")
        if method == "profile":
            return framed(self.profile(level=level, **options).confint(level))
        if method == "bootstrap":
            kind = options.pop("kind", "percentile")
            return framed(self.bootstrap(**options).confint(level, kind))
        from mme.inference.fixed.z_tables import normal_reference
        from mme.inference.intervals.generalised_wald import generalised_wald

        to = normal_reference(self.internals, options.get("se", "hessian"))
        return framed(generalised_wald(self.internals, to, level))

    def profile(
        self, parameters: str | Iterable[str] | None = None, *, level: float = 0.95, progress: Progress = False
    ) -> Profile:
        """Profile likelihood of standard deviations, correlations, the family's parameters and the fixed effects.

        The criterion of the fit (Laplace's, or by quadrature) with one parameter held and all others searched anew.
        ``parameters`` names those to profile (None: all); ``level`` is the one whose limits are computed to the end,
        others are interpolated. ``progress`` is as in :meth:`Fit.profile`; where it is given, an interrupt keeps
        what is done.
        """
        from mme.inference.intervals.generalised_profile import generalised_profile

        return generalised_profile(self.internals, parameters, level, progress)

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
        """Fit the model to n responses drawn from it; as :meth:`mme.Fit.bootstrap`.

        Parameters
        ----------
        n : int
            Replicates.
        draws : str
            ``"parametric"``; ``"cases"``: whole groups drawn with replacement.
        by : str or (n,) labels, optional
            Whose levels these are, as in :meth:`mme.Fit.bootstrap`.
        seed : int, optional
            Makes the same replicates again, whatever the number of processes.
        workers : int, optional
            Processes; None: one a processor, 1: none but this one.
        progress : bool or callable
            True draws a bar on stderr; a callable gets (replicates done, n).

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.bootstrap(20, seed=1, workers=1).names
        ('sd_(Intercept)|herd', '(Intercept)')
        """
        from mme.inference.intervals.generalised_bootstrap import bootstrap_generalised

        return bootstrap_generalised(self.internals, n, seed, workers, progress, draws=draws, by=by)
