"""A fit as text, tables, pictures and files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mme.api.base import Face, of_records
from mme.api.clustered import reference_of
from mme.numeric.bars import Progress
from mme.results.frames import framed

if TYPE_CHECKING:
    import pandas as pd

    from mme.diagnosis.findings import Diagnosis
    from mme.plot import Plots
    from mme.results.table import Table


class Output(Face):
    """What others read: a summary, a diagnosis, tables, pictures, files."""

    def summary(self, ddf: str | None = None, *, robust: str | None = None, cluster: Any = None) -> str:
        """The fit as text, laid out as readers of lme4 and lmerTest know it.

        Parameters
        ----------
        ddf : str, optional
            Degrees of freedom of the t tests, as in :meth:`Fit.coefficients`. None: Satterthwaite's; where these would
            cost more than the fit did, t alone and a line that says so.
        robust, cluster
            The sandwich by clusters, as in :meth:`Fit.coefficients`.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> print(fit.summary().partition("Fixed effects")[2].partition("Correlation")[0].rstrip())
        , degrees of freedom by Satterthwaite:
                    Estimate Std. Error   df t value Pr(>|t|)
        (Intercept)  251.405      6.825 17.0  36.838   <0.001
        Days          10.467      1.546 17.0   6.771   <0.001
        """
        from mme.inference.fixed.methods import ddf_method
        from mme.inference.fixed.shown import clustered_tests, fixed_tests
        from mme.results.summary import summary_text

        if robust is None and cluster is None:
            return summary_text(self.internals, fixed_tests(self.internals, ddf))
        method = ddf or "satterthwaite"
        to = reference_of(self, method, robust, cluster)
        return summary_text(self.internals, clustered_tests(self.internals, to, str(robust), ddf_method(method)))

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        from mme.inference.fixed.shown import fixed_tests
        from mme.results.summary import summary_html

        return summary_html(self.internals, fixed_tests(self.internals))

    def table(self, *, ddf: str | None = None, level: float = 0.95) -> Table:
        r"""The fit as a table for a paper: fixed effects with intervals and tests, variances, sizes, criteria.

        Parameters
        ----------
        ddf, level : str, float
            As in :meth:`summary`; of the intervals.

        Returns
        -------
        Table
            Shows itself in a terminal and a notebook; ``.to_markdown()``, ``.to_latex()`` (booktabs), ``.to_html()``,
            ``.to_docx(path)`` (``pip install mme[docx]``); ``.frame`` has the numbers.

        Examples
        --------
        >>> import mme
        >>> table = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy")).table()
        >>> print("\n".join(table.to_latex().splitlines()[5:11]))
        \begin{tabular}{lrrrrrr}
        \toprule
         & Estimate & SE & 95\% CI & df & t & p \\
        \midrule
        \multicolumn{7}{l}{\textit{Fixed effects}} \\
        (Intercept) & 251.41 & 6.82 & [237.01, 265.80] & 17.0 & 36.84 & $<$0.001 \\
        """
        from mme.paper.fit_table import fit_table

        return fit_table(self.internals, ddf, level)

    def methods_text(self, *, ddf: str = "satterthwaite") -> str:
        r"""A paragraph for the methods of a paper, to be edited: model, estimation, tests, software and its version.

        It says what is unusual too: rows left out, a singular fit, a search that did not end at a clear minimum.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> print(fit.methods_text().partition(" with ")[0].replace("\n", " "))
        We fitted a linear mixed model to 180 observations of Reaction
        """
        from mme.paper.methods_text import methods_text

        return methods_text(self.internals, ddf)

    @of_records
    def diagnose(self) -> Diagnosis:
        """Say in plain language what is unusual about the fit, what it means and what to try.

        It looks for an optimum on the boundary (singular), flat or not reached; terms that describe the same effects;
        factors with fewer than five levels, or whose levels have hardly any repeated records; columns on very
        different scales, or an origin far outside the data; a fit that is nearly exact; columns of X that were dropped.

        Returns
        -------
        Diagnosis
            Prints as text; ``len()`` is zero and it is false when nothing was found; ``.kinds`` names what was.

        Examples
        --------
        >>> import mme
        >>> bool(mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy")).diagnose())
        False
        >>> mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff2")).diagnose().kinds
        ('singular',)
        """
        from mme.diagnosis.checks import diagnose

        return diagnose(self.internals)

    @property
    @of_records
    def plot(self) -> Plots:
        """Pictures: ``fit.plot.effects("x")``, ``.coefficients()``, ``.check()``, ... return matplotlib axes."""
        from mme.plot import Plots

        return Plots(self.internals, None if self.made_by is None else self.made_by.arguments.get("data"))

    @of_records
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
        from mme.files.report import write_report

        table = None if self.made_by is None else self.made_by.arguments.get("data")
        write_report(self.internals, path, title=title, table=table, progress=progress)

    def tidy(
        self, effects: str | Sequence[str] = ("fixed", "variance"), *, ddf: str = "satterthwaite", level: float = 0.95
    ) -> pd.DataFrame:
        """Estimates as a long table, one row for each (broom's ``tidy``).

        Parameters
        ----------
        effects : str or sequence of str
            ``"fixed"`` effects; ``"variance"``: standard deviations and correlations of the random effects, parameters
            of the residual structure and the residual standard deviation, ``std_error`` by the observed information
            and ``lower, upper`` on the scale without bounds (logarithm, Fisher's z); ``"blup"``: one row per level and
            coefficient of a grouping factor, ``std_error`` the root of var(b | y) and ``lower, upper`` by the normal
            quantile: variances are taken as known, as in lme4's intervals.
        ddf : str
            Degrees of freedom of the fixed effects, as in :meth:`Fit.coefficients`.
        level : float
            Of the intervals ``lower, upper``.

        Returns
        -------
        DataFrame
            ``effect, group, level, term, estimate, std_error, df, statistic, p_value, lower, upper``; what has no
            value is missing.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
        >>> fit.tidy(ddf="none")[["effect", "group", "term", "estimate"]].round(1)
             effect     group            term  estimate
        0     fixed       NaN     (Intercept)    1527.5
        1  variance     Batch  sd (Intercept)      42.0
        2  variance  residual              sd      49.5
        """
        from mme.files.tidy import tidy

        return framed(tidy(self.internals, effects, ddf=ddf, level=level))

    def glance(self) -> pd.DataFrame:
        """Describe the whole fit in one row (broom's ``glance``).

        Returns
        -------
        DataFrame
            ``formula, method, nobs, dof, sigma, criterion, loglik, aic, bic, r2_marginal, r2_conditional, icc, verdict,
            singular``; ``icc`` is that of all random terms together.
        """
        from mme.files.tidy import glance

        return framed(glance(self.internals))

    @of_records
    def augment(self, data: Any = None) -> pd.DataFrame:
        """The data, where given, with fitted values and residuals beside them (broom's ``augment``).

        Parameters
        ----------
        data : DataFrame or what makes one, optional
            The table of the fit, to put before the new columns.

        Returns
        -------
        DataFrame
            A row for each row of the data, NaN where it was left out of the fit. Columns: ``.fitted``,
            ``.population`` (without random effects), ``.residual``, ``.standardised`` (see
            :meth:`Fit.scaled_residuals`), ``.leverage`` and ``.cooks_distance``, or ``.normalised`` alone where records
            of several levels are whitened together; without data the response first.
        """
        from mme.files.tidy import augment

        return framed(augment(self.internals, data))

    def for_marginaleffects(self, data: Any) -> Any:
        """A model of the package marginaleffects, whose predictions, comparisons and slopes then serve the fit.

        Means are of rows without random effects, covariances by ``beta_cov``, and tests by the normal distribution.

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

    def effective_dimensions(self) -> pd.Series:
        """How many free coefficients each random term amounts to: tr(Z'P Z G), between none and all of them.

        Of a penalised spline, ``ps(x)``, the effective degrees of freedom beyond its line; fixed effects, random terms
        and the residual add up to the number of records. NaN for terms with a relationship.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"))
        >>> fit.effective_dimensions().round(2).to_dict()
        {'fixed': 2.0, 'Subject': 15.89, 'residual': 162.11}
        """
        from mme.results.effective import effective_dimensions

        return effective_dimensions(self.internals)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fit to a file that :func:`mme.load_fit` reads; the format is documented in :mod:`mme.files.save`.

        The records are in the file: whoever can read it can read the data. Factors are not; they are computed again. A
        structure of your own is saved by the name of its class, which is to be given again:
        ``mme.load_fit(path, structures=[MyStructure])``.

        Raises
        ------
        MMEError
            The file cannot be written, or a structure of your own holds something that is neither number nor text nor
            an array.

        Examples
        --------
        >>> import mme, tempfile, pathlib
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     fit.save(pathlib.Path(folder) / "sleep.mme")
        ...     again = mme.load_fit(pathlib.Path(folder) / "sleep.mme")
        >>> again.beta.equals(fit.beta), again.predict({"Days": [10], "Subject": ["308"]}).round(1).tolist()
        (True, [450.3])
        """
        from mme.files.save import save_fit

        save_fit(self.internals, path)
