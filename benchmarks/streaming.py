"""Times a fit of a Parquet file in chunks beside reading the file, each in a process of its own.

    python -m benchmarks.streaming                                      # 10^6 rows, agreement with memory first
    python -m benchmarks.streaming --rows 1e8 --groups 1e6 --file big.parquet

The file is written where it is not there: ``y, x, g`` of ``y ~ x + (x | g)``, rows in no order. Up to 2 x 10^6 rows the
criterion must be that of the table in memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FORMULA = "y ~ x + (x | g)"
# Rows up to which the table is fitted in memory too, and how near the two criteria must be.
_IN_MEMORY, _AGREE = 2_000_000, 1e-10
_ROW_GROUP = 1_000_000

_READ = """
import json, resource, sys, time
import numpy as np, pyarrow as pa, pyarrow.dataset as ds
pa.set_cpu_count(1), pa.set_io_thread_count(1)
began, wall, n = time.process_time(), time.perf_counter(), 0
few = {"batch_size": 262144, "batch_readahead": 2, "fragment_readahead": 1}
few["fragment_scan_options"] = ds.ParquetFragmentScanOptions(pre_buffer=False)
for batch in ds.dataset(sys.argv[1]).to_batches(**few):
    n += batch.num_rows
    [np.asarray(column).sum() for column in batch.columns]
GB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps({"cpu": time.process_time() - began, "wall": time.perf_counter() - wall, "GB": GB, "rows": n}))
"""
_FIT = """
import json, resource, sys, time
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.dataset
pa.set_cpu_count(1), pa.set_io_thread_count(1)
import mme
rng = np.random.default_rng(0)
warm = {"y": rng.standard_normal(400_000), "x": rng.standard_normal(400_000), "g": rng.integers(0, 99, 400_000)}
mme.lmer(sys.argv[2], [pd.DataFrame(warm)])
began, wall = time.process_time(), time.perf_counter()
sums = mme.CrossProducts.from_chunks(sys.argv[2], sys.argv[1])
summed, there = time.process_time(), time.perf_counter()
GB = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
fit = sums.fit()
fit.beta
print(json.dumps({
    "cpu": summed - began, "wall": there - wall, "GB": GB, "fit": time.process_time() - summed,
    "GB_fit": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "bytes": sums.nbytes,
    "levels": sums.levels["g"], "criterion": fit.criterion, "beta": fit.beta.tolist(),
}))
"""


def write(path: Path, rows: int, groups: int) -> None:
    """Write the file, a million rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    b, writer = rng.standard_normal((groups, 2)), None
    for first in range(0, rows, _ROW_GROUP):
        n = min(_ROW_GROUP, rows - first)
        g, x = rng.integers(0, groups, n, dtype=np.int32), rng.standard_normal(n)
        y = 1.0 + 0.5 * x + b[g, 0] + 0.5 * b[g, 1] * x + rng.standard_normal(n)
        table = pa.table({"y": y, "x": x, "g": g})
        writer = pq.ParquetWriter(path, table.schema) if writer is None else writer
        writer.write_table(table)
    assert writer is not None
    writer.close()


def measured(code: str, path: Path) -> dict[str, Any]:
    """What a new process prints."""
    asked = [sys.executable, "-c", code, str(path), FORMULA]
    found: dict[str, Any] = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    return found


def apart(path: Path, criterion: float) -> float:
    """How far the criterion is from that of the table in memory, as a share of it."""
    import pandas as pd

    import mme

    return abs(criterion / mme.lmer(FORMULA, pd.read_parquet(path)).criterion - 1.0)


def main(arguments: list[str] | None = None) -> int:
    """Write, measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--groups", type=float, default=1e5)
    parser.add_argument("--file", type=Path)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = asked.file or Path(folder) / "records.parquet"
        if not path.exists():
            write(path, int(asked.rows), int(asked.groups))
        read, fit = measured(_READ, path), measured(_FIT, path)
        if read["rows"] <= _IN_MEMORY and (far := apart(path, fit["criterion"])) > _AGREE:
            print(f"the criteria of chunks and of memory are {far:.1g} apart", file=sys.stderr)
            return 1
    print(f"{read['rows']:,} rows, {fit['levels']:,} levels; {FORMULA}")
    print(f"read   {read['cpu']:8.2f} CPU s  {read['wall']:8.2f} s  {read['GB']:6.2f} GB")
    ratio = fit["cpu"] / read["cpu"]
    print(f"sums   {fit['cpu']:8.2f} CPU s  {fit['wall']:8.2f} s  {fit['GB']:6.2f} GB  {ratio:.1f} times reading")
    print(f"fit    {fit['fit']:8.2f} CPU s  {fit['GB_fit']:15.2f} GB  beta {np.round(fit['beta'], 5).tolist()}")
    print(f"state  {fit['bytes'] / fit['levels']:8.0f} bytes a level")
    return 0


if __name__ == "__main__":
    sys.exit(main())
