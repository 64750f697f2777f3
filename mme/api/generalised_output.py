"""A generalised fit as text, tables and files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mme.api.generalised_base import GeneralisedFace
from mme.numeric.bars import Progress
from mme.results.frames import framed

if TYPE_CHECKING:
    import pandas as pd

    from mme.results.table import Table


class GeneralisedOutput(GeneralisedFace):
    """What others read: a summary, tables, files."""

    def summary(self) -> str:
        """The fit as text, laid out as readers of glmer's output know it.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 4, 0, 8, 2], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> print(fit.summary().partition("Scaled")[0].strip())
        Generalised linear mixed model fit by maximum likelihood
        Family: binomial, link logit
        Approximation: Laplace
        Formula: cbind(ill, of - ill) ~ 1 + (1 | herd)
        Trials: 5 to 22
        <BLANKLINE>
            AIC     BIC   logLik deviance df.resid
        28.4887 28.0722 -12.2444  24.4887        4
        """
        from mme.inference.fixed.shown import generalised_fixed_tests
        from mme.results.generalised_summary import summary_text

        return summary_text(self.internals, generalised_fixed_tests(self.internals))

    def table(self, *, level: float = 0.95) -> Table:
        """The fit as a table for a paper, on the scale of the link, as :meth:`mme.Fit.table`."""
        from mme.paper.fit_table import fit_table

        return fit_table(self.internals, None, level)

    def methods_text(self) -> str:
        """A paragraph for the methods of a paper, to be edited, as :meth:`mme.Fit.methods_text`."""
        from mme.paper.methods_text import methods_text

        return methods_text(self.internals, "none")

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from mme.inference.fixed.shown import generalised_fixed_tests
        from mme.results.generalised_summary import summary_html

        return summary_html(self.internals, generalised_fixed_tests(self.internals))

    def tidy(self, effects: str | Sequence[str] = ("fixed", "variance"), *, level: float = 0.95) -> pd.DataFrame:
        """Estimates as a long table, one row for each (broom's ``tidy``).

        Parameters
        ----------
        effects : str or sequence of str
            ``"fixed"`` effects, on the scale of the link; ``"variance"``: standard deviations and correlations of the
            random effects, then the parameters of the family, with standard errors by the delta method and intervals
            as those of :meth:`confint`; ``"blup"``: one row per level and coefficient of a grouping
            factor, the modes, ``std_error`` the root of var(b | y) at them, parameters taken as known.
        level : float
            Of the intervals ``lower, upper``, by the normal distribution.

        Returns
        -------
        DataFrame
            The columns of :meth:`Fit.tidy`: tables of both kinds of fit go under one another.

        Examples
        --------
        >>> import mme
        >>> counts = {"y": [0, 1, 2, 4, 9, 7], "g": [1, 1, 2, 2, 3, 3]}
        >>> mme.glmer("y ~ 1 + (1 | g)", counts, "poisson").tidy()[["effect", "group", "term", "estimate"]].round(2)
             effect group            term  estimate
        0     fixed   NaN     (Intercept)      0.98
        1  variance     g  sd (Intercept)      0.92
        """
        from mme.files.generalised_tables import tidy

        return framed(tidy(self.internals, effects, level=level))

    def glance(self) -> pd.DataFrame:
        """Describe the whole fit in one row (broom's ``glance``).

        Returns
        -------
        DataFrame
            ``formula, method, family, link, approximation, nobs, dof, criterion, loglik, aic, bic, verdict, singular``.
        """
        from mme.files.generalised_tables import glance

        return framed(glance(self.internals))

    def augment(self, data: Any = None) -> pd.DataFrame:
        """The data, where given, with fitted values and residuals beside them (broom's ``augment``).

        Parameters
        ----------
        data : DataFrame or what makes one, optional
            The table of the fit, to put before the new columns.

        Returns
        -------
        DataFrame
            A row for each row of the data, NaN where it was left out of the fit. Columns: ``.fitted``, the mean at the
            modes; ``.linear_predictor``, its link; ``.fixed``, the part of that without random effects; ``.residual``,
            the response less ``.fitted``; ``.pearson`` and ``.deviance``, residuals; ``.leverage`` and
            ``.cooks_distance``. Without data the response first: a proportion where the records are successes of
            trials.
        """
        from mme.files.generalised_tables import augment

        return framed(augment(self.internals, data))

    def report(self, path: str | os.PathLike[str], *, title: str | None = None, progress: Progress = False) -> None:
        """Write the fit as one HTML file: summary, effects, checks, pictures, methods (``pip install mme[plot]``).

        Parameters
        ----------
        path : str or path
            The file; pictures are inside it.
        title : str, optional
            Its heading; None: the response and the grouping factors.
        progress : bool or callable
            True draws a bar on stderr; a callable gets (sections done, sections).

        Raises
        ------
        MMEError
            matplotlib is not installed, or the file cannot be written.
        """
        from mme.files.generalised_report import write_generalised_report

        table = None if self.made_by is None else self.made_by.arguments.get("data")
        write_generalised_report(self.internals, path, title=title, table=table, progress=progress)

    def for_marginaleffects(self, data: Any) -> Any:
        """A model of the package marginaleffects, whose predictions, comparisons and slopes then serve the fit.

        Means are those of rows without random effects, on the scale of the response. Covariances are
        ``beta_cov``, tests are by the normal distribution.

        Parameters
        ----------
        data : DataFrame
            The table of the fit.

        Raises
        ------
        MMEError
            marginaleffects is not installed, or the fit is by arrays.
        """
        from mme.files.marginal import marginal_model

        return marginal_model(self.internals, data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit to a file that :func:`mme.load_fit` reads, as :meth:`Fit.save`.

        The records are in the file, and all that the search found: what is read back has the same numbers to the last
        bit, and nothing is searched again. A family of your own is saved by the name of its class, which is to be given
        again: ``mme.load_fit(path, structures=[MyFamily])``.

        Raises
        ------
        MMEError
            The file cannot be written.

        Examples
        --------
        >>> import mme, tempfile, pathlib
        >>> fit = mme.glmer("y ~ 1 + (1 | g)", {"y": [0, 1, 2, 4, 9, 7], "g": [1, 1, 2, 2, 3, 3]}, "poisson")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fit.save(pathlib.Path(folder) / "counts.mme")
        ...     again = mme.load_fit(pathlib.Path(folder) / "counts.mme")
        >>> again.beta.equals(fit.beta), again.criterion == fit.criterion
        (True, True)
        """
        from mme.files.save_generalised import save_generalised

        save_generalised(self.internals, path)
