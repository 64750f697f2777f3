"""What ``robust=`` and ``cluster=`` stand for: the clusters of a fit's records, and the tests by them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.tables.intake import labels
from mme.tables.names import as_known

if TYPE_CHECKING:
    from mme.api.base import Face
    from mme.api.generalised_base import GeneralisedFace
    from mme.inference.fixed.reference import Reference


def reference_of(fit: Face, ddf: str, robust: str | None, cluster: Any) -> Reference:
    """The reference named ``ddf``; with ``robust`` that of the sandwich by clusters.

    Raises
    ------
    MMEError
        A cluster without ``robust``, or degrees of freedom that a sandwich has not.
    """
    from mme.inference.fixed.methods import ddf_method, reference
    from mme.inference.fixed.robust import robust as of_clusters

    if robust is None:
        if cluster is not None:
            raise MMEError("cluster= goes with robust='CR2' (or 'CR0', 'CR1', 'CR1S', 'CR3')")
        return reference(fit.internals, ddf)
    method = ddf_method(ddf)
    if method not in ("satterthwaite", "none"):
        raise MMEError(f"robust='{robust}' has Satterthwaite's degrees of freedom, or ddf='none'; not '{method}'")
    codes, title = _clusters(fit, cluster)
    return of_clusters(fit.internals, robust, codes, title, normal=method == "none")


def normal_reference_of(fit: GeneralisedFace, se: str, robust: str | None, cluster: Any) -> Reference:
    """The reference of a generalised fit that ``se`` names; with ``robust`` that of the sandwich by clusters.

    Raises
    ------
    MMEError
        A cluster without ``robust``, or parameters that are held where the sandwich has all.
    """
    from mme.inference.fixed.generalised_robust import require_scores, robust_reference
    from mme.inference.fixed.z_tables import normal_reference

    if robust is None:
        if cluster is not None:
            raise MMEError("cluster= goes with robust='CR1' (or 'CR0')")
        return normal_reference(fit.internals, se)
    if se != "hessian":
        raise MMEError(f"robust='{robust}' is of all parameters together, which se='{se}' holds: leave se= out")
    require_scores(fit.internals)
    codes, title = _clusters(fit, cluster)
    return robust_reference(fit.internals, robust, codes, title)


def leaving(fit: Face | GeneralisedFace, by: Any) -> Any:
    """What ``by=`` names: a grouping factor as it is, another column of the data of the fit by its values."""
    if not isinstance(by, str) or any(by in (term.name, term.group) for term in fit.internals.model.terms):
        return by
    column = _of_data(fit, by)
    return by if column is None else column


def _of_data(fit: Face | GeneralisedFace, name: str) -> Any:
    """The column of this name in the data of the fit; None: there is none."""
    data = None if fit.made_by is None else fit.made_by.arguments.get("data")
    try:
        return data[name]  # type: ignore[index]
    except Exception:
        return None


def _clusters(fit: Face | GeneralisedFace, cluster: Any) -> tuple[np.ndarray, str]:
    """Codes (n,) of the records used, and what the clusters are called."""
    from mme.inference.fixed.counted import subjects

    if cluster is None:
        return subjects(fit.internals, "robust= without cluster="), "the outermost groups"
    if not isinstance(cluster, str):
        return _coded(fit, [cluster], "cluster"), "cluster"
    parts = [part.strip() for part in re.split("[:/]", cluster)]
    return _coded(fit, [_column(fit, part) for part in parts], cluster), f"'{cluster}'"


def _column(fit: Face | GeneralisedFace, name: str) -> Any:
    """The column of this name: of the data of the fit, or of a grouping factor."""
    name = as_known(name, [term.group for term in fit.internals.model.terms])
    for term in fit.internals.model.terms:
        if term.group == name and not term.by_column:
            return term.codes
    column = _of_data(fit, name)
    if column is None:
        known = ", ".join(f"'{term.group}'" for term in fit.internals.model.terms) or "none"
        raise MMEError(
            f"cluster='{name}' is no column of the data of the fit, nor a grouping factor (they are {known}); a column "
            "itself will do: cluster=data['...']"
        )
    return column


def _coded(fit: Face | GeneralisedFace, columns: list[Any], title: str) -> np.ndarray:
    rows, found = fit.internals.rows, []
    for values in columns:
        rows.check_order(values, "cluster")
        codes = labels(values, title, "cluster")[1].codes
        if codes.size not in (rows.kept.size, fit.internals.model.n):
            raise MMEError(f"cluster has {codes.size:,} values for {rows.kept.size:,} rows of the data")
        found.append(rows.used(codes))
    together = np.column_stack(found)
    if (together < 0).any():
        raise MMEError(f"cluster {title} is missing in {int((together < 0).any(axis=1).sum()):,} of the records used")
    return np.unique(together, axis=0, return_inverse=True)[1].ravel()
