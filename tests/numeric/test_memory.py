"""Memory that may be taken: machine, container and process, each by its own limit."""

import re
import resource
import subprocess
import sys

import pytest

import mme
from mme.numeric.memory import available_bytes, container_bytes, machine_bytes, process_bytes, told

MiB = 2**20


def written(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_dot_", ".")).write_text(f"{content}\n")


def test_the_least_limit_of_a_group_and_its_parents_counts_in_version_2(tmp_path):
    mount, proc = tmp_path / "cgroup", tmp_path / "self"
    proc.write_text("0::/outer/inner\n")
    written(mount / "outer", memory_dot_max=100 * MiB, memory_dot_current=70 * MiB, memory_dot_stat="anon 1")
    stat = f"anon 5\ninactive_file {20 * MiB}"
    written(mount / "outer" / "inner", memory_dot_max="max", memory_dot_current=30 * MiB, memory_dot_stat=stat)
    assert container_bytes(str(proc), str(mount)) == (100 * MiB, 30 * MiB)
    written(mount / "outer" / "inner", memory_dot_max=40 * MiB)
    assert container_bytes(str(proc), str(mount)) == (40 * MiB, 30 * MiB)  # 40 - 30 + 20 in the cache
    written(mount / "outer" / "inner", memory_dot_current=35 * MiB, memory_dot_stat="anon 5")
    assert container_bytes(str(proc), str(mount)) == (40 * MiB, 5 * MiB)


def test_the_root_of_the_mount_counts_where_a_container_sees_its_own_group_there(tmp_path):
    mount, proc = tmp_path / "cgroup", tmp_path / "self"
    proc.write_text("0::/\n")
    written(mount, memory_dot_max=50 * MiB, memory_dot_current=10 * MiB)
    assert container_bytes(str(proc), str(mount)) == (50 * MiB, 40 * MiB)


def test_the_memory_controller_counts_in_version_1(tmp_path):
    mount, proc = tmp_path / "cgroup", tmp_path / "self"
    proc.write_text("12:cpu,cpuacct:/a\n7:memory:/docker/x\n1:name=systemd:/a\n")
    names = {"memory_dot_limit_in_bytes": 80 * MiB, "memory_dot_usage_in_bytes": 75 * MiB}
    written(mount / "memory" / "docker" / "x", **names, memory_dot_stat=f"cache 1\ntotal_inactive_file {15 * MiB}")
    written(mount / "memory", memory_dot_limit_in_bytes=2**63 - 4096, memory_dot_usage_in_bytes=1)
    assert container_bytes(str(proc), str(mount)) == (80 * MiB, 20 * MiB)


@pytest.mark.parametrize("content", ["", "0::/gone\n", "nonsense", "3:memory\n"])
def test_what_is_not_there_or_not_understood_limits_nothing(tmp_path, content):
    (tmp_path / "self").write_text(content)
    limit, left = container_bytes(str(tmp_path / "self"), str(tmp_path / "nowhere"))
    assert limit == left > 2**60
    assert container_bytes(str(tmp_path / "no file"), str(tmp_path))[0] > 2**60


def test_without_a_limit_of_its_own_a_process_has_what_the_machine_has():
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        pytest.skip("this process is limited")
    assert min(process_bytes()) > 2**60
    assert 0 < available_bytes() <= machine_bytes()


CROSSED = """
import resource, sys
import numpy as np
import mme
from mme.numeric.memory import available_bytes, machine_bytes, process_bytes, require_in_process

rng = np.random.default_rng(0)
n = 400_000
a, b = rng.integers(7000, size=n), rng.integers(6000, size=n)
terms = [mme.Term(a, name="user"), mme.Term(b, name="item")]
y, X = rng.standard_normal(n), np.ones((n, 1))
mine = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mine + 200 * 2**20,) * 2)
assert machine_bytes() == mine + 200 * 2**20
assert available_bytes() == process_bytes()[1] <= 200 * 2**20
try:
    mme.fit(y, X, terms{options})
except mme.MemoryForecastError as error:
    print(error)
try:
    require_in_process(2**29, "threads need")
except mme.MemoryForecastError as error:
    print(error)
"""


def test_a_process_with_too_little_memory_is_told_what_is_needed_and_what_there_is():
    script = CROSSED.format(options=", engine='exact'")
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    said = r"6,000 random effects left after absorption need 0\.3 GiB; 0\.[01] GiB are free"
    assert re.search(said, run.stdout)
    assert "engine='iterative' needs no factor, and fewer levels" in run.stdout
    assert re.search(r"threads need 512 MiB, and 1?\d\d MiB are left of the limit of the process", run.stdout)


def test_memory_that_runs_out_unforeseen_is_told_in_a_sentence():
    said = r"memory ran out while the test ran: .* GiB were free then"
    with pytest.raises(mme.MemoryForecastError, match=said), told("the test ran"):
        raise MemoryError
