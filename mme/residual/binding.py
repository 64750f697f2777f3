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


# Words of other programs -> what they are here.
_WORDS = {
    **dict.fromkeys(("un", "us", "unstructured", "corsymm"), "mme.Unstructured('time', 'subject')"),
    **dict.fromkeys(("ar1", "ar(1)", "corar1", "autoregressive"), "mme.AR1('time', 'subject')"),
    **dict.fromkeys(
        ("car1", "sp(pow)", "sp(exp)", "exp", "exponential", "corexp"), "mme.Exponential('time', 'subject')"
    ),
    **dict.fromkeys(("cs", "compsymm", "corcompsymm", "exchangeable"), "mme.CompoundSymmetry('subject')"),
    **dict.fromkeys(("toep", "toeplitz"), "mme.Toeplitz('time', 'subject')"),
    **dict.fromkeys(("arma", "arma(1,1)", "corarma"), "mme.ARMA('time', 'subject')"),
    **dict.fromkeys(("ante", "ante(1)"), "mme.AnteDependence('time', 'subject')"),
    **dict.fromkeys(("arh1", "arh(1)"), "mme.AR1('time', 'subject') * mme.Heterogeneous('time')"),
    "csh": "mme.CompoundSymmetry('subject') * mme.Heterogeneous('time')",
    "toeph": "mme.Toeplitz('time', 'subject') * mme.Heterogeneous('time')",
    **dict.fromkeys(("diag", "idh", "varident", "heterogeneous"), "mme.Heterogeneous('stratum')"),
    **dict.fromkeys(("ar1:ar1", "ar1xar1", "ar1(row):ar1(col)"), "mme.AR1('row') * mme.AR1('col')"),
    **dict.fromkeys(("vc", "simple", "id", "iid", "units", "independent"), "nothing: residuals are independent"),
}


def _not_a_structure(given: object) -> MMEError:
    if isinstance(given, type) and issubclass(given, RStructure):
        return MMEError(f"residual= takes a structure with its columns, such as mme.{given.__name__}('time', 'group')")
    said = "residual must be a residual structure such as mme.AR1('time', 'group'), or a list of a correlation and "
    said += f"variance functions; got {given!r:.80}"
    known = _WORDS.get("".join(given.lower().split())) if isinstance(given, str) else None
    return MMEError(f"{said}: write {known}" if known else said)
