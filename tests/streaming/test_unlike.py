"""Chunks that are not alike: levels in another order, columns without a value, pages of another content."""

import numpy as np
import pandas as pd
import pytest

import mme

N, STEP = 600, 100


def table():
    rng = np.random.default_rng(8)
    g, k = rng.integers(0, 20, N), rng.integers(0, 6, N)
    x = rng.standard_normal(N)
    y = 1.0 + 0.5 * x + 0.3 * (k == 2) + rng.standard_normal(20)[g] + rng.standard_normal(N)
    days = pd.Timestamp("2024-03-01", tz="Europe/Berlin") + pd.to_timedelta(k, unit="D")
    text = {"g": [f"g{one:02}" for one in g], "f": [f"f{one}" for one in k]}
    return pd.DataFrame({"y": y, "x": x, "k": k, "d": days, **text})


def cut(data):
    return [data.iloc[i : i + STEP] for i in range(0, len(data), STEP)]


def require_same(formula, data, chunks):
    whole, fit = (mme.lmer(formula, one) for one in (data, chunks))
    assert fit.nobs == whole.nobs
    assert list(fit.beta.index) == list(whole.beta.index)
    assert fit.criterion == pytest.approx(whole.criterion, rel=1e-10)
    np.testing.assert_allclose((fit.beta - whole.beta) / whole.se, 0.0, atol=1e-6)


MADE = ["factor(k)", "factor(k / 2)", "factor(f)", "factor(d)", "ordered(k)", "factor(k):x"]


@pytest.mark.parametrize("factor", MADE)
def test_levels_of_a_factor_made_by_the_formula_are_sorted_whichever_chunk_has_the_last_first(factor):
    data = table().sort_values("k", ascending=False)
    require_same(f"y ~ x + {factor} + (1 | g)", data, cut(data))


def test_whole_numbers_that_turn_decimal_are_one_factor():
    data = table().assign(k=lambda one: one.k.where(one.index != 450, 0.5))
    chunks = [one.astype({"k": int}) if (one.k == one.k.round()).all() else one for one in cut(data)]
    require_same("y ~ factor(k) + (1 | g)", data, chunks)


def test_levels_whose_order_chunks_do_not_tell_are_refused():
    data = table().sort_values("k", ascending=False)
    with pytest.raises(mme.MMEError, match=r"levels of 'interaction\(k, f\)' come in another order"):
        mme.lmer("y ~ interaction(k, f) + (1 | g)", cut(data))


@pytest.mark.parametrize("column", ["y", "x", "g", "f", "d"])
@pytest.mark.parametrize("chunk", [0, 4])
def test_a_chunk_in_which_a_column_has_no_value_leaves_no_rows(column, chunk):
    data = table()
    data.loc[data.index // STEP == chunk, column] = None
    require_same("y ~ scale(x) + I(f == 'f1') + d + (1 | g)", data, cut(data))
    fit = mme.lmer("y ~ x + relevel(f, 'f2') + (1 | g)", iter(cut(data)))
    assert (fit.nobs, fit.n_dropped) == ((N, 0) if column == "d" else (N - STEP, STEP))


def test_partitions_in_which_a_column_has_no_value_leave_no_rows():
    dd = pytest.importorskip("dask.dataframe")
    data = table()
    data.loc[: STEP - 1, "f"] = None
    require_same("y ~ x + f + (1 | g)", data, dd.from_pandas(data, npartitions=6))


@pytest.mark.parametrize("right", ["x + f + (1 | g)", "x + (1 | g)", "f + (1 | g)"])
@pytest.mark.parametrize("column", ["y", "x", "f", "g"])
def test_chunks_without_a_complete_row_are_said_to_have_none(right, column):
    data = table().assign(**{column: None if column in "fg" else np.nan})
    if column not in right and column != "y":
        require_same(f"y ~ {right}", data, cut(data))
        return
    with pytest.raises(mme.MMEError, match=f"none of the {N} rows is complete"):
        mme.lmer(f"y ~ {right}", cut(data))


def test_a_first_chunk_too_small_for_a_transform_is_passed_over():
    data = table()
    require_same("y ~ scale(x) + (1 | g)", data, [data[:1], data[1:300], data[300:]])


@pytest.mark.parametrize("ask", ["ranova", "drop1"])
def test_models_with_less_are_fitted_to_the_same_records(ask):
    data = table()
    for column, of in (("g", 7), ("f", 5)):
        data.loc[data.index % of == 0, column] = None
    whole, fit = (mme.lmer("y ~ x + f + (1 | g)", one, subset="x > -2") for one in (data, cut(data)))
    known, found = (getattr(one, ask)().select_dtypes("number") for one in (whole, fit))
    np.testing.assert_allclose(found.to_numpy(), known.to_numpy(), rtol=1e-6, atol=1e-8)


def test_residuals_of_such_chunks_are_missing():
    data = table()
    data.loc[data.index // STEP == 3, "f"] = None
    fit = mme.lmer("y ~ x + I(f == 'f1') + (1 | g)", cut(data))
    assert [int(one.isna().sum()) for one in fit.residuals] == [0, 0, 0, STEP, 0, 0]


def test_pages_that_fail_their_checksums_are_named(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "records.parquet"
    whole = pa.Table.from_pandas(table()[["y", "x", "g"]])
    pq.write_table(whole, file, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(file.read_bytes())
    at = content.index(table().y.to_numpy()[:1].tobytes())
    content[at] ^= 1  # the last digit of the first response
    file.write_bytes(content)
    with pytest.raises(mme.MMEError, match=r"chunk 1 of 'records.parquet' cannot be read: .*checksum"):
        mme.lmer("y ~ x + (1 | g)", file)
