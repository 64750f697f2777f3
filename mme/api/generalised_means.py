"""Means of a generalised fit: average effects, means of cells, slopes, and tests of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mme.api.generalised_base import GeneralisedFace
from mme.results.frames import framed
from mme.tables.arguments import check_level, yes_or_no

if TYPE_CHECKING:
    import pandas as pd


class GeneralisedMeans(GeneralisedFace):
    """What a generalised fit says of means, on the scale of the link or of the response."""

    def average_effects(
        self,
        data: Any,
        columns: str | Sequence[str] = (),
        *,
        random: bool | str = False,
        ratio: bool = False,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Average effects on the mean: slopes of numbers, differences (of risks, say) or ratios of factors' levels.

        Parameters
        ----------
        data : data frame or mapping
            The records to average over: those of the fit, or of another population. Rows with missing cells are left
            out, and need no response.
        columns : str or sequence of str
            Columns of the fixed part; all by default. A factor has a row for each level but the first: the mean with
            all records at this level less that with all at the first. So has a number of 0 and 1 alone. Another number
            has the average slope of the mean.
        random : False or str
            False: random effects are zero. ``"average"``: of means that are integrated over the random effects, those
            of a population of levels.
        ratio : bool
            Ratios of the averages (risk ratios) in the place of differences; limits are those of their logarithms.
        level : float
            Of the limits.

        Returns
        -------
        DataFrame ``estimate, se, z, p, lower, upper`` (``ratio`` for ``estimate``) by column and contrast. Of an
        ordinal fit effects are on the probability of each category. Standard errors are by the delta method, from the
        covariance of all parameters.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 4, 0, 8, 2], "well": [12, 9, 5, 12, 9, 5]}
        >>> herds["drug"] = ["a", "b", "a", "b", "a", "b"]
        >>> fit = mme.glmer("cbind(ill, well) ~ drug + (1 | herd)", herds)
        >>> fit.average_effects(herds)[["estimate", "se"]].round(3).T.to_dict()
        {('drug', 'b - a'): {'estimate': -0.189, 'se': 0.1}}
        """
        from mme.prediction.average_effects import average_effects

        check_level(level)
        ratio = yes_or_no(ratio, "ratio")
        return framed(average_effects(self.internals, data, columns, random=random, ratio=ratio, level=level))

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
        weights: str = "equal",
        scale: str = "link",
        random: bool | str = False,
        se: str = "hessian",
        robust: str | None = None,
        cluster: Any = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Marginal means of factors: ``mean, se, lower, upper``; with ``pairs`` their differences or ratios.

        Parameters
        ----------
        factors, by, at
            As in :meth:`mme.Fit.means`: averaged, on the scale of the link, over the levels of all other factors with
            equal weights, covariates and the offset at their means (``at={"offset": 0}`` puts it elsewhere).
        pairs : bool
            Compare all levels of ``factors`` within each level of ``by``: ``estimate, se, z, p, lower, upper``.
        contrast, reference, interaction, adjust, letters, weights
            As in :meth:`mme.Fit.means`.
        scale : str
            ``"link"``; ``"response"``: means through the inverse link, their standard errors by the delta method and
            their limits those of the link's scale. Pairs are then ratios in a column that is named for them
            (``odds_ratio`` of a logit link, ``rate_ratio`` or ``mean_ratio`` of a log, ``hazard_ratio`` of a cloglog
            link), or differences of the means with other links. Of an ordinal fit means are the probabilities of the
            categories, a row each.
        random : False or str
            False: random effects are zero, a level in the middle. ``"average"``: the mean of levels drawn anew,
            integrated over the distribution of the random effects (what others call adjusted for bias), with slopes
            at the values of their covariates and with what theta leaves uncertain. On the scale of the link it is the
            link of that mean, and ratios are those of means in the population.
        se, robust, cluster, level
            As in :meth:`coefficients`.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 4, 0, 8, 2], "well": [12, 9, 5, 12, 9, 5]}
        >>> herds["drug"] = ["a", "b", "a", "b", "a", "b"]
        >>> fit = mme.glmer("cbind(ill, well) ~ drug + (1 | herd)", herds)
        >>> fit.means("drug", scale="response")["mean"].round(3).to_dict()
        {'a': 0.35, 'b': 0.161}
        >>> fit.means("drug", pairs=True, scale="response")["odds_ratio"].round(3).to_dict()
        {'a - b': 2.8}
        """
        from mme.api.clustered import normal_reference_of
        from mme.inference.fixed.categories import category_means_table
        from mme.inference.fixed.comparisons import comparisons_of, wanted_contrast
        from mme.inference.fixed.generalised_means import (
            averages_over_b,
            generalised_contrasts_table,
            generalised_means_table,
            predictors,
        )
        from mme.inference.fixed.mean_tables import named_unknown, with_letters
        from mme.inference.fixed.means import marginal_means
        from mme.inference.fixed.z_tables import is_response

        record, crossed, response = self.internals, yes_or_no(interaction, "interaction"), is_response(scale)
        wanted = wanted_contrast(yes_or_no(pairs, "pairs"), contrast, crossed)
        means = marginal_means(record, factors, by, at, weights)
        if response and wanted is None and not record.family.has_intercept:
            plain, average = se == "hessian" and not yes_or_no(letters, "letters"), averages_over_b(random)
            to = normal_reference_of(self, se, robust, cluster)
            return framed(category_means_table(record, means, to, average, level, plain=plain))
        eta = predictors(record, means, normal_reference_of(self, se, robust, cluster), random, with_theta=se != "rx")
        if wanted is not None:
            comparisons = comparisons_of(means, wanted, reference, crossed=crossed)
            return framed(generalised_contrasts_table(record, means, comparisons, eta, response, adjust, level))
        table = named_unknown(record, means, generalised_means_table(record, means, eta, response, level))
        if not yes_or_no(letters, "letters"):
            return framed(table)
        pairwise = comparisons_of(means, "pairwise")
        compared = generalised_contrasts_table(record, means, pairwise, eta, False, adjust, level)
        return framed(with_letters(table, compared, level))

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
        se: str = "hessian",
        robust: str | None = None,
        cluster: Any = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Slopes of a covariate on the scale of the link, within levels of factors; or contrasts of them.

        As :meth:`mme.Fit.trends`; ``se``, ``robust``, ``cluster`` as in :meth:`coefficients`. Tests are by the normal
        distribution.
        """
        from mme.api.clustered import normal_reference_of
        from mme.inference.fixed.comparisons import comparisons_of, wanted_contrast
        from mme.inference.fixed.mean_tables import compared_table, means_table
        from mme.inference.fixed.slopes import slopes

        wanted = wanted_contrast(yes_or_no(pairs, "pairs"), contrast, False)
        rows, to = slopes(self.internals, x, by, at, weights), normal_reference_of(self, se, robust, cluster)
        if wanted is None:
            table = means_table(self.internals, rows, to, level, name="slope")
        else:
            table = compared_table(self.internals, rows, comparisons_of(rows, wanted, reference), to, adjust, level)
        return framed(table.drop(columns="df").rename(columns={"t": "z"}), f"Slopes of {x}, on the scale of the link")

    def joint_tests(
        self,
        *,
        by: str | Sequence[str] = (),
        at: Mapping[str, Any] | None = None,
        se: str = "hessian",
        robust: str | None = None,
        cluster: Any = None,
    ) -> pd.DataFrame:
        """Tests that all contrasts of a term are zero, within each level of ``by``: ``chisq, df, p``.

        As :meth:`mme.Fit.joint_tests`, by Wald's chi-square; ``se``, ``robust`` and ``cluster`` as in
        :meth:`coefficients`.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 4, 0, 8, 2], "well": [12, 9, 5, 12, 9, 5]}
        >>> herds["drug"] = ["a", "b", "a", "b", "a", "b"]
        >>> mme.glmer("cbind(ill, well) ~ drug + (1 | herd)", herds).joint_tests().round(3)
              chisq  df      p
        term
        drug  3.043   1  0.081
        """
        from mme.api.clustered import normal_reference_of
        from mme.inference.fixed.joint import joint_tests
        from mme.inference.fixed.z_tables import chisq_table

        return framed(chisq_table(joint_tests(self.internals, by, at, normal_reference_of(self, se, robust, cluster))))
