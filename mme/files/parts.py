"""What files of both kinds of fit hold: model, terms and rows, checked like a user's input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.files.kinds import is_of, require_numbers
from mme.files.trial import require_structure
from mme.model.bounding import Bounds
from mme.model.compressed import Compressed
from mme.model.holding import Holding
from mme.model.problem import Model, build_model
from mme.model.term import Term
from mme.model.unknown_parents import UnknownParents
from mme.numeric.limits import limits, within
from mme.relationship.parametric import Known
from mme.tables.frame import Factor
from mme.tables.rows import Rows

# Rounding of a criterion on another machine, as a share of its size.
_SAME = 1e-9


def model_of(content: dict[str, Any]) -> Model:
    """The model with its terms, fixed groups and what is held of its variances."""
    given = content.get("compressed")
    sums = {} if given is None else {"compressed": Compressed(**given)}
    model = _model(content["model"] | sums, [_term(fields) for fields in content["terms"]])
    model = replace(model, unknown_parents=tuple(_groups(one, model) for one in content.get("unknown_parents", ())))
    held, bounds = content.get("held"), content.get("bounds")
    model = model if held is None else replace(model, held=Holding(**held))
    model = model if bounds is None else replace(model, bounds=_bounds(bounds, model))
    require_numbers(_beside(model), "model")
    return model


def _bounds(fields: dict[str, Any], model: Model) -> Bounds:
    """Bounds of parameters, as :mod:`mme.files.save` writes them."""
    names, limits, active = fields["names"], np.asarray(fields["limits"], dtype=float), np.asarray(fields["active"])
    if not is_of(names, list[str]) or limits.shape != (len(names), 2) or active.shape != (len(names),):
        raise MMEError("its bounds are not those of parameters by name")
    pairs = zip(names, map(tuple, limits.tolist()), strict=True)
    at = {name: value for name, value in zip(names, active.tolist(), strict=True) if value == value}
    held = None if fields["held"] is None else Holding(**fields["held"])
    bounds = Bounds(dict(pairs), held, fields["sigma"], fields["phi"], at)
    for name in names:
        model.named.place(name, "bounds")
    return bounds


def _beside(model: Model) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    """What stands beside y, X and the terms, with the shapes that they must have."""
    for held in (model.held, None if model.bounds is None else model.bounds.held):
        if held is not None:
            yield "held", held.values, (model.k,)
            yield "held in units", held.in_units, (model.k,)
    if model.compressed is not None:
        yield "ones", model.compressed.ones, (model.y.size,)
        yield "counts", model.compressed.counts, (model.y.size,)
        if (plain := model.compressed.plain) is not None:
            yield "X of records without weights", plain.X, (plain.ones.size, model.X.shape[1])
            for term, Z in zip(model.terms, plain.Z, strict=True):
                yield f"Z of '{term.name}' without weights", Z, (plain.ones.size, term.q)
    for term in model.terms:
        if isinstance(term.relationship, Known):
            yield f"diagonal of the relationship of '{term.name}'", term.relationship.diagonal, (term.n_levels,)
    for one in model.unknown_parents:
        sparse = sp.issparse(one.Q)
        shape = one.Q.data.shape if sparse else (model.terms[one.term].n_levels, one.Q.shape[-1])
        yield "groups of unknown parents", one.Q.data if sparse else one.Q, shape
        yield "mean of the groups", one.mean, one.Q.shape[-1:]


def rows_of(content: dict[str, Any], model: Model, path: Path) -> Rows:
    """Which of the user's rows were used."""
    rows = Rows(
        np.asarray(content["rows"]["kept"], dtype=bool),
        _index(content["rows"]["index"]),
        int(content["rows"].get("outside", 0)),
        int(content["rows"].get("dropped", 0)),
    )
    if rows.kept.ndim != 1 or (rows.index is not None and len(rows.index) != rows.kept.size):
        raise MMEError(f"{path}: its rows are not those of its index")
    if int(rows.kept.sum()) != model.n:
        raise MMEError(f"{path}: {int(rows.kept.sum())} rows are marked as used, the model has {model.n}")
    return rows


def compare(criterion: float, content: dict[str, Any], path: Path) -> None:
    """Refuse a file whose criterion is not that of what else it holds."""
    stored = float(content["criterion"])
    if not abs(criterion - stored) <= _SAME * (abs(stored) + 100.0):
        raise MMEError(
            f"{path}: the criterion at its theta is {criterion!r}, the file says {stored!r}: it is damaged, "
            "or a class given for a structure is another than the one that was saved"
        )


def _model(fields: dict[str, Any], terms: list[Term]) -> Model:
    residual, phi = fields.pop("residual"), fields.pop("phi", None)
    y, X = fields.pop("y"), fields.pop("X")
    sparse = isinstance(X, dict)
    if sparse:
        X = sp.csc_array((X["data"], X["indices"], X["indptr"]), shape=(np.size(y), int(X["columns"])))
        X.check_format(full_check=True)
    # what was sparse stays so, whatever the limits of the reader
    with within(replace(limits(), dense_fixed=0, dense_fixed_operations=0.0) if sparse else limits()):
        model = build_model(y, X, terms, **fields)
    if not is_of((model.response, tuple(model.x_names)), tuple[str, tuple[str, ...]]):
        raise MMEError("the response or a column of X has a name that is no text")
    if residual is None:
        return model
    if residual.n != model.n or (residual.group is not None and np.shape(residual.group) != (model.n,)):
        raise MMEError(f"the residual structure is for {residual.n} records, the model has {model.n}")
    require_structure(residual, model.n)
    if phi is not None and np.asarray(phi).dtype.kind not in "fiu":
        raise MMEError("phi holds no numbers")
    if phi is not None and np.shape(phi) != (residual.k,):
        raise MMEError(f"phi has shape {np.shape(phi)} for {residual.k} parameters of the residual structure")
    return replace(model, residual=residual, phi=phi)


def _groups(one: UnknownParents, model: Model) -> UnknownParents:
    term = model.terms[one.term]
    if isinstance(one.Q, dict):
        entries = (one.Q["data"], one.Q["indices"], one.Q["indptr"])
        Q = sp.csc_array(entries, shape=(term.n_levels, int(one.Q["columns"])))
        Q.check_format(full_check=True)
        one = replace(one, Q=sp.csr_array(Q))
    if one.q != term.q or one.Q.shape[0] != term.n_levels or one.columns.stop > len(model.x_names):
        raise MMEError(f"the groups of unknown parents are not those of term '{term.name}'")
    return one


def _term(fields: dict[str, Any]) -> Term:
    codes, levels = np.asarray(fields["codes"]), np.asarray(fields["levels"])
    if codes.dtype.kind != "i" or codes.size == 0 or codes.min() < 0 or codes.max() >= levels.size:
        raise MMEError(f"codes of term '{fields['name']}' are not among its levels")
    if not is_of((fields["name"], fields["group"]), tuple[str, str]):
        raise MMEError("a term has a name that is no text")
    if fields["covariates"] is not None and not np.any(fields["covariates"]):
        raise MMEError(f"all columns of term '{fields['name']}' are zero")
    related = fields["relationship"]
    term = Term(
        Factor(codes.astype(np.int64), levels),
        fields["covariates"],
        name=fields["group"],
        covariance=fields["covariance"],
        relationship=_relationship(related) if isinstance(related, dict) else related,
        columns=fields["columns"],
    )
    return term if fields["name"] == fields["group"] else term.renamed(fields["name"])


def _relationship(fields: dict[str, Any]) -> Known:
    size = np.asarray(fields["levels"]).size
    precision = sp.csc_array((fields["data"], fields["indices"], fields["indptr"]), shape=(size, size))
    precision.check_format(full_check=True)
    return Known(fields["levels"], precision, float(fields["logdet"]), np.asarray(fields["diagonal"]))


def _index(fields: dict[str, Any] | None) -> Any:
    if fields is None:
        return None
    import pandas as pd

    names = fields["names"]
    if "range" in fields:
        return pd.RangeIndex(*fields["range"], name=names[0])
    labels = [pd.Index(level) for level in fields["labels"]]
    return labels[0].rename(names[0]) if len(labels) == 1 else pd.MultiIndex.from_arrays(labels, names=names)
