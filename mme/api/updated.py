"""The same model, changed: by a formula, without a term, reduced step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from mme.api.shared import Shared
from mme.errors import MMEError
from mme.results.frames import framed

if TYPE_CHECKING:
    import pandas as pd

    from mme.api.remembered import FitCall
    from mme.inference.selection.stepwise import Reduction


class Updated(Shared):
    """What a fit by formula makes of its own data again; ``made_by`` is the call that made it."""

    made_by: FitCall | None

    def update(self, formula: str | None = None, *, data: Any = None, **changes: Any) -> Self:
        """Fit a changed model: another formula, other data, other arguments; all else as it was.

        Parameters
        ----------
        formula : str, optional
            As for R's ``update``: a dot stands for what there was. ``"~ . - x"``, ``"~ . + I(x^2)"``,
            ``"log(.) ~ ."``, ``"~ . - (x | g) + (1 | g)"``.
        data : table, optional
            None: the data of the fit, which keeps a reference to them (a fit from a file does not).
        **changes
            Arguments of :func:`mme.lmer` or :func:`mme.glmer`: ``method="ML"``, ``subset="x > 0"``.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> fit.update("~ . + I(Days^2)", method="ML").formula
        'Reaction ~ Days + I(Days^2) + (Days | Subject)'
        >>> round(fit.update("~ . - (Days | Subject)").sigma, 2)  # least squares
        47.71
        """
        from mme.formula.updating import fitting_contrasts, updated

        call = self._call(data)
        if formula is None:
            made: Self = call.again(str(self.formula), data=data, **changes)
            return made
        text = updated(str(self.formula), formula, self.internals.specification.fixed)
        kept = {"contrasts": fitting_contrasts(text, call.arguments.get("contrasts"))}
        made = call.again(text, data=data, **(kept | changes))
        return made

    def ranova(self) -> pd.DataFrame:
        """Likelihood ratio tests of single deletions from the random part (lmerTest's ``ranova``).

        ``(x | g)`` loses x and becomes ``(1 | g)``, an intercept alone goes as a whole; what has nothing random left is
        the linear model by least squares, or the generalised linear one. All are fitted as this fit is, by REML or ML,
        to its records.

        Returns
        -------
        DataFrame
            One row per deletion, the model itself first: ``npar, loglik, aic, lrt, df, p`` as lmerTest has them, p by
            chi-square on df; and ``p_boundary``, which counts that a variance of zero is the edge of its range, by the
            mixture that ``reference`` names (:func:`mme.anova`), where that is known.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> fit.ranova()[["npar", "lrt", "df"]].round(2)
                                    npar    lrt   df
        deletion
        <none>                         6    NaN  NaN
        Days in (Days | Subject)       4  42.84  2.0
        """
        from mme.inference.selection.random_terms import ranova

        return framed(ranova(self.internals, self._refitted))

    def drop1(self, test: str | None = None, *, ddf: str = "satterthwaite") -> pd.DataFrame:
        """Tests of the terms of the fixed part that no other term contains, each left out by itself.

        Parameters
        ----------
        test : str, optional
            ``"F"``, of linear models: as lmerTest's ``drop1``, ``sum_sq, mean_sq, num_df, den_df, F, p``; or ``"LRT"``,
            of all: ``aic, lrt, df, p`` by maximum likelihood, for which fits by REML are fitted again. None:
            F of linear models, LRT of generalised ones.
        ddf : str
            Degrees of freedom of F, as in :meth:`Fit.anova`.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("yield ~ nitro + Variety + (1 | Block/Variety)", mme.load("Oats"))
        >>> fit.drop1()[["num_df", "den_df", "F"]].round(2)
                 num_df  den_df       F
        term
        nitro         1    53.0  118.00
        Variety       2    10.0    1.49
        """
        from mme.inference.selection.fixed_terms import drop1

        return framed(drop1(self.internals, self._refitted, test, ddf))

    def step(
        self,
        *,
        alpha_random: float = 0.1,
        alpha_fixed: float = 0.05,
        keep: str | Sequence[str] = (),
        ddf: str = "satterthwaite",
    ) -> Reduction:
        """Leave out, one after the other, what is not significant: random terms, then fixed ones (lmerTest's ``step``).

        The p-values, standard errors and intervals of the model that is left do not know that it was chosen: they are
        too small, and a warning says so.

        Parameters
        ----------
        alpha_random, alpha_fixed : float
            What has a larger p-value goes, the largest first. 1 keeps all.
        keep : str or sequence of str
            Terms of the fixed part that stay.
        ddf : str
            As in :meth:`drop1`.

        Returns
        -------
        Reduction
            ``.fit`` the model that is left, ``.random`` and ``.fixed`` the tables of what went, in its order, and of
            what stayed (``eliminated`` 0).
        """
        from mme.inference.selection.stepwise import reduction

        return reduction(self, alpha_random, alpha_fixed, keep, ddf)

    def _call(self, data: Any = None) -> FitCall:
        """The call that made this fit.

        Raises
        ------
        MMEError
            It is not known.
        """
        if self.made_by is None:
            raise MMEError(
                "this fit does not know its data and formula: it is from arrays, from a file, or of another response "
                "(refit); fit by mme.lmer or mme.glmer to change it"
            )
        return self.made_by

    def _refitted(self, formula: str, **changes: Any) -> Self:
        """The fit of another formula to the records of this one."""
        call = self._call()
        contrasts = call.arguments.get("contrasts")
        if contrasts is not None:
            from mme.formula.updating import fitting_contrasts

            changes["contrasts"] = fitting_contrasts(formula, contrasts)
        if self.internals.model.compressed is None:
            changes["na_action"] = self.internals.rows
        elif (again := getattr(self.internals, "source", None)) is not None and self.internals.rows.dropped:
            changes["na_action"] = again.layout.as_read
        made: Self = call.again(formula, **changes)
        if made.internals.model.compressed is not None and made.nobs != self.nobs:
            raise MMEError(
                f"'{formula}' has {made.nobs} complete records and '{self.formula}' has {self.nobs}: fit both to rows "
                "that miss nothing, by subset="
            )
        return made
