"""Functions of several fits, and of saved ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mme.api.face import Fit
from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.results.frames import framed
from mme.tables.arguments import check_options, is_word
from mme.tables.arrays import shown
from mme.tables.calls import explained

if TYPE_CHECKING:
    import pandas as pd

    from mme.api.generalised import GeneralisedFit
    from mme.inference.comparison.boundary import VarianceTest
    from mme.results.table import Table


@explained
def anova(*fits: Fit | GeneralisedFit, boundary: bool = False, test: str = "chisq", **options: Any) -> pd.DataFrame:
    r"""Likelihood-ratio tests of nested fits, from the smallest model to the largest.

    2 (l_large - l_small) is compared with a chi-square on the difference of their parameters (Wilks 1938). Where the
    fits differ by a variance that reference is conservative, since zero is the edge of its range; ``boundary=True``
    then compares with the mixture of Self and Liang (1987) and of Stram and Lee (1994), with c covariances that are
    zero along with the variance

        p = P(chi2_c > t) / 2 + P(chi2_{c+1} > t) / 2.

    Parameters
    ----------
    *fits : Fit or GeneralisedFit
        Two or more fits to the same records, all by ML; or all by REML with the same fixed effects; or all of
        generalised models, of one family and link. Linear models by least squares (:func:`mme.lm`) go with either. Of
        one fit alone: the table of its terms, :meth:`Fit.anova`.
    boundary : bool
        Choose the reference of each comparison by what its two fits differ in, and say it in the column ``reference``.
    test : str
        ``"chisq"``; ``"bootstrap"``: the reference is simulated, by fits of both models to responses drawn from the
        smaller one, whatever the two differ in: variances at zero, few groups, several parameters at once.
    **options
        Of the bootstrap: ``n`` (1000) replicates, ``seed``, ``workers``, ``progress``. What an interruption leaves is
        used, and said.

    Returns
    -------
    DataFrame
        ``npar, aic, bic, loglik, deviance, chisq, df, p``, one row a fit; by bootstrap ``p_error``, the Monte Carlo
        standard error of p, and ``n`` too. A fit that has other weights, another offset or known sigma than the one
        before it, or other fixed effects that do not hold the smaller ones, has no ratio: ``chisq, df, p`` are NaN, and
        a warning says why.

    Raises
    ------
    MMEError
        No fits, different records, mixed methods, or REML fits with different fixed effects: their
        criteria are likelihoods of different data. With ``boundary``: two neighbours are not nested, or no reference
        is known, for they differ in fixed and random effects, in several variances or in the residual structure, or
        the smaller is singular itself.

    Examples
    --------
    >>> import mme
    >>> data = mme.load("sleepstudy")
    >>> null = mme.lmer("Reaction ~ 1 + (1 | Subject)", data, method="ML")
    >>> days = mme.lmer("Reaction ~ Days + (1 | Subject)", data, method="ML")
    >>> mme.anova(null, days)["chisq"].round(3).tolist()
    [nan, 116.462]
    >>> slopes = mme.lmer("Reaction ~ Days + (Days | Subject)", data, method="ML")
    >>> mme.anova(null, days, slopes, boundary=True)["reference"].tolist()
    ['', 'chi2(1)', '0.5 chi2(1) + 0.5 chi2(2)']
    >>> mme.anova(null, days, test="bootstrap", n=99, seed=1)["p"].tolist()
    [nan, 0.01]
    """
    from mme.inference.comparison.compare import anova as anova_

    if len(fits) == 1:
        _record(fits[0])
        return fits[0].anova()
    if not is_word(test, ("chisq", "bootstrap")):
        raise MMEError(f"test={shown(test)}: test is 'chisq' or 'bootstrap'")
    if test == "bootstrap":
        from mme.inference.selection.simulated_ratios import simulated_anova

        if boundary:
            raise MMEError("a simulated reference needs no mixture: leave boundary=True out beside test='bootstrap'")
        check_options(options, ("n", "seed", "workers", "progress"), "test='bootstrap'")
        return framed(simulated_anova(*map(_record, fits), **options))
    check_options(options, (), "test='chisq'")
    return framed(anova_(*map(_record, fits), boundary=boundary))


@explained
def compare(
    *fits: Fit | GeneralisedFit,
    style: str = "se",
    names: Sequence[str] | None = None,
    ddf: str | None = None,
    level: float = 0.95,
) -> Table:
    r"""Models side by side, as a table for a paper.

    Parameters
    ----------
    *fits : Fit or GeneralisedFit
        One or more.
    style : str
        ``"se"``: estimates with standard errors in parentheses; ``"interval"``: with intervals in brackets; ``"apa"``:
        estimate, interval and p in columns of their own.
    names : sequence of str, optional
        What the models are called; None: (1), (2), ...
    ddf : str, optional
        Degrees of freedom, as in :meth:`Fit.summary`.
    level : float
        Of the intervals.

    Returns
    -------
    Table
        Fixed effects, standard deviations and correlations, numbers of records and levels, ICC, R squared, criteria,
        and notes on what they are; ``.to_latex()`` (booktabs), ``.to_html()``, ``.to_markdown()``, ``.to_docx(path)``.

    Examples
    --------
    >>> import mme
    >>> data = mme.load("sleepstudy")
    >>> one = mme.lmer("Reaction ~ Days + (1 | Subject)", data)
    >>> table = mme.compare(one, one.update("~ . - (1 | Subject) + (Days | Subject)"))
    >>> print("\n".join(repr(table).splitlines()[:4]))
                                           (1)            (2)
    Fixed effects
    (Intercept)                      251.41 (9.75)  251.41 (6.82)
    Days                            10.467 (0.804) 10.467 (1.546)
    """
    from mme.paper.side_by_side import side_by_side

    return side_by_side([_record(fit) for fit in fits], style, names, ddf, level)


@explained
def variance_test(large: Fit | GeneralisedFit, small: Fit | GeneralisedFit | None = None) -> VarianceTest:
    """Test whether one variance, with its covariances, is zero: likelihood ratio against a mixture of chi-squares.

    Parameters
    ----------
    large : Fit or GeneralisedFit
        With the variance.
    small : Fit or GeneralisedFit, optional
        The same model without it; None for a linear fit whose only variance it is, without a residual structure.

    Raises
    ------
    MMEError
        The fits do not share their records and fixed effects, or differ by other than one variance; theta was given.

    Examples
    --------
    >>> import mme
    >>> data = mme.load("sleepstudy")
    >>> slopes = mme.lmer("Reaction ~ Days + (Days | Subject)", data)
    >>> mme.variance_test(slopes, mme.lmer("Reaction ~ Days + (1 | Subject)", data))
    VarianceTest(statistic=42.8368..., p=2.7925...e-10, reference='0.5 chi2(1) + 0.5 chi2(2)')
    """
    from mme.inference.comparison.boundary import variance_test as variance_test_

    return variance_test_(_record(large), None if small is None else _record(small))


@explained
def exact_rlrt(fit: Fit, n: int = 10_000, *, seed: int | None = None) -> VarianceTest:
    """Test the only variance of a model by the exact distribution of its restricted likelihood ratio, simulated.

    Parameters
    ----------
    fit : Fit
        By REML, with one scalar random term whose levels are independent: ``(1 | g)`` or ``(0 + x | g)``.
    n : int
        Draws of (E).
    seed : int, optional
        Makes the same draws again.

    Returns
    -------
    VarianceTest
        ``p`` is (1 + draws as large) / (1 + n); ``error`` its standard error.

    Raises
    ------
    MMEError
        The model has more than one variance, or was not fitted by REML.

    Examples
    --------
    >>> import mme
    >>> fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
    >>> test = mme.exact_rlrt(fit, seed=1)
    >>> round(test.statistic, 3), test.p < 0.01
    (6.369, True)
    """
    from mme.inference.comparison.boundary import exact_rlrt as exact_rlrt_

    record = _record(fit)
    if not isinstance(record, Fitted):
        raise MMEError(
            "the exact distribution is of restricted likelihood ratios of linear models, and generalised models have "
            "no restricted likelihood; use variance_test(large, small)"
        )
    return exact_rlrt_(record, n, seed=seed)


@explained
def load_fit(path: str | os.PathLike[str], *, structures: Sequence[type] = ()) -> Fit | GeneralisedFit:
    """Read a fit that :meth:`Fit.save` wrote, or :meth:`GeneralisedFit.save`.

    Nothing in the file is run, and no search is done.

    Parameters
    ----------
    path : str or path
        The file.
    structures : list of class, optional
        The classes of structures and families of your own that the fit has, derived from :class:`mme.GStructure`,
        :class:`mme.residual.Bound`, :class:`mme.Parametric` or :class:`mme.Family`: a file has their names and numbers,
        not their code.

    Raises
    ------
    MMEError
        There is no such file, it is not a fit, it is damaged, a later version of mme wrote it, or a class is missing.
    """
    from mme.api.generalised import GeneralisedFit
    from mme.files.load import load_fit as load_fit_

    record = load_fit_(path, structures)
    return Fit(record) if isinstance(record, Fitted) else GeneralisedFit(record)


def _record(fit: Any) -> Record:
    """What a fit holds.

    Raises
    ------
    MMEError
        Something else is given.
    """
    record = getattr(fit, "internals", None)
    if not isinstance(record, Record):
        raise MMEError(f"anova compares fits as mme.lmer, mme.fit and mme.glmer return them, got {type(fit).__name__}")
    return record
