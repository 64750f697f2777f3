"""Breeding values as breeders print them: one table a term, one row per level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.covariance.shared import shared_by
from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.effects import effects
from mme.model.term import Term
from mme.results.genetics import reliabilities
from mme.tables.arrays import numbers, shown

if TYPE_CHECKING:
    import pandas as pd


def breeding_values(fit: Record, name: str | None, of: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """``ebv, pev, reliability, accuracy, inbreeding, records``: one row per level and coefficient, or function.

    Raises
    ------
    MMEError
        No term has this name; without a name, no term or several could be meant.
    """
    import pandas as pd

    t = chosen_term(fit, name, "ebv")
    if of is not None:
        return functions_of(fit, t, of)
    term, estimates, one = fit.model.terms[t], fit.estimates, effects(fit.model, "term")[t]
    pev = one.variances(estimates.effects_pev)
    reliability = one.beside(reliabilities(fit.model, fit.theta, fit.sigma, estimates.effects_pev))
    table = pd.DataFrame(
        {
            "ebv": one.beside(estimates.effects).ravel(),
            "pev": pev.ravel(),
            "reliability": reliability.ravel(),
            "accuracy": np.sqrt(np.maximum(reliability, 0.0)).ravel(),
            "inbreeding": np.repeat(_inbreeding(fit, t), one.q),
            "records": records_of(fit, t).ravel(),
        }
    )
    levels = pd.Index(np.repeat(term.levels, one.q), name=term.group)
    if one.q == 1:
        return table.set_index(levels)
    called = pd.Index(np.tile(np.array(one.columns, dtype=object), term.n_levels), name="effect")
    return table.set_index([levels, called])


def functions_of(fit: Record, t: int, of: Mapping[str, Any]) -> pd.DataFrame:
    """The same table for functions w'b_g: PEV is w'PEV_g w, the prior variance K_gg w'G w.

    Raises
    ------
    MMEError
        There is no function, or one that has not a weight for each coefficient.
    """
    import pandas as pd

    term, estimates, one = fit.model.terms[t], fit.estimates, effects(fit.model, "term")[t]
    if not isinstance(of, Mapping) or not of:
        raise MMEError("ebv: of= maps names to weights, as {'day 100': [1.0, 0.3]}")
    weights = [np.atleast_1d(numbers(one, f"ebv: of['{label}']")) for label, one in of.items()]
    for label, given in zip(of, weights, strict=True):
        if given.shape != (one.q,) or not np.isfinite(given).all():
            raise MMEError(
                f"ebv: of['{label}'] needs {one.q} finite weights, one for each of {', '.join(one.columns)}; got "
                f"{shown(of[label])}"
            )
    W, inbreeding = np.array(weights), _inbreeding(fit, t)
    pev = np.einsum("fa,gab,fb->gf", W, one.own(estimates.effects_pev[t], t, 2), W)
    with np.errstate(invalid="ignore", divide="ignore"):
        reliability = 1.0 - pev / np.outer(1.0 + inbreeding, np.einsum("fa,ab,fb->f", W, fit.varcorr[term.name].cov, W))
    reliability[reliability < 0.0] = np.nan if fit.model.unknown_parents else 0.0
    records = (records_of(fit, t)[:, None] * (W != 0.0)).max(axis=2)  # of any coefficient with a weight
    table = pd.DataFrame(
        {
            "ebv": (one.beside(estimates.effects) @ W.T).ravel(),
            "pev": pev.ravel(),
            "reliability": reliability.ravel(),
            "accuracy": np.sqrt(reliability).ravel(),
            "inbreeding": np.repeat(inbreeding, len(W)),
            "records": records.ravel(),
        }
    )
    levels = pd.Index(np.repeat(term.levels, len(W)), name=term.group)
    return table.set_index([levels, pd.Index(list(of) * term.n_levels, name="function", dtype=object)])


def chosen_term(fit: Record, name: str | None, what: str) -> int:
    """The term of this name; None: the one with a relationship, or the only one."""
    terms = fit.model.terms
    names = ", ".join(f"'{term.name}'" for term in terms) or "none"
    if name is not None:
        found = [t for t, term in enumerate(terms) if isinstance(name, str) and term.name == name]
        if not found:
            raise MMEError(f"{what}: there is no random term {shown(name)}; the fit has {names}")
        return found[0]
    related = [t for t, term in enumerate(terms) if term.relationship is not None]
    if len(related) == 1 or len(terms) == 1:
        return related[0] if related else 0
    raise MMEError(f"{what}: name the random term, one of {names}")


def records_of(fit: Record, t: int) -> np.ndarray:
    """Records of each level and coefficient (J, q), of all columns that share it."""
    counts, shared = record_counts(fit.model.terms[t]), shared_by(fit.model.structures[t])
    if shared is None:
        return counts
    out = np.zeros((len(counts), shared.own.q), dtype=np.int64)
    for j, coefficient in enumerate(shared.of):
        out[:, coefficient] += counts[:, j]
    return out


def record_counts(term: Term) -> np.ndarray:
    """Records of each level and coefficient (J, q): those whose covariate is not zero."""
    out = np.zeros((term.n_levels, term.q), dtype=np.int64)
    for a in range(term.q):
        codes = term.codes[a] if term.by_column else term.codes
        used = codes >= 0 if term.covariates is None else (codes >= 0) & (term.covariates[:, a] != 0.0)
        out[:, a] = np.bincount(codes[used], minlength=term.n_levels)
    return out


def _inbreeding(fit: Record, t: int) -> np.ndarray:
    """K_gg - 1 of each level (J,); NaN for groups of unknown parents, which are no animals."""
    term, related = fit.model.terms[t], fit.model.relationship(t, fit.theta)
    if related is None:
        return np.zeros(term.n_levels)
    own = getattr(term.relationship, "inbreeding", None)
    if own is None:
        return np.asarray(related.diagonal) - 1.0
    return np.append(own, np.full(term.n_levels - len(own), np.nan))
