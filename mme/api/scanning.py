"""Scans of candidates for a further column of X."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.api.face import Fit
from mme.errors import MMEError, MMEWarning
from mme.inference.scanning.candidates import Candidates, imputed
from mme.inference.scanning.scan import Scan, error_freedom, refit_with, scan_at, scan_jointly
from mme.numeric.bars import Progress, reporter
from mme.tables.arguments import count, yes_or_no
from mme.tables.arrays import shown
from mme.tables.calls import explained

if TYPE_CHECKING:
    import pandas as pd


@explained
def scan(
    fit: Fit | Mapping[Any, Fit],
    candidates: Any,
    *,
    groups: Any = None,
    refit: int = 0,
    ratio: bool = False,
    progress: Progress = False,
) -> Scan:
    r"""Test each of many candidates as one further column of X: markers of a genome, covariates of a screen.

    The variances of the random effects, relative to sigma^2, are those of the fit (EMMAX, Kang et al. 2010, Nat. Genet.
    42:348; P3D, Zhang et al. 2010); beta and sigma are estimated beside each candidate: estimate = x'Py / x'Px,
    se^2 = sigma^2 / x'Px, and t on n - p - 1 degrees of freedom.

    Parameters
    ----------
    fit : Fit or mapping of Fit
        The model without candidates. Of a mapping, the fit of each of ``groups``: one without the chromosome's own
        markers in its relationship for each chromosome.
    candidates : (rows, m) array, frame, sparse matrix, memory map or reader of a bed file
        One column per candidate, one row per row of the fit's data. A missing value is the mean of its column. An
        array (rows, m, c) has candidates of c columns, tested jointly by F (additive and dominance codes).
    groups : (m,) array, optional
        Which fit of the mapping each candidate is tested in.
    refit : int
        For so many candidates with the smallest p-values the variances are estimated anew: columns ``refit_...``.
    ratio : bool
        Take x'Px for a multiple of x'Mx, M = I - X(X'X)^-1 X', of which the ratio is found by 200 candidates
        (GRAMMAR-Gamma, Svishcheva et al. 2012; fastGWA, Jiang et al. 2019): no candidate is solved for. ``ratio_sd``
        says how far they differ.
    progress : bool or callable
        True draws a bar on stderr; a callable gets (candidates done, m).

    Returns
    -------
    Scan
        ``table`` with one row per candidate, ``top(n)``, ``inflation``.

    Raises
    ------
    MMEError
        Candidates have other rows than the data, or a group has no fit.

    Examples
    --------
    >>> import mme, numpy as np
    >>> sleep = mme.load("sleepstudy")
    >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> G = np.random.default_rng(1).integers(0, 3, (180, 200)).astype(float)
    >>> found = mme.scan(fit, G, refit=1)
    >>> len(found), found.df
    (200, 177.0)
    >>> again = mme.lmer("Reaction ~ x + Days + (Days | Subject)", {**sleep, "x": G[:, 3]}, theta=fit.theta)
    >>> bool(np.isclose(found.table["t"][3], again.coefficients()["t"]["x"]))
    True
    """
    fits = dict(fit) if isinstance(fit, Mapping) else {None: fit}
    if not all(isinstance(one, Fit) for one in fits.values()):
        raise MMEError("a scan is of linear mixed models: give fits of mme.lmer or mme.fit")
    rows = {one.internals.rows.kept.size for one in fits.values()}
    if len(rows) != 1:
        raise MMEError("the fits of a scan must be of the same rows")
    next(iter(fits.values())).internals.rows.check_order(candidates, "the candidates")
    columns = Candidates.of(candidates, rows.pop())
    if columns.several and (refit or ratio):
        raise MMEError("refit= and ratio= are of candidates of one column; these have several")
    m = len(columns.names)
    label = _labels(fit, fits, groups, m)
    values, report, done = np.full((m, 5), np.nan), reporter("scan", m, progress), 0
    ratios, df = [], error_freedom(next(iter(fits.values())).internals)
    try:
        for key, one in fits.items():
            at = np.flatnonzero([value == key for value in label]) if groups is not None else np.arange(m)
            tell = partial(_further, report, done)
            if columns.several:
                scan_jointly(one.internals, columns, at, values, tell)
            elif at.size:
                found = scan_at(one.internals, columns, at, yes_or_no(ratio, "ratio"), values, tell)
                ratios += [] if found is None else [found]
            done += at.size
    except KeyboardInterrupt:
        done = int(np.isfinite(values[:, 4]).sum())
        if not done:
            raise
        warnings.warn(f"interrupted: {done} of {m} candidates are done, others NaN", MMEWarning, stacklevel=2)
    again = _best(values[:, 3], 0 if refit == 0 else count(refit, "refit"))
    table = _table(columns, values, {j: fits[label[j] if groups is not None else None] for j in again})
    if not ratios:
        return Scan(table, df)
    mean, sd = np.mean(ratios, axis=0).tolist()
    return Scan(table, df, mean, sd)


def _table(columns: Candidates, values: np.ndarray, again: Mapping[int, Fit]) -> pd.DataFrame:
    """What was found of each candidate, and of those that are fitted ``again`` with variances of their own."""
    import pandas as pd

    names = ["F", "df", "df_error", "p"] if columns.several else ["estimate", "se", "t", "p"]
    table = pd.DataFrame(values[:, :4], index=list(columns.names), columns=names)
    table["n_missing"] = np.nan_to_num(values[:, 4]).astype(int)
    if not again:
        return table
    refits = np.full((len(values), 4), np.nan)
    for j, fit in again.items():
        x = imputed(columns.read(j, j + 1)[fit.internals.rows.kept, 0][None])[0]
        refits[j] = refit_with(fit.internals, x[0])
    table[["refit_estimate", "refit_se", "refit_df", "refit_p"]] = refits
    return table


def _further(report: Callable[[int], None], before: int, done: int) -> None:
    report(before + done)


def _best(p: np.ndarray, n: int) -> list[int]:
    order = np.argsort(p, kind="stable")
    return [j for j in order[:n].tolist() if np.isfinite(p[j])]


def _labels(fit: Any, fits: dict[Any, Fit], groups: Any, m: int) -> list[Any]:
    """The fit that each candidate belongs to."""
    if groups is None:
        if isinstance(fit, Mapping):
            raise MMEError("several fits need groups=: which of them each candidate is tested in")
        return [None] * m
    label = list(groups)
    if len(label) != m or not isinstance(fit, Mapping):
        raise MMEError(f"groups has {len(label)} values for {m} candidates, and needs a fit for each of its values")
    unknown = set(label) - set(fits)
    if unknown:
        raise MMEError(f"there is no fit for group {shown(sorted(map(str, unknown))[0])}")
    return label
