r"""A fit as a file, without pickle: a zip of one JSON text and plain arrays, which can be opened without fear.

Format, version 1: the file is that of :mod:`mme.files.archive`, its content written as in :mod:`mme.files.encoding`, a
map with

==================  ====================================================================================================
field               content
==================  ====================================================================================================
``model``           map: ``y, X, x_names, response, weights, offset, method, sigma``, ``residual`` (class, or null),
                    ``phi`` (coordinates that were given, NaN for the others; or null) and ``engine``, which may lack
``terms``           list of maps: ``codes`` (n,) or (q, n), signed integers as short as can be, ``levels, covariates,
                    columns, name, group, covariance`` (a word, or a structure of one's own) and ``relationship`` (null,
                    class OrnsteinUhlenbeck, one of one's own, or ``precision`` as ``data, indices, indptr`` by
                    columns, ``levels, logdet, diagonal``)
``unknown_parents`` list of class UnknownParents: fixed groups, whose columns are the last ones of X; may be absent
``theta``           array; ``criterion``: number, -2 log-likelihood at theta
``optimum``         class Optimum: what the search found
``compressed``      map of the fields of :class:`mme.model.compressed.Compressed`, where rows stand for records; or null
``rows``            map: ``kept`` (N,) bool, ``outside``: number of rows outside the subset (none where it lacks), and
                    ``index``: null, ``{range: (start, stop, step), names}``, or ``{labels, names}``
``formula``         text or null
``specification``   class Specification (what the formula learned from the data), or null
``stochastic``      map of the fields of :class:`mme.engine.plan.Stochastic`, of the iterative engine; null, or absent
``witness``         map: what the formula makes of a few rows and the residual structure of a few numbers; may be absent
``kind``            absent: a linear model; ``"generalised"``: :mod:`mme.files.save_generalised` has the further fields
==================  ====================================================================================================

Reading (``load.py``) makes no object of a class that is neither in :func:`classes` nor given by the reader, passes the
arrays through the same door as a user's (:func:`mme.model.problem.build_model`), evaluates the objective once at theta
and compares the criterion. Then the content that the record would be written as is made, and must be what was read
(:mod:`mme.files.again`): but for rounding, no place of the file is free to say anything else.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.files.archive import write_archive
from mme.files.encoding import PLAIN, Encoder
from mme.files.witness import witness
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.model.bounding import Bounds
from mme.model.term import Term
from mme.tables.arguments import path_of

# What a file says of its ``kind`` where the model is linear: nothing.
LINEAR = "linear"
# And of cross-products, which are no fit (:mod:`mme.files.products`).
SUMS = "cross-products"


def save_fit(fit: Fitted, path: str | os.PathLike[str]) -> None:
    """Write the fit to a file that :func:`mme.load_fit` reads; the format is documented in :mod:`mme.files.save`."""
    write(linear_content(fit), path)


def linear_content(fit: Fitted) -> dict[str, Any]:
    """What the file of a linear fit holds."""
    chance = fit.engine.stochastic
    return shared_content(fit) | {"stochastic": None if chance is None else vars(chance).copy()}


def write(content: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write what a fit holds."""
    encoder = Encoder(classes())
    encoded = encoder.encode(content)
    write_archive(path_of(path), encoded, encoder.arrays)


def shared_content(fit: Record) -> dict[str, Any]:
    """What files of both kinds of fit hold."""
    model = fit.model
    plain = ("y", "X", "x_names", "response", "weights", "offset", "method", "sigma", "residual", "phi", "engine")
    return {
        "model": {name: getattr(model, name) for name in plain} | {"X": _columns_content(model.X)},
        "terms": [_term_content(term) for term in model.terms],
        "unknown_parents": [replace(one, Q=_columns_content(_by_columns(one.Q))) for one in model.unknown_parents],
        "held": None if model.held is None else vars(model.held).copy(),
        "bounds": None if model.bounds is None else _bounds_content(model.bounds),
        "theta": fit.theta,
        "criterion": fit.criterion,
        "optimum": fit.optimum,
        "rows": {
            "kept": fit.rows.kept,
            "index": _index_content(fit.rows.index),
            "outside": fit.rows.outside,
            "dropped": fit.rows.dropped,
        },
        "compressed": None if model.compressed is None else vars(model.compressed).copy(),
        "formula": fit.formula,
        "specification": fit.specification,
        "witness": witness(fit),
    }


def _bounds_content(bounds: Bounds) -> dict[str, Any]:
    """Bounds of parameters, what is held beside them, and which of them a fit has at a bound."""
    names = list(bounds.limits)
    held = None if bounds.held is None else vars(bounds.held).copy()
    limits = np.array([bounds.limits[name] for name in names])
    active = np.array([bounds.active.get(name, np.nan) for name in names])
    return {"names": names, "limits": limits, "active": active} | bounds.fields | {"held": held}


def _by_columns(Q: Any) -> Any:
    return sp.csc_array(Q) if sp.issparse(Q) else Q


def _columns_content(X: Any) -> Any:
    """X, a wide one by its entries."""
    if not sp.issparse(X):
        return X
    return {name: getattr(X, name) for name in ("data", "indices", "indptr")} | {"columns": int(X.shape[1])}


def _term_content(term: Term) -> dict[str, Any]:
    related: Any = None
    if term.parametric is not None:
        related = term.relationship
    elif term.relationship is not None:
        precision = sp.csc_array(term.relationship.precision)
        related = {name: getattr(precision, name) for name in ("data", "indices", "indptr")}
        related |= {"levels": np.asarray(term.levels), "logdet": float(term.relationship.logdet)}
        related["diagonal"] = np.asarray(term.relationship.diagonal, dtype=float)
    fields = {name: getattr(term, name) for name in ("levels", "columns", "name", "group", "covariance")}
    fields["codes"] = term.codes.astype(np.min_scalar_type(-term.n_levels))  # of a negative number it is signed
    # by columns, as X lies: the covariates of (x | g) are often X, which is then written once
    fields["covariates"] = None if term.covariates is None else np.asfortranarray(term.covariates)
    return fields | {"relationship": related}


def _index_content(index: Any) -> dict[str, Any] | None:
    if index is None:
        return None
    import pandas as pd

    names = [None if name is None else str(name) for name in index.names]
    if isinstance(index, pd.RangeIndex):
        return {"range": (index.start, index.stop, index.step), "names": names}
    levels = [index.get_level_values(i) for i in range(index.nlevels)]
    return {"labels": [_labels(level) for level in levels], "names": names}


def _labels(level: Any) -> np.ndarray:
    """Labels of the rows; what is neither number, text nor date is kept as its text."""
    values = np.asarray(level)
    if values.dtype.kind in PLAIN:
        return values
    plain = [
        item if item is None or isinstance(item, bool | int | float | str) else str(item) for item in values.tolist()
    ]
    labels = np.empty(len(plain), dtype=object)
    labels[:] = plain
    return labels


def classes() -> dict[str, type]:
    """The dataclasses that a file may hold."""
    from mme.formula import algebra, bar, codings, columns, specification, syntax
    from mme.generalised.verdict import JointOptimum
    from mme.model import compressed, unknown_parents
    from mme.relationship import crossed, lattice, ornstein
    from mme.search import verdict

    listed: list[type] = [
        *(syntax.Name, syntax.Number, syntax.Text, syntax.Op, syntax.Call),
        *(algebra.Terms, bar.Bar, columns.Coding, codings.Contrast, specification.Specification, verdict.Optimum),
        *(ornstein.OrnsteinUhlenbeck, lattice.Lattice, crossed.Crossed, unknown_parents.UnknownParents, JointOptimum),
        compressed.EachOnce,
        *_of_residuals(),
    ]
    return {kind.__name__: kind for kind in listed}


def _of_residuals() -> list[type]:
    """Those of the covariance of the residuals."""
    from mme.numeric.decay import Decay
    from mme.residual import (
        ante,
        ar1,
        arma,
        bylevel,
        chain,
        compound,
        entrywise,
        exponential,
        field,
        grid,
        nugget,
        ofmean,
        patterns,
        product,
        spatial,
        toeplitz,
        unstructured,
        variance,
    )

    return [
        *(ar1.BoundAR1, compound.BoundCompoundSymmetry, exponential.BoundExponential),
        *(exponential.BoundExponentialNugget, toeplitz.BoundToeplitz, toeplitz.BoundBand),
        *(unstructured.BoundUnstructured, variance.BoundHeterogeneous, variance.BoundPowerOfCovariate),
        *(variance.BoundExponentialOfCovariate, product.Product, chain.Chain, patterns.Patterns, patterns.Batch),
        *(ante.BoundAnteDependence, arma.BoundARMA, spatial.BoundSpatial, field.BoundField, grid.PlotGrid, Decay),
        *(
            ofmean.BoundPowerOfMean,
            nugget.BoundNugget,
            entrywise.BoundEntrywise,
            bylevel.BoundByLevel,
            bylevel.BoundVarianceByLevel,
        ),
    ]
