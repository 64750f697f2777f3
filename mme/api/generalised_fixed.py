"""Fixed effects of a generalised fit: tables and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mme.api.generalised_base import GeneralisedFace
from mme.results.frames import framed
from mme.tables.arguments import yes_or_no

if TYPE_CHECKING:
    import pandas as pd


class GeneralisedFixedEffects(GeneralisedFace):
    """What a generalised fit says of its fixed effects: tests are by the normal distribution, and by chi-square."""

    def coefficients(
        self,
        se: str = "hessian",
        *,
        level: float = 0.95,
        scale: str = "link",
        robust: str | None = None,
        cluster: Any = None,
    ) -> pd.DataFrame:
        """Table of the fixed effects: ``estimate, se, z, p, lower, upper``.

        Parameters
        ----------
        se : str
            ``"hessian"``: standard errors from the Hessian of the criterion by all parameters, lme4's default and
            glmmTMB's; ``"rx"``: those with theta and the family's parameters held at their estimates, lme4's from RX.
        level : float
            Of the interval, by the normal distribution.
        scale : str
            ``"link"``; ``"response"``: exp of the estimates and their limits, in a column that is named for the link:
            ``odds_ratio`` (logit), ``rate_ratio`` (log, counts), ``mean_ratio`` (log), ``hazard_ratio`` (cloglog). That
            of the intercept is no ratio, but the odds, or the mean, at zero. z and p are those of the link's scale.
        robust : str, optional
            ``"CR0"``: the sandwich of the scores of clusters, which holds whatever else is correlated within them;
            ``"CR1"``: times m / (m - 1) for m clusters. Of Laplace's approximation, or of a quadrature.
        cluster
            A grouping factor or another column of the data, by name, or a column itself; by default the outermost
            groups. Each level of every term lies whole in a cluster.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [1, 1, 4, 3, 12, 9], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds)
        >>> fit.coefficients().round(3)
                     estimate     se      z      p  lower  upper
        (Intercept)    -0.776  0.644 -1.205  0.228 -2.037  0.486
        """
        from mme.api.clustered import normal_reference_of
        from mme.inference.fixed.contrasts import coefficient_table
        from mme.inference.fixed.z_tables import is_response, required_ratio, z_table

        ratio = required_ratio(self.internals.family) if is_response(scale) else None
        to = normal_reference_of(self, se, robust, cluster)
        return framed(z_table(coefficient_table(self.internals, to), level, ratio))

    def anova(
        self, se: str = "hessian", *, type: int | str = 3, robust: str | None = None, cluster: Any = None
    ) -> pd.DataFrame:
        """Wald's chi-square tests of the terms, of type 1, 2 or 3: ``chisq, df, p``.

        The hypotheses are those of :meth:`mme.Fit.anova`. ``se``, ``robust`` and ``cluster`` choose the covariance as
        in :meth:`coefficients`.

        A term without columns of its own has no row; ``attrs["note"]`` and a warning say so, and on what tests of type
        3 depend where cells are empty. Likelihood ratios are :func:`mme.anova`'s.
        """
        from mme.api.clustered import normal_reference_of
        from mme.inference.fixed.anova import wald_table

        return framed(wald_table(self.internals, type, normal_reference_of(self, se, robust, cluster)))

    def contrast(
        self,
        L: Any,
        *,
        rhs: Any = 0.0,
        joint: bool = False,
        se: str = "hessian",
        level: float = 0.95,
        scale: str = "link",
        robust: str | None = None,
        cluster: Any = None,
    ) -> pd.DataFrame:
        """Tests of L beta = rhs, by row (``estimate, se, z, p, lower, upper``) or ``joint`` (``chisq, df, p``).

        L is as in :meth:`mme.Fit.contrast`; ``se``, ``level``, ``scale``, by which differences are ratios, ``robust``
        and ``cluster`` as in :meth:`coefficients`.
        """
        from mme.api.clustered import normal_reference_of
        from mme.inference.fixed.contrasts import contrast_table
        from mme.inference.fixed.z_tables import chisq_table, is_response, required_ratio, z_table

        ratio = required_ratio(self.internals.family) if is_response(scale) else None
        joint = yes_or_no(joint, "joint")
        table = contrast_table(self.internals, L, rhs, joint, normal_reference_of(self, se, robust, cluster))
        return framed(chisq_table(table) if joint else z_table(table, level, ratio))

    def test(
        self,
        hypothesis: str,
        *,
        se: str = "hessian",
        level: float = 0.95,
        robust: str | None = None,
        cluster: Any = None,
    ) -> pd.DataFrame:
        """Test a linear hypothesis on the fixed effects: ``"age = 0"``, ``"2*a + b = 3"``, ``"a = b, c = 0"``.

        One equation gives ``estimate`` (left minus right), ``se, z, p, lower, upper``; several ``chisq, df, p``.
        ``robust`` and ``cluster`` as in :meth:`coefficients`.
        """
        from mme.api.clustered import normal_reference_of
        from mme.inference.fixed.hypotheses import hypothesis_table
        from mme.inference.fixed.z_tables import chisq_table, z_table

        table = hypothesis_table(self.internals, hypothesis, normal_reference_of(self, se, robust, cluster))
        return framed(chisq_table(table) if "F" in table else z_table(table, level))

    def vif(self) -> pd.DataFrame:
        """Variance inflation of the terms of the fixed part, ``vif, df, per_df``: R's ``car::vif``.

        ``vif`` of a term of one column is 1 / (1 - R^2) of it on the others, of several the generalised one of Fox and
        Monette; ``per_df`` is vif^(1 / (2 df)), how much longer intervals are. Above 5 or so (``per_df`` above 2.2)
        terms are hard to tell apart.
        """
        from mme.inference.fixed.inflation import inflation

        return framed(inflation(self.internals, self.internals.estimates.beta_cov))
