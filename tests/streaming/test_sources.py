"""Where chunks come from, and what is said of one that cannot be used."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import threading
import warnings

import numpy as np
import pandas as pd
import pytest

import mme
from mme.numeric.limits import Limits, within
from mme.tables.chunks import chunks_of

FORMULA = "y ~ x + f + (x | g)"


def table():
    rng = np.random.default_rng(11)
    n = 600
    g, x = rng.integers(20, size=n), rng.standard_normal(n)
    f = np.array(["a", "b"], dtype=object)[rng.integers(2, size=n)]
    y = 1.0 + x + (f == "b") + rng.standard_normal(20)[g] * (1.0 + x) + rng.standard_normal(n)
    return pd.DataFrame({"y": y, "x": x, "f": f, "g": np.array([f"u{one}" for one in g], dtype=object), "z": 1})


def cut(data, size=100):
    return [data[i : i + size] for i in range(0, len(data), size)]


@pytest.fixture(scope="module")
def whole():
    return mme.lmer(FORMULA, table())


def parquet(data, path):
    data.to_parquet(path / "one.parquet", index=False)
    return path / "one.parquet"


def folder(data, path):
    for i, part in enumerate(cut(data, 250)):
        part.to_parquet(path / f"{i}.parquet", index=False)
    return str(path)


def text(data, path):
    data.to_csv(path / "one.csv", index=False)
    return str(path / "one.csv")


def packed(data, path):
    data.to_csv(path / "one.tsv.gz", index=False, sep="\t")
    return path / "one.tsv.gz"


def dataset(data, path):
    import pyarrow.dataset as ds

    return ds.dataset(parquet(data, path))


def arrow(data):
    import pyarrow as pa

    return pa.Table.from_pandas(data)


def lazy(data, path):
    import polars as pl

    return pl.from_pandas(data).lazy()


def relation(data, path):
    duckdb = pytest.importorskip("duckdb")
    return duckdb.connect().sql(f"select * from '{parquet(data, path)}'")


def dask_frame(data, path):
    dd = pytest.importorskip("dask.dataframe")
    return dd.from_pandas(data, npartitions=4)


def polars_chunks(data, path):
    import polars as pl

    return [pl.from_pandas(part) for part in cut(data)]


SOURCES = {
    "parquet": parquet,
    "folder": folder,
    "csv": text,
    "tsv.gz": packed,
    "dataset": dataset,
    "lazy": lazy,
    "duckdb": relation,
    "dask": dask_frame,
    "polars": polars_chunks,
    "batches": lambda data, path: arrow(data).to_batches(130),
    "function": lambda data, path: lambda: iter(cut(data)),
    "dicts": lambda data, path: tuple({name: one[name].to_numpy() for name in one} for one in cut(data)),
}
ONCE = {
    "generator": lambda data, path: (one for one in cut(data)),
    "reader": lambda data, path: arrow(data).to_reader(170),
}


@pytest.mark.parametrize("source", [*SOURCES, *ONCE])
def test_every_source_gives_the_fit_of_the_table(whole, source, tmp_path):
    data = table()
    with within(Limits(records_in_chunk=220)):
        fit = mme.lmer(FORMULA, {**SOURCES, **ONCE}[source](data, tmp_path))
        assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12
        np.testing.assert_allclose(fit.beta, whole.beta, rtol=1e-8)
        assert fit.ranef()["g"].index.equals(whole.ranef()["g"].index)
        if source in ONCE:
            with pytest.raises(mme.MMEError, match="cannot be read again"):
                np.asarray(fit.fitted)
        else:
            np.testing.assert_allclose(np.asarray(fit.fitted), whole.fitted, rtol=1e-7)


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dict"])
def test_a_large_table_in_memory_is_read_in_parts(whole, kind):
    import polars as pl

    data = table()
    tables = {"pandas": data, "polars": pl.from_pandas(data), "arrow": arrow(data)}
    given = tables.get(kind, {name: data[name].to_numpy() for name in data})
    with within(Limits(records_in_chunk=100)):
        fit = mme.lmer(FORMULA, [given])
        assert [len(one) for one in fit.fitted] == [100] * 6
    assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12


def test_a_pickled_fit_has_all_but_its_records(whole, tmp_path):
    fit = pickle.loads(pickle.dumps(mme.lmer(FORMULA, text(table(), tmp_path))))
    np.testing.assert_allclose(fit.coefficients(), whole.coefficients(), rtol=1e-5)
    with pytest.raises(mme.MMEError, match="sums alone"):
        _ = fit.residuals


def test_fitted_values_come_by_chunk_with_the_rows_that_were_left_out():
    data = table()
    data.loc[[3, 250], "x"] = np.nan
    data.index += 1000
    fit, known = mme.lmer(FORMULA, cut(data), subset="x > -1"), mme.lmer(FORMULA, data, subset="x > -1")
    by_chunk = list(fit.fitted)
    assert [len(one) for one in by_chunk] == [100] * 6
    pd.testing.assert_series_equal(fit.fitted.to_series(), known.fitted, rtol=1e-7)
    np.testing.assert_allclose(np.asarray(fit.leverage()), known.leverage(), rtol=1e-7)


def broken(change):
    chunks = cut(table())
    chunks[3] = change(chunks[3])
    return chunks


BROKEN = {
    "another type": (lambda one: one.assign(x=one.x.map("v{:.2f}".format)), r"column 'x' holds labels here \('v"),
    "another type of label": (
        lambda one: one.assign(g=np.arange(100)),
        "column 'g' holds numbers here, and held labels",
    ),
    "no column": (lambda one: one.drop(columns="x"), "column 'x' is not here"),
    "infinite": (lambda one: one.assign(x=np.inf), "'x' is infinite in 100 rows"),
    "no table": (lambda one: 7, "chunk 4 of the iterator must be a table"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_chunk_that_cannot_be_used_is_named(kind):
    change, said = BROKEN[kind]
    place = "" if kind == "no table" else r"chunk 4 of the \w+ \(rows 300 to 399\): .*"
    if kind != "no table":
        with pytest.raises(mme.MMEError, match=place + said):
            mme.lmer(FORMULA, broken(change))
    with pytest.raises(mme.MMEError, match=place + said):
        mme.lmer(FORMULA, iter(broken(change)))


def test_whole_numbers_with_gaps_and_empty_chunks_are_no_other_type():
    data = table().assign(g=lambda one: one.g.str[1:].astype(int))
    known = mme.lmer("y ~ x + (1 | g)", data.drop(index=[150]))
    chunks = cut(data)
    chunks[1] = chunks[1].assign(g=lambda one: one.g.where(one.index != 150))
    fit = mme.lmer("y ~ x + (1 | g)", [chunks[0][:0], *chunks, chunks[0].assign(y=np.nan)])
    assert abs(fit.criterion / known.criterion - 1.0) < 1e-12
    assert fit.n_dropped == 101
    assert fit.ranef()["g"].index.equals(known.ranef()["g"].index)


REFUSED = {
    "residual": ({"residual": mme.AR1("x", "g")}, "residual= of a table in chunks"),
    "weights": ({"weights": np.ones(600)}, "must be the name of a column"),
    "bad weights": ({"weights": "x"}, r"chunk 1 .*weights 'x' must be positive"),
    "subset": ({"subset": "x > mean(x)"}, "needs all rows"),
    "action": ({"na_action": "omit"}, "na_action must be"),
    "learned offset": ({"offset": "scale(x)"}, r"'scale\(x\)' needs all rows"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_chunks_cannot_do_is_refused_in_a_sentence(what):
    options, said = REFUSED[what]
    with pytest.raises(mme.MMEError, match=said):
        mme.lmer(FORMULA, cut(table()), **options)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nothing.parquet", "no file or folder"),
        (iter([]), "has no rows"),
        ([{"x": [1.0, 2.0], "f": ["a", "b"], "g": [1, 2]}], "unknown column 'y'"),
    ],
)
def test_no_data_is_no_fit(source, said):
    with pytest.raises(mme.MMEError, match=said):
        mme.lmer(FORMULA, source)


def test_a_partition_that_fails_is_named():
    dd = pytest.importorskip("dask.dataframe")

    def lost(part):
        if len(part) and part.index[0] > 300:
            raise OSError("the disk is gone")
        return part

    frame = dd.from_pandas(table(), npartitions=4).map_partitions(lost, meta=table()[:0])
    with pytest.raises(mme.MMEError, match=r"partition 3 of 4 .*the disk is gone"):
        mme.lmer(FORMULA, frame)


def test_every_scheduler_gives_the_same_bits():
    dask = pytest.importorskip("dask")
    frame = dask_frame(table(), None)
    found = []
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            found.append(mme.lmer("y ~ x + (x | g)", frame).criterion)
    assert found[0] == found[1]


def test_partitions_learn_from_all_rows_what_a_transform_needs():
    data = table()
    whole = mme.lmer("y ~ scale(x) + f + (1 | g)", data)
    fit = mme.lmer("y ~ scale(x) + f + (1 | g)", dask_frame(data, None))
    assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12
    assert float(fit.beta["scale(x)"]) == pytest.approx(float(whole.beta["scale(x)"]), rel=1e-6)
    with pytest.raises(mme.MMEError, match="has no rows in the subset"):
        mme.lmer(FORMULA, dask_frame(data, None), subset="x > 100")
    with pytest.raises(mme.MMEError, match=r"partition \d of 4 .*miss a value"):
        mme.lmer(FORMULA, dask_frame(data.assign(x=data["x"].where(data.index != 400)), None), na_action="raise")


def slowly(part):
    import time

    time.sleep(0.3)
    return part


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_same_fit():
    distributed = pytest.importorskip("distributed")
    frame = dask_frame(table(), None).repartition(npartitions=4).map_partitions(slowly, meta=table()[:0])
    known = mme.lmer("y ~ x + (x | g)", frame)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        first, second = client.run(os.getpid).values()
        assert first != second
        killer = threading.Timer(0.5, os.kill, (first, signal.SIGKILL))
        killer.start()
        fit = mme.lmer("y ~ x + (x | g)", frame)
        assert not killer.is_alive()
    assert fit.criterion == known.criterion


def test_what_an_iterator_gave_is_closed_when_it_has_been_read():
    """Levels of a factor take a second pass, for which the chunks are kept in a temporary file."""
    table = {"y": np.arange(40.0) % 7, "f": ["a", "b"] * 20, "g": np.repeat(np.arange(8), 5)}
    pieces = [{name: column[i : i + 10] for name, column in table.items()} for i in range(0, 40, 10)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert mme.lmer("y ~ f + (1 | g)", iter(pieces)).nobs == 40
        with pytest.raises(mme.MMEError, match="chunk 3 of the iterator"):
            mme.lmer("y ~ f + (1 | g)", iter([*pieces[:2], {"y": [1.0], "g": [1]}]))
        gc.collect()
    assert not [one for one in said if issubclass(one.category, ResourceWarning)]


def test_of_a_parquet_file_no_more_is_held_than_is_read_at_a_time(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rng, held, before = np.random.default_rng(4), [0], pa.total_allocated_bytes()
    with pq.ParquetWriter(tmp_path / "rows.parquet", pa.schema([("y", pa.float64()), ("x", pa.float64())])) as writer:
        for _ in range(80):  # Arrow reads some twenty row groups ahead
            writer.write_table(pa.table({"y": rng.standard_normal(50_000), "x": rng.standard_normal(50_000)}))
    chunks = chunks_of(tmp_path / "rows.parquet")
    for _, table in chunks.tables():
        held.append(pa.total_allocated_bytes() - before)
        assert table.num_columns == 2
    assert max(held) < 0.5 * (tmp_path / "rows.parquet").stat().st_size


def test_of_a_large_row_group_no_more_is_held_than_is_read_at_a_time(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path, rng = tmp_path / "group.parquet", np.random.default_rng(5)
    whole = pa.table({"y": rng.standard_normal(1_500_000), "x": rng.standard_normal(1_500_000)})
    pq.write_table(whole, path, row_group_size=whole.num_rows)
    assert pq.read_metadata(path).num_row_groups == 1
    held, before = [0], pa.total_allocated_bytes()
    with within(Limits(records_in_chunk=100_000)):
        for _, table in chunks_of(path).tables():
            held.append(pa.total_allocated_bytes() - before)
            assert table.num_rows == 100_000
    assert max(held) < 0.5 * path.stat().st_size


def test_columns_of_a_file_are_those_of_its_dataset(tmp_path):
    """Names with dots are looked for in records too; one file holds floats where the other has doubles."""
    pa, pq, ds = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet", "pyarrow.dataset"))
    for i, kind in enumerate((pa.float64(), pa.float32())):
        columns = {"g.h": [1, 2, 2], "y": [0.5, 1.5, 2.5], "g": ["a", "b", "a"], "x": pa.array([i, 1.0, 2.0], kind)}
        pq.write_table(pa.table(columns), tmp_path / f"{i}.parquet", row_group_size=2)
    known = ds.dataset(tmp_path).to_table().to_pydict()
    for names in (["g"], ["g.h", "g"], ["x", "y"], list(known)):
        with within(Limits(records_in_chunk=2)):
            tables = [table for _, table in chunks_of(tmp_path).tables(names)]
        assert [one.num_rows for one in tables] == [2, 1, 2, 1]
        assert all(set(one.schema.names) == set(names) for one in tables)
        found = pa.Table.from_batches(tables).to_pydict()
        assert found == {name: known[name] for name in found}


def test_files_of_a_folder_hold_the_same_columns(tmp_path):
    """Arrow has missing values for a column that a file lacks."""
    pytest.importorskip("pyarrow")
    for change, said in {
        "none": (lambda one: one, ""),
        "narrow": (lambda one: one.assign(g=one.g, x=one.x.astype("float32")), ""),
        "lost": (lambda one: one.drop(columns="x"), r"file 3 of 'lost' \('2.parquet'\) has no column 'x'"),
        "text": (lambda one: one.assign(x=one.x.astype(str)), r"file 3 of 'text' .* column 'x' holds labels here"),
    }.items():
        (tmp_path / change).mkdir()
        for i, one in enumerate(cut(table())[:5]):
            (said[0](one) if i == 2 else one).to_parquet(tmp_path / change / f"{i}.parquet", index=False)
        if not said[1]:
            assert mme.lmer(FORMULA, tmp_path / change).nobs > 0
            continue
        with pytest.raises(mme.MMEError, match=said[1]):
            mme.lmer(FORMULA, tmp_path / change)


@pytest.mark.parametrize("without", [0, 1, 2])
def test_a_column_without_values_in_some_file_has_the_type_that_it_has_in_others(without, tmp_path):
    parts = cut(table(), 200)
    parts[without] = parts[without].assign(f=None)
    for i, part in enumerate(parts):
        part[list(np.roll(part.columns, i))].to_parquet(tmp_path / f"{i}.parquet", index=False)
    fit, whole = (mme.lmer(FORMULA, data) for data in (str(tmp_path), pd.concat(parts)))
    assert (fit.nobs, fit.fixed_names) == (400, whole.fixed_names)
    assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12


def test_folders_called_01_and_1_are_two_levels(tmp_path):
    """Arrow takes both for the integer 1; k=5 and k=12 stay integers."""
    data = table()
    data["code"] = np.array(["00", "1", "01", "2", "02"])[np.arange(600) % 5]
    data["k"] = np.where(np.arange(600) < 200, 5, 12)
    for (code, k), part in data.groupby(["code", "k"]):
        (at := tmp_path / f"code={code}" / f"k={k}").mkdir(parents=True)
        part.drop(columns=["code", "k"]).to_parquet(at / "part.parquet", index=False)
    fit, whole = (mme.lmer("y ~ x + k + (1 | code)", one) for one in (str(tmp_path), data))
    assert list(fit.ranef()["code"].index) == list(whole.ranef()["code"].index) == ["00", "01", "02", "1", "2"]
    assert abs(fit.criterion / whole.criterion - 1.0) < 1e-12


def test_a_source_that_fails_is_named(tmp_path):
    def failing():
        yield table()[:100]
        raise OSError("the disk is gone")

    with pytest.raises(mme.MMEError, match="chunk 2 of the iterator cannot be read: the disk is gone"):
        mme.lmer(FORMULA, failing())
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(mme.MMEError, match=r"'empty.csv' is empty"):
        mme.lmer(FORMULA, tmp_path / "empty.csv")
    for smooth in ("s(x)", "s(x, by = g)", "s(x, by = g, hom = TRUE)"):
        with pytest.raises(mme.MMEError, match="is a smooth of all rows"):
            mme.lmer(f"y ~ {smooth} + (1 | g)", cut(table()))


def test_intervals_are_of_the_range_of_all_rows():
    data = table()
    known, fit = (mme.lmer("y ~ cut(x, 3) + (1 | g)", one) for one in (data, cut(data)))
    assert abs(fit.criterion / known.criterion - 1.0) < 1e-12
