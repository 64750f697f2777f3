"""What X must leave for a fit: a record to estimate sigma from, and more of the response than rounding."""

import numpy as np
import pytest

import mme

RNG = np.random.default_rng(6)
N = 12
X = np.column_stack([np.ones(N), RNG.normal(size=N)])
G = mme.Term(np.arange(N) % 3, name="g")


def test_one_record_more_than_columns_is_enough_and_none_where_sigma_is_known():
    wide = np.column_stack([X, RNG.normal(size=(N, N - 3))])  # 11 columns of 12 records
    y = RNG.normal(size=N)
    assert np.isfinite(mme.objective(y, wide, [G])([0.5]))
    full = np.column_stack([wide, RNG.normal(size=N)])
    with pytest.raises(mme.MMEError, match="12 records cannot carry 12 fixed effects and a residual variance"):
        mme.objective(y, full, [G])
    assert mme.objective(y, full, [G], sigma=1.3).basis.kept.size == N
    twice = np.column_stack([full, full[:, 0]])
    with pytest.raises(mme.MMEError, match="12 records cannot carry 12 fixed effects"):
        mme.objective(y, twice, [G])  # its rank counts


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_a_response_is_fitted_exactly_where_no_more_than_rounding_is_left(unit):
    fitted = X @ [1.0, 2.0]
    left = RNG.normal(size=N)
    left -= X @ np.linalg.lstsq(X, left, rcond=None)[0]
    left *= np.linalg.norm(fitted) / np.linalg.norm(left)
    assert np.isfinite(mme.objective(unit * (fitted + 1e-11 * left), X, [G])([0.5]))
    for exactly in (fitted, fitted + 1e-15 * left):
        with pytest.raises(mme.MMEError, match="exactly"):
            mme.objective(unit * exactly, X, [G])
    assert mme.objective(unit * fitted, X, [G], sigma=unit).basis.kept.size == 2
