"""A heat map of the correlations of a term's coefficients: environments that rank genotypes alike stand together."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.plot.shades import diverging
from mme.plot.style import one_axes
from mme.plot.words import abridged, room
from mme.results.breeding_values import chosen_term
from mme.tables.arguments import is_word, yes_or_no
from mme.tables.arrays import shown

# Up to so many coefficients cells have their number.
_WRITTEN = 14
# A correlation beyond this is written in the colour of the paper.
_STRONG = 0.6


def correlations(
    fit: Fitted, term: str | None = None, *, order: str = "cluster", data: bool = False, ax: Any = None
) -> Any:
    """Correlations of a term's coefficients, of genotypes between environments or of traits, as a heat map.

    Parameters
    ----------
    term : str, optional
        A random term of two coefficients or more; None: the only one that has.
    order : str
        ``"cluster"``: coefficients that are alike stand together (average linkage of 1 - r); ``"given"``: as they are.
    data : bool
        Return the correlations in the order drawn.

    Returns
    -------
    Axes; a DataFrame for ``data=True``
    """
    import pandas as pd

    if not is_word(order, ("cluster", "given")):
        raise MMEError(f"order must be 'cluster' or 'given', got {shown(order)}")
    one = fit.model.terms[of_several(fit, term, "correlations")]
    R = fit.varcorr[one.name].corr
    at = clustered(R) if order == "cluster" else np.arange(one.q)
    names = [one.columns[j] for j in at.tolist()]
    labels = abridged(names)
    R = R[np.ix_(at, at)]
    if yes_or_no(data, "data"):
        return pd.DataFrame(R, index=names, columns=names)
    size = float(np.interp(one.q, [2, 30], [2.6, 7.0]))
    beside = room(labels)
    ax = one_axes(ax, (size + 1.3 + beside, size + beside))
    image = ax.imshow(R, cmap=diverging(), vmin=-1.0, vmax=1.0, interpolation="nearest")
    ax.set_xticks(np.arange(one.q), labels, rotation=90 if max(map(len, labels)) > 3 else 0)
    ax.set_yticks(np.arange(one.q), labels)
    ax.tick_params(length=0.0)
    ax.spines[:].set_visible(False)
    if one.q <= _WRITTEN:
        for (i, j), r in np.ndenumerate(R):
            strong = {"color": "#ffffff"} if abs(r) > _STRONG else {}
            ax.text(j, i, "" if np.isnan(r) else f"{r:.2f}", ha="center", va="center", fontsize=7.5, **strong)
    ax.figure.colorbar(image, ax=ax, shrink=0.85, label="correlation")
    ax.set_title(f"Correlations by {one.name}")
    return ax


def of_several(fit: Fitted, name: str | None, what: str) -> int:
    """The term of this name, or the only one of several coefficients.

    Raises
    ------
    MMEError
        It has one coefficient; none or several terms could be meant.
    """
    several = [t for t, term in enumerate(fit.model.terms) if term.q > 1]
    t = several[0] if name is None and len(several) == 1 else chosen_term(fit, name, what)
    if fit.model.terms[t].q < 2:
        raise MMEError(f"{what}: the term '{fit.model.terms[t].name}' has one coefficient; two or more are needed")
    return t


def clustered(R: np.ndarray) -> np.ndarray:
    """An order of coefficients in which neighbours are alike."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    if len(R) < 3 or not np.isfinite(R).all():
        return np.arange(len(R))
    apart = squareform(np.clip(1.0 - 0.5 * (R + R.T), 0.0, 2.0), checks=False)
    return np.asarray(leaves_list(optimal_leaf_ordering(linkage(apart, "average"), apart)))
