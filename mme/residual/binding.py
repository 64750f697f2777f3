"""A residual structure as the user gives it, one or a list of several, read."""

from __future__ import annotations

from collections.abc import Sequence

from mme.errors import MMEError
from mme.residual.base import Bound, Column
from mme.residual.product import multiplied
from mme.residual.rstructure import RStructure


def bind(residual: RStructure | Sequence[RStructure], column: Column, n: int) -> Bound:
    """Read one residual structure, or several as their product.

    Parameters
    ----------
    residual : RStructure or list of RStructure
        At most one correlation; any number of variance functions.
    column : callable
        ``column(spec)`` gives the values of a column name, or of an array the array itself, for the records used.
    n : int
        Number of records.

    Raises
    ------
    MMEError
        Two correlations, something else than a structure, or standard deviations that cannot be told apart.

    Examples
    --------
    >>> import numpy as np
    >>> from mme.residual import CompoundSymmetry, Heterogeneous
    >>> group, stratum = ["a", "a", "b", "b"], ["u", "v", "u", "v"]
    >>> R = bind([CompoundSymmetry(group), Heterogeneous(stratum)], np.asarray, 4)
    >>> R.names
    ('rho', 'sd.v/sd.u')
    >>> R.covariance(R.coordinates(np.array([0.5, 3.0])), np.arange(2))
    array([[1. , 1.5],
           [1.5, 9. ]])
    """
    given = [residual] if isinstance(residual, RStructure) else residual
    if not isinstance(given, list | tuple) or not given:
        raise _not_a_structure(residual)
    for one in given:
        if not isinstance(one, RStructure):
            raise _not_a_structure(one)
    return multiplied([one.bind(column, n) for one in given], [type(one).__name__ for one in given])


def _not_a_structure(given: object) -> MMEError:
    return MMEError(
        "residual must be a residual structure such as mme.AR1(time, group), or a list of a correlation and variance "
        f"functions; got {given!r:.80}"
    )
