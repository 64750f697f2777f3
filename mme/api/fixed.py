"""Fixed effects: tables, tests and means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mme.api.base import Face
from mme.results.frames import framed

if TYPE_CHECKING:
    import pandas as pd

    from mme.inference.fixed.kenward_roger import KenwardRoger
    from mme.inference.fixed.satterthwaite import Satterthwaite


class FixedEffects(Face):
    """What a fit says of its fixed effects."""

    @property
    def satterthwaite(self) -> Satterthwaite:
        """Tests of fixed effects by Satterthwaite's degrees of freedom."""
        from mme.inference.fixed.satterthwaite import satterthwaite

        return self.internals.determined.once(satterthwaite)

    @property
    def kenward_roger(self) -> KenwardRoger:
        """Tests of fixed effects by Kenward and Roger's method; ``cov`` is the adjusted covariance of :attr:`beta`."""
        from mme.inference.fixed.kenward_roger import KenwardRoger
        from mme.inference.fixed.methods import reference

        found = reference(self.internals, "kenward-roger")
        assert isinstance(found, KenwardRoger)
        return found

    def coefficients(
        self, ddf: str = "satterthwaite", *, robust: str | None = None, cluster: Any = None
    ) -> pd.DataFrame:
        """Table of the fixed effects: ``estimate, se, df, t, p``.

        Parameters
        ----------
        ddf : str
            ``"satterthwaite"``; ``"kenward-roger"`` (REML alone; adjusts the standard errors too; of a covariance that
            is not linear with the second derivatives by SAS's parameters, which ``"kenward-roger-linear"`` leaves out);
            ``"containment"``, ``"between-within"``: counted, as SAS does; or ``"none"``: the Wald test, on infinite
            degrees of freedom.
        robust : str, optional
            ``"CR2"`` (or ``"CR0"``, ``"CR1"``, ``"CR1S"``, ``"CR3"``): standard errors by the sandwich, which hold
            whatever the covariance within clusters, and Satterthwaite's degrees of freedom, as in clubSandwich.
        cluster : str or array, optional
            A column, or ``"site/subject"``; None: the groups of the residual structure, or the outermost random term.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("distance ~ age * Sex + (1 | Subject)", mme.load("Orthodont"))
        >>> fit.coefficients(robust="CR2", cluster="Subject")[["se", "df"]].round(3).loc["age:SexMale"].tolist()
        [0.121, 21.653]
        """
        from mme.api.clustered import reference_of
        from mme.inference.fixed.contrasts import coefficient_table

        return framed(coefficient_table(self.internals, reference_of(self, ddf, robust, cluster)))

    def anova(
        self, ddf: str = "satterthwaite", *, type: int | str = 3, robust: str | None = None, cluster: Any = None
    ) -> pd.DataFrame:
        """F tests of the terms, of type 1, 2 or 3: ``sum_sq, mean_sq, num_df, den_df, F, p``.

        ``ddf``, ``robust`` and ``cluster`` as in :meth:`coefficients`; tests by clusters are Hotelling's (HTZ), whose
        tables have no sums of squares: F sigma^2 is none with a covariance that is not the model's.

        A term without columns of its own has no row; ``attrs["note"]`` and a warning say so, and on what tests of type
        3 depend where cells are empty.
        """
        from mme.api.clustered import reference_of
        from mme.inference.fixed.anova import anova_table

        return framed(anova_table(self.internals, type, reference_of(self, ddf, robust, cluster)))

    def contrast(
        self,
        L: Any,
        *,
        rhs: Any = 0.0,
        joint: bool = False,
        ddf: str = "satterthwaite",
        robust: str | None = None,
        cluster: Any = None,
    ) -> pd.DataFrame:
        """Tests of L beta = rhs, row by row (``estimate, se, df, t, p``) or ``joint`` (``num_df, den_df, F, p``).

        L is a vector or matrix (one column per fixed effect), a table with names, or {name: weight}. What the data
        do not determine is refused, and so are right sides of dependent rows that contradict each other. ``ddf``,
        ``robust`` and ``cluster`` as in :meth:`coefficients`; joint tests by clusters are Hotelling's (HTZ).
        """
        from mme.api.clustered import reference_of
        from mme.inference.fixed.contrasts import contrast_table

        return framed(contrast_table(self.internals, L, rhs, joint, reference_of(self, ddf, robust, cluster)))

    def test(
        self, hypothesis: str, *, ddf: str = "satterthwaite", robust: str | None = None, cluster: Any = None
    ) -> pd.DataFrame:
        """Test a linear hypothesis on the fixed effects: ``"Days = 0"``, ``"2*a + b = 3"``, ``"a = b, c = 0"``.

        One equation gives ``estimate`` (left minus right), ``se, df, t, p``; several ``num_df, den_df, F, p``.
        ``ddf``, ``robust`` and ``cluster`` as in :meth:`contrast`.
        """
        from mme.api.clustered import reference_of
        from mme.inference.fixed.hypotheses import hypothesis_table

        return framed(hypothesis_table(self.internals, hypothesis, reference_of(self, ddf, robust, cluster)))

    def vif(self) -> pd.DataFrame:
        """Variance inflation of the terms of the fixed part, ``vif, df, per_df``: R's ``car::vif``.

        ``vif`` of a term of one column is 1 / (1 - R^2) of it on the others, of several the generalised one of Fox and
        Monette; ``per_df`` is vif^(1 / (2 df)), how much longer intervals are. Above 5 or so (``per_df`` above 2.2)
        terms are hard to tell apart.
        """
        from mme.inference.fixed.inflation import inflation

        return framed(inflation(self.internals, self.internals.estimates.beta_cov))
