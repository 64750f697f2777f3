"""Marginal means, what compares them, and slopes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mme.api.base import Face
from mme.results.frames import framed
from mme.tables.arguments import yes_or_no

if TYPE_CHECKING:
    import pandas as pd


class FactorMeans(Face):
    """What a fit says of its factors: means, contrasts among them, slopes within them."""

    def means(
        self,
        factors: str | Sequence[str],
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Any] | None = None,
        pairs: bool = False,
        contrast: str | Mapping[str, Any] | Sequence[str] | None = None,
        reference: Any = None,
        interaction: bool = False,
        adjust: str | None = None,
        letters: bool = False,
        effect_size: str | float | None = None,
        weights: str = "equal",
        scale: str = "link",
        bias_adjust: bool | str | float = False,
        ddf: str = "satterthwaite",
        robust: str | None = None,
        cluster: Any = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Marginal means of factors, ``mean, se, df, lower, upper``; or contrasts among them.

        Averaged over the levels of all other factors. A covariate x is at its mean over the records
        and enters its transforms there, with what these remember of the fit: ``np.log(x)`` is log(mean(x)), as in
        emmeans. A column of two numbers (0 and 1) is at both, with equal weights, and may be named as a factor; the
        offset is at its mean. Of nested factors the combinations that occur count. What the data do not determine is
        NaN, and a note and a warning name it.

        Parameters
        ----------
        factors, by : str or sequence of str
            What the means are of; contrasts are taken among ``factors``, within each level of ``by``. ``"A:B"`` (and
            ``"A * B"``) is ``["A", "B"]``, the cells; ``"A | B"`` is A by B.
        at : mapping, optional
            ``{"x": 3.0}`` puts x elsewhere, ``{"np.log(x)": 1.0}`` a transform, ``{"offset": 0}`` the offset;
            ``{"x": [2, 8]}`` gives the means at each, with x in ``by`` unless it is among the factors.
        pairs : bool
            All pairs: ``contrast="pairwise"``.
        contrast : str, mapping or list, optional
            ``"pairwise"``; ``"reference"``: each less the reference (the first level, or ``reference``);
            ``"sequential"``: each less the one before; ``"polynomial"``: linear, quadratic, ... over equal steps;
            ``"effect"``: each less the average; or your own, ``{"name": {"level": weight}}``. They come as
            ``estimate, se, df, lower, upper, t, p``.
        interaction : bool
            Products of the contrasts of each factor: differences of differences. ``contrast`` is then one word for all
            factors, or a list with one for each.
        adjust : str, optional
            Of contrasts, for p-values and intervals alike, for as many as the data determine: ``"tukey"``,
            ``"dunnett"``, ``"mvt"`` (exact, by their correlations), ``"holm"``, ``"sidak"``, ``"bonferroni"``,
            ``"fdr"``, ``"scheffe"``, ``"none"``. None: the usual one, Tukey's for pairs, Dunnett's against a reference,
            mvt for sequences, fdr for effects, none for polynomials and your own.
        letters : bool
            A column of letters beside the means: those that share one do not differ at 1 - ``level``.
        effect_size : str or float, optional
            Contrasts over a standard deviation: ``"residual"``, ``"total"`` (all variances), or a number.
        weights : str
            Of the cells that a mean is over: ``"equal"``; ``"proportional"`` to the records of the other factors'
            levels; ``"cells"``: to those of each cell.
        scale : str
            ``"response"``, where the formula has log(y), sqrt(y), a logit or a power: means on the scale of y, pairs as
            ratios where the transform makes them so.
        bias_adjust : bool, str or float
            On the scale of the response: ``"total"`` (True) or ``"residual"``: the mean of y, not h(mean): averaged
            over these variances, or over a standard deviation that is given.
        ddf, robust, cluster
            As in :meth:`coefficients`.
        level : float
            Of the intervals.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("yield ~ nitro + Variety + (1 | Block/Variety)", mme.load("Oats"))
        >>> fit.means("Variety", letters=True)[["mean", "letters"]].round(1)
                      mean letters
        Variety
        Golden Rain  104.5       a
        Marvellous   109.8       a
        Victory       97.6       a
        >>> fit.means("Variety", contrast="reference")[["estimate", "p"]].round(2)
                                  estimate     p
        contrast
        Marvellous - Golden Rain      5.29  0.68
        Victory - Golden Rain        -6.88  0.54
        """
        from mme.api.clustered import reference_of
        from mme.inference.fixed.comparisons import comparisons_of, wanted_contrast
        from mme.inference.fixed.mean_tables import compared_table, effect_sizes, means_table, with_letters
        from mme.inference.fixed.means import marginal_means
        from mme.inference.fixed.response_scale import deviation, response_scale

        record, crossed = self.internals, yes_or_no(interaction, "interaction")
        wanted = wanted_contrast(yes_or_no(pairs, "pairs"), contrast, crossed)
        response = response_scale(record, scale, bias_adjust)
        means = marginal_means(record, factors, by, at, weights)
        to = reference_of(self, ddf, robust, cluster)
        if yes_or_no(letters, "letters"):
            compared = compared_table(record, means, comparisons_of(means, "pairwise"), to, adjust, level)
            return framed(with_letters(means_table(record, means, to, level, response), compared, level))
        if wanted is None:
            return framed(means_table(record, means, to, level, response))
        comparisons = comparisons_of(means, wanted, reference, crossed=crossed)
        table = compared_table(record, means, comparisons, to, adjust, level, response)
        if effect_size is None:
            return framed(table)
        return framed(effect_sizes(table, *deviation(record, effect_size), level))

    def trends(
        self,
        x: str,
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Any] | None = None,
        pairs: bool = False,
        contrast: str | Mapping[str, Any] | None = None,
        reference: Any = None,
        adjust: str | None = None,
        weights: str = "equal",
        ddf: str = "satterthwaite",
        robust: str | None = None,
        cluster: Any = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Slopes of a covariate, ``slope, se, df, lower, upper, t, p``, within levels of factors; or contrasts of them.

        Of what is linear in x the slope is a coefficient, or a sum of some; of transforms, splines and polynomials it
        is the derivative where x is: at its mean, or where ``at`` puts it.

        Parameters
        ----------
        x : str
            The covariate.
        by : str or sequence of str
            Factors, a slope for each combination of their levels; pairs and contrasts compare these.
        at : mapping, optional
            As in :meth:`means`; ``{"x": [2, 8]}`` gives the slopes at each.
        pairs, contrast, reference, adjust, weights, ddf, robust, cluster, level
            As in :meth:`means`.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("distance ~ age * Sex + (age | Subject)", mme.load("Orthodont"))
        >>> fit.trends("age", by="Sex")[["slope", "se"]].round(3)
                slope     se
        Sex
        Female  0.480  0.104
        Male    0.784  0.086
        >>> fit.trends("age", by="Sex", pairs=True)[["estimate", "p"]].round(3)
                       estimate      p
        contrast
        Female - Male    -0.305  0.033
        """
        from mme.api.clustered import reference_of
        from mme.inference.fixed.comparisons import comparisons_of, wanted_contrast
        from mme.inference.fixed.mean_tables import compared_table, means_table
        from mme.inference.fixed.slopes import slopes

        wanted = wanted_contrast(yes_or_no(pairs, "pairs"), contrast, False)
        rows, to = slopes(self.internals, x, by, at, weights), reference_of(self, ddf, robust, cluster)
        if wanted is None:
            return framed(means_table(self.internals, rows, to, level, name="slope"), f"Slopes of {x}")
        comparisons = comparisons_of(rows, wanted, reference)
        return framed(compared_table(self.internals, rows, comparisons, to, adjust, level), f"Slopes of {x}")

    def joint_tests(
        self,
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Any] | None = None,
        ddf: str = "satterthwaite",
        robust: str | None = None,
        cluster: Any = None,
    ) -> pd.DataFrame:
        """F tests that all contrasts of a term are zero, within each level of ``by``: ``num_df, den_df, F, p``.

        Without ``by`` these are tests of type 3 where no cell is empty; with it, tests of simple effects. A covariate
        counts by its slope. ``at``, ``ddf``, ``robust`` and ``cluster`` as in :meth:`means`.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", mme.load("Oats"))
        >>> fit.joint_tests(by="Variety")[["num_df", "F"]].round(2)
                           num_df      F
        Variety     term
        Golden Rain nitro       1  40.36
        Marvellous  nitro       1  29.66
        Victory     nitro       1  46.75
        """
        from mme.api.clustered import reference_of
        from mme.inference.fixed.joint import joint_tests

        return framed(joint_tests(self.internals, by, at, reference_of(self, ddf, robust, cluster)))
