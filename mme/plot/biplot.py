r"""The biplot of a factor-analytic term: loadings of environments and scores of genotypes on the principal axes.

G = Lambda Lambda' + Psi and b_g = Lambda f_g + delta_g. The scores are what is expected of f given the data,

    E[f_g | y] = Lambda' G^-1 b_hat_g,

as y tells of f through b alone. Lambda = U D V' is turned onto its principal axes, Lambda V = U D, and so are the
scores (Smith, Cullis and Thompson 2001, Biometrics 57:1138-1147). For other structures Lambda Lambda' is the
spectral decomposition of G.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.covariance.loadings import Loadings
from mme.fitted.record import Fitted
from mme.plot.heat import of_several
from mme.plot.style import BLUE, GREY, INK, VERMILION, legend_above, one_axes
from mme.tables.arguments import yes_or_no
from mme.tables.frame import labels_of

if TYPE_CHECKING:
    import pandas as pd

# Genotypes farthest from the centre that have their names.
_NAMED = 6


def biplot(fit: Fitted, term: str | None = None, *, data: bool = False, ax: Any = None) -> Any:
    """Loadings of a term's coefficients, as arrows, and scores of its levels, as points, on the first two axes.

    A genotype lies far along an environment's arrow where the factors make it good there. Arrows of one direction rank
    genotypes alike. The label of an axis says what share of
    the genetic variance of all coefficients lies along it.

    Parameters
    ----------
    term : str, optional
        A random term of two coefficients or more; None: the only such term.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes; a DataFrame for ``data=True``: one row per loading and one row per score, ``kind, label`` and the axes
    """
    t = of_several(fit, term, "biplot")
    one = fit.model.terms[t]
    Lambda, scores, share = principal_axes(fit, t)
    if yes_or_no(data, "data"):
        return _table(one.columns, one.levels, Lambda, scores)
    ax = one_axes(ax, (5.4, 4.8))
    second = Lambda[:, 1] if Lambda.shape[1] > 1 else np.zeros(len(Lambda))
    up = scores[:, 1] if scores.shape[1] > 1 else np.zeros(len(scores))
    stretch = _stretch(np.column_stack([Lambda[:, 0], second]), np.column_stack([scores[:, 0], up]))
    ax.axhline(0.0, color=GREY, linewidth=0.5, zorder=1)
    ax.axvline(0.0, color=GREY, linewidth=0.5, zorder=1)
    ax.scatter(scores[:, 0], up, s=12.0, color=BLUE, linewidth=0.0, alpha=0.75, zorder=2, label=f"{one.group} (scores)")
    for x, y, name in zip(Lambda[:, 0] * stretch, second * stretch, one.columns, strict=True):
        ax.annotate("", (x, y), (0.0, 0.0), arrowprops={"arrowstyle": "->", "color": VERMILION, "linewidth": 1.1})
        ax.annotate(name, (x, y), (3, 3), textcoords="offset points", color=VERMILION, fontsize=8.0)
    far = np.argsort(-np.hypot(scores[:, 0], up), kind="stable")[:_NAMED]
    for k, label in zip(far.tolist(), labels_of(one.levels[far]), strict=True):
        place = {"textcoords": "offset points", "fontsize": 7.0, "color": INK}
        ax.annotate(label, (scores[k, 0], up[k]), (3, -8), **place)
    ax.plot([], [], color=VERMILION, linewidth=1.1, label=f"loadings, times {stretch:.3g}")
    ax.margins(0.12)
    ax.set_xlabel(f"axis 1 ({100 * share[0]:.0f}% of the variance)")
    ax.set_ylabel(f"axis 2 ({100 * share[1]:.0f}% of the variance)" if share.size > 1 else "(one factor)")
    ax.set_title(f"{one.name}: {_kind(fit, t)}", pad=18)
    legend_above(ax)
    return ax


def principal_axes(fit: Fitted, t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loadings (q, k) and scores (J, k) on principal axes, and the share (k,) of tr G of each."""
    one, theta = fit.model.terms[t], fit.model.split(fit.theta)[t]
    structure, G = fit.model.structures[t].inner, fit.varcorr[one.name].cov
    if isinstance(structure, Loadings):
        Lambda = fit.sigma * structure.loadings(theta[: structure.k])
    else:
        values, vectors = np.linalg.eigh(G)
        Lambda = (vectors * np.sqrt(np.maximum(values, 0.0)))[:, ::-1]
    U, D, _ = np.linalg.svd(Lambda, full_matrices=False)
    kept = np.greater(D, 1e-8 * max(D[0], np.finfo(float).tiny))
    U, D = U[:, kept], D[kept]
    signs = np.where(U.sum(axis=0) < 0.0, -1.0, 1.0)
    turned = U * D * signs
    scores = fit.estimates.effects[t] @ np.linalg.pinv(G, rcond=1e-10, hermitian=True) @ turned
    total = float(np.trace(G)) or 1.0
    return turned, scores, D**2 / total


def _kind(fit: Fitted, t: int) -> str:
    structure = fit.model.structures[t].inner
    return f"{structure.n_factors} factors" if isinstance(structure, Loadings) else "principal axes"


def _stretch(loadings: np.ndarray, scores: np.ndarray) -> float:
    """What makes arrows about as long as the scores are far."""
    long, far = (float(np.hypot(*one.T).max(initial=0.0)) for one in (loadings, scores))
    return far / long if long > 0.0 and far > 0.0 else 1.0


def _table(columns: tuple[str, ...], levels: np.ndarray, Lambda: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    values = pd.DataFrame(np.concatenate([Lambda, scores]), columns=[f"axis{k + 1}" for k in range(Lambda.shape[1])])
    values.insert(0, "kind", ["loading"] * len(Lambda) + ["score"] * len(scores))
    values.insert(1, "label", [*columns, *levels.tolist()])
    return values
