"""A wide X gives what a dense one does: the criterion at any theta, and all that follows."""

import numpy as np
import pytest
import scipy.sparse as sp

import mme
from mme.engine.dependence import Equation, equations
from mme.engine.unpenalised import fixed_block
from mme.engine.wide_basis import whitened, wide_basis
from mme.engine.wide_basis import wide as wide_x
from mme.errors import MemoryForecastError, MMEError
from mme.inference.intervals.deviance import Point
from mme.inference.intervals.wide_deviance import deviance_of
from mme.numeric.limits import Limits, within
from mme.residual.whitening import Whitening
from mme.search.joint import Joint
from tests.dense import dense_fit, design, lower_factor
from tests.wide import SPARSE, Records, sparse

KINDS = ["factor", "all levels", "constant within", "constant behind", "two factors", "interaction", "zeros and twins"]


def both(records, kind, random, *, theta=None, **options):
    """The fits of one problem, dense and wide, at one theta."""
    X, terms = records.X(kind), records.terms(random)
    dense = mme.fit(records.y, X, terms, theta=theta, **options)
    with within(SPARSE):
        wide = mme.fit(records.y, sparse(X), terms, theta=dense.theta, **options)
    assert wide.model.is_wide
    assert not dense.model.is_wide
    return dense, wide


def close(one, other, tolerance=1e-9):
    scale = max(float(np.abs(np.asarray(one)).max(initial=0.0)), 1e-300)
    np.testing.assert_allclose(np.asarray(other), np.asarray(one), rtol=0.0, atol=tolerance * scale)


@pytest.mark.parametrize("F", [[[1.0], [0.0], [2.0]], [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], [[1.0, 3.0], [0.0, 2.0]]])
def test_the_block_of_fixed_columns_is_these_columns(F):
    """A record in none of them counts as a zero in the first."""
    block = fixed_block(sp.csc_array(np.array(F)))
    values = np.ones(block.codes.size) if block.columns[0] is None else block.columns[0]
    rows = np.arange(len(F)) if block.entries is None else block.entries.record
    np.testing.assert_array_equal(sp.coo_array((values, (rows, block.codes)), shape=(len(F), block.J)).toarray(), F)


def test_terms_of_several_labels_a_record_stand_beside_columns_of_x_that_meet():
    """Each label is of one coefficient, and a record in a column of either factor of X."""
    records = Records(3)
    X = records.X("two factors")
    term = mme.Term((records.pupil, (records.pupil * 7 + records.rater) % records.pupils), name="two")
    dense = mme.fit(records.y, X, [term])
    with within(SPARSE):
        wide = mme.fit(records.y, sparse(X), [term], theta=dense.theta)
        for theta in (dense.theta, [0.7, -0.2, 0.5]):
            value = dense.internals.objective(np.array(theta))
            assert wide.internals.objective(np.array(theta)) == pytest.approx(value, rel=1e-11)
    for what in ("beta", "se", "fitted"):
        close(getattr(dense, what), getattr(wide, what))
    close(dense.ranef()["two"], wide.ranef()["two"])


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("random", ["intercept", "slope", "crossed", "pedigree"])
@pytest.mark.parametrize("kind", ["factor", "interaction"])
def test_estimates_are_those_of_the_dense_engine(kind, random, method):
    records = Records(1)
    dense, wide = both(records, kind, random, method=method)
    for theta in (0.0 * dense.theta, dense.theta, 30.0 * dense.theta):
        value = dense.internals.objective(theta)
        assert wide.internals.objective(theta) == pytest.approx(value, rel=1e-11)
    one, other = dense.internals.estimates, wide.internals.estimates
    assert other.criterion == pytest.approx(one.criterion, rel=1e-11)
    assert wide.criterion_contrasts == pytest.approx(dense.criterion_contrasts, rel=1e-11)
    for what in ("beta", "se", "beta_cov", "fitted", "population"):
        close(getattr(one, what), getattr(other, what))
    for what in ("b", "condvar", "pev"):
        for left, right in zip(getattr(one, what), getattr(other, what), strict=True):
            close(left, right)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_left_out_are_those_of_the_dense_engine(kind):
    records = Records(2)
    dense, wide = both(records, kind, "intercept", weights=records.weights)
    assert wide.dropped == dense.dropped
    assert wide.fixed_names == dense.fixed_names
    assert wide.criterion == pytest.approx(dense.criterion, rel=1e-11)
    assert wide.criterion_contrasts == pytest.approx(dense.criterion_contrasts, rel=1e-10)
    close(dense.beta, wide.beta)
    close(dense.se, wide.se)


def test_equations_of_columns_left_out_are_named():
    records = Records(2)
    dense, wide = both(records, "zeros and twins", "intercept")
    names = wide.model.x_names
    for name in wide.dropped:
        j = names.index(name)
        assert wide.internals.aliasing.combination(j, names) == dense.internals.aliasing.combination(j, names)
    with pytest.raises(MMEError, match="cannot be estimated"), within(SPARSE):
        wide.contrast({wide.dropped[1]: 1.0})


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_the_criterion_is_that_of_dense_matrices(method):
    records = Records(3, n=90, schools=12, pupils=10)
    X, theta = records.X("factor"), np.array([0.8, 0.3, 0.5])
    with within(SPARSE):
        wide = mme.fit(records.y, sparse(X), records.terms("slope"), theta=theta, method=method)
    Z = design(records.pupil, np.column_stack([np.ones(records.n), records.z]))
    oracle = dense_fit(records.y, X, [(Z, lower_factor(theta, 2), None)], method=method)
    assert wide.criterion == pytest.approx(oracle.criterion, rel=1e-11)
    close(oracle.beta, wide.beta)
    close(oracle.beta_cov, wide.beta_cov)
    close(np.diag(oracle.pev), np.concatenate([np.diag(V) for V in wide.pev()["pupil"]]))
    close(np.diag(oracle.condvar), np.concatenate([np.diag(V) for V in wide.condvar()["pupil"]]))


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_searches_end_at_the_same_minimum(method):
    records = Records(4)
    X, terms = records.X("factor"), records.terms("crossed")
    dense = mme.fit(records.y, X, terms, method=method)
    with within(SPARSE):
        wide = mme.fit(records.y, sparse(X), terms, method=method)
    assert wide.criterion == pytest.approx(dense.criterion, abs=1e-7)
    np.testing.assert_allclose(wide.theta, dense.theta, atol=1e-4)
    assert wide.dof == dense.dof


def test_a_random_term_within_many_columns_is_told():
    records = Records(5)
    terms = [*records.terms("intercept"), mme.Term(records.school, name="school")]
    with within(SPARSE):
        wide = mme.fit(records.y, sparse(records.X("factor")), terms)
        alone = mme.fit(records.y, sparse(records.X("factor")), terms[:1])
    assert "school is determined by the fixed effects" in " ".join(wide.optimum.undetermined)
    assert wide.criterion == pytest.approx(alone.criterion, abs=1e-6)


def test_without_random_effects_it_is_least_squares():
    records = Records(6)
    X = records.X("factor")
    with within(SPARSE):
        wide = mme.fit(records.y, sparse(X), [])
    beta, rss = np.linalg.lstsq(X, records.y, rcond=None)[:2]
    close(beta, wide.beta)
    assert wide.sigma == pytest.approx(float(np.sqrt(rss[0] / (records.n - X.shape[1]))), rel=1e-12)


def test_a_response_far_from_zero_loses_no_digits():
    records = Records(7)
    X, terms = records.X("factor"), records.terms("intercept")
    with within(SPARSE):
        near = mme.fit(records.y, sparse(X), terms, theta=[0.8])
        far = mme.fit(records.y + 1e8, sparse(X), terms, theta=[0.8])
    assert far.criterion == pytest.approx(near.criterion, abs=1e-4)
    close(near.beta[1:], far.beta[1:], 1e-6)


def test_iteration_ends_near_the_exact_minimum():
    records = Records(8, n=3000, schools=60, pupils=500)
    X, terms = sparse(records.X("factor")), records.terms("intercept")
    with within(SPARSE):
        exact = mme.fit(records.y, X, terms, engine="exact")
        iterated = mme.fit(records.y, X, terms, engine="iterative")
        with pytest.raises(MMEError, match="a wide X by REML"):
            mme.fit(records.y, X, terms, engine="iterative", method="ML")
    error = float(np.sqrt(2.0 / exact.hessian[0, 0]))
    assert abs(iterated.theta[0] - exact.theta[0]) < 0.1 * error
    close(exact.beta, iterated.beta, 1e-3)


def test_a_sparse_matrix_of_few_columns_is_a_dense_one():
    records = Records(9)
    X, terms = records.X("factor"), records.terms("intercept")
    one, other = mme.fit(records.y, X, terms), mme.fit(records.y, sparse(X), terms)
    assert not other.model.is_wide
    assert other.criterion == one.criterion


def test_what_would_not_fit_is_refused_before_it_is_made():
    records = Records(10)
    X = sparse(records.X("factor"))
    with within(Limits(memory=10_000)), pytest.raises(MemoryForecastError, match="columns, dense, would need"):
        mme.fit(records.y, X, records.terms("intercept"))


def test_missing_entries_are_named():
    records = Records(11)
    X = sp.csc_array(records.X("factor"))
    X.data[-1] = np.nan
    with within(SPARSE), pytest.raises(MMEError, match="missing or infinite values in 'x41'"):
        mme.fit(records.y, X, records.terms("intercept"))


def test_an_equation_among_columns_is_the_same_times_any_number():
    columns, weights = np.array([4, 1, 7]), np.array([1.0, -2.0, 1e-11])  # the last is rounding
    for times in (1e-12, 1.0, 1e12):
        found = Equation.of(columns, times * weights)
        assert found.columns.tolist() == [1, 4]
        np.testing.assert_allclose(found.weights, [-2.0 * times, times])


def test_the_covariance_of_many_functions_is_forecast_as_four_copies_of_what_spans_them():
    """Eight bytes a number: the rows, what is solved of them, and the halves of both."""
    records = Records(1)
    with within(SPARSE):
        fit = mme.fit(records.y, sparse(records.X("factor")), records.terms("intercept"))
    L = np.random.default_rng(1).normal(size=(38, len(fit.beta)))
    bytes_needed = 4 * 8 * 38 * len(fit.beta)
    with within(Limits(memory=bytes_needed - 1)), pytest.raises(MemoryForecastError, match="of 38 functions"):
        fit.contrast(L, ddf="none")
    with within(Limits(memory=bytes_needed)):
        assert len(fit.contrast(L, ddf="none")) == 38


def test_a_coefficient_that_is_held_moves_the_others_as_beside_a_dense_X():
    dense, wide = both(Records(1), "factor", "crossed", method="ML")
    found = []
    for fit, limits in ((dense, Limits()), (wide, SPARSE)):
        with within(limits):
            deviance = deviance_of(Joint(fit.internals.model, fit.internals.objective))
            at = Point(dense.theta, np.zeros(0), j=3, value=float(np.asarray(dense.beta)[3]) + 1.0)
            found.append((deviance(at), deviance.parameters(at)))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-10)
    close(found[0][1], found[1][1])
    assert found[1][1][dense.theta.size + 1 + 3] == pytest.approx(float(np.asarray(dense.beta)[3]) + 1.0, rel=1e-9)


@pytest.mark.parametrize("times", [2, 3, 5])
def test_a_sparse_column_that_stands_several_times_has_an_equation_for_each_but_the_first(times):
    rng = np.random.default_rng(times)
    own = sp.random_array((40, 6), density=0.3, rng=rng).tocsc() + sp.eye_array(40, 6)
    F = sp.csc_array(sp.hstack([own, *[2.0 * own[:, [1]]] * (times - 1)]))
    found = equations(np.zeros((0, 40)), F, np.zeros(0, dtype=np.intp), np.arange(F.shape[1]), None)
    assert sorted(int(one.columns[-1]) for one in found) == list(range(6, 5 + times))
    for one in found:
        np.testing.assert_allclose(F[:, one.columns] @ one.weights, 0.0, atol=1e-9)


def test_a_dense_column_of_zeros_beside_sparse_ones_has_an_equation_by_itself():
    """And one that is a sum of others has theirs: zeros have no length to be divided by."""
    rng = np.random.default_rng(4)
    F = sp.csc_array(sp.random_array((40, 6), density=0.3, rng=rng).tocsc() + sp.eye_array(40, 6))
    one = rng.normal(size=40)
    dense = np.array([one, np.zeros(40), 2.0 * one - F[:, [3]].toarray().ravel()])
    found = {tuple(e.columns.tolist()): e.weights for e in equations(dense, F, np.arange(6, 9), np.arange(6), None)}
    assert set(found) == {(7,), (3, 6, 8)}
    np.testing.assert_allclose(found[3, 6, 8] / found[3, 6, 8][2], [1.0, -2.0, 1.0], atol=1e-9)


def test_equations_that_would_end_in_one_column_end_in_several():
    """Two dense columns, first in X, are each made of sparse ones and the last of these: it is left out but once."""
    rng = np.random.default_rng(6)
    F = sp.csc_array(sp.random_array((40, 5), density=0.3, rng=rng).tocsc() + sp.eye_array(40, 5))
    dense = np.array([[1.0, 0.0, 2.0, 0.0, 1.0], [0.0, 3.0, 0.0, -1.0, 2.0]]) @ F.toarray().T
    found = equations(dense, F, np.arange(2), np.arange(2, 7), None)
    assert sorted(int(one.columns[-1]) for one in found) == [5, 6]
    X = np.column_stack([dense.T, F.toarray()])
    for one in found:
        np.testing.assert_allclose(X[:, one.columns] @ one.weights, 0.0, atol=1e-9)
        assert np.abs(one.weights).max() > 0.1


@pytest.mark.parametrize("kinds", ["d", "ds", "s", "dds"])
def test_coefficients_of_one_sparse_column_or_of_none_are_those_of_least_squares(kinds):
    """At gamma = Q'y and no effects of the block, which there is none of without sparse columns."""
    rng = np.random.default_rng(len(kinds))
    X = np.column_stack([rng.normal(size=30) if kind == "d" else np.eye(30)[:, 4] for kind in kinds])
    y, whiten = rng.normal(size=30), Whitening(rng.uniform(0.5, 2.0, 30))
    of = wide_x(sp.csc_array(X), kinds.count("d"))
    basis = wide_basis(of, whitened(of, whiten), y, whiten)
    assert basis.c.size == kinds.count("s")
    none = np.zeros((basis.c.size, 1))
    beta = basis.coefficients(np.zeros(kinds.count("d")), (lambda: [none]) if none.size else None)
    root = whiten.sqrt_weights
    np.testing.assert_allclose(beta, np.linalg.lstsq(X * root[:, None], y * root)[0], rtol=1e-10)


def test_a_wide_x_is_iterated_by_reml_alone():
    records = Records(1)
    X, terms = sparse(records.X("factor")), records.terms("crossed")
    with within(SPARSE):
        assert mme.objective(records.y, X, terms, engine="iterative").plan.iterative
        with pytest.raises(MMEError, match="a wide X by REML"):
            mme.objective(records.y, X, terms, engine="iterative", method="ML")
        assert not mme.objective(records.y, X, terms, method="ML").plan.iterative
