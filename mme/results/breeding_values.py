"""Breeding values as breeders print them: one table a term, a row a level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.model.term import Term
from mme.results.genetics import reliabilities
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd


def breeding_values(fit: Fitted, name: str | None) -> pd.DataFrame:
    """``ebv, pev, reliability, accuracy, inbreeding, records``; of several coefficients a row each.

    Raises
    ------
    MMEError
        No term, or several, could be meant; or none is called so.
    """
    import pandas as pd

    t = chosen_term(fit, name, "ebv")
    term, estimates = fit.model.terms[t], fit.estimates
    pev = np.einsum("gii->gi", estimates.effects_pev[t])
    reliability = reliabilities(fit.model, fit.theta, fit.sigma, estimates.effects_pev)[t]
    table = pd.DataFrame(
        {
            "ebv": estimates.effects[t].ravel(),
            "pev": pev.ravel(),
            "reliability": reliability.ravel(),
            "accuracy": np.sqrt(np.maximum(reliability, 0.0)).ravel(),
            "inbreeding": np.repeat(_inbreeding(fit, t), term.q),
            "records": record_counts(term).ravel(),
        }
    )
    levels = pd.Index(np.repeat(term.levels, term.q), name=term.group)
    if term.q == 1:
        return table.set_index(levels)
    effects = pd.Index(np.tile(np.array(term.columns, dtype=object), term.n_levels), name="effect")
    return table.set_index([levels, effects])


def chosen_term(fit: Fitted, name: str | None, what: str) -> int:
    """The term of this name; None: the one with a relationship, or the only one."""
    terms = fit.model.terms
    names = ", ".join(f"'{term.name}'" for term in terms) or "none"
    if name is not None:
        found = [t for t, term in enumerate(terms) if term.name == name]
        if not found:
            raise MMEError(f"{what}: there is no random term {shown(name)}; the fit has {names}")
        return found[0]
    related = [t for t, term in enumerate(terms) if term.relationship is not None]
    if len(related) == 1 or len(terms) == 1:
        return related[0] if related else 0
    raise MMEError(f"{what}: name the random term, one of {names}")


def record_counts(term: Term) -> np.ndarray:
    """Records of each level and coefficient (J, q): those whose covariate is not zero."""
    out = np.zeros((term.n_levels, term.q), dtype=np.int64)
    for a in range(term.q):
        codes = term.codes[a] if term.by_column else term.codes
        used = codes >= 0 if term.covariates is None else (codes >= 0) & (term.covariates[:, a] != 0.0)
        out[:, a] = np.bincount(codes[used], minlength=term.n_levels)
    return out


def _inbreeding(fit: Fitted, t: int) -> np.ndarray:
    """K_gg - 1 of each level (J,); NaN for groups of unknown parents, which are no animals."""
    term, related = fit.model.terms[t], fit.model.relationship(t, fit.theta)
    if related is None:
        return np.zeros(term.n_levels)
    own = getattr(term.relationship, "inbreeding", None)
    if own is None:
        return np.asarray(related.diagonal) - 1.0
    return np.append(own, np.full(term.n_levels - len(own), np.nan))
