#!/usr/bin/env python3
"""Install the packages beside which mme is timed, as far as a package manager has them; each is skipped by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers import PEERS, r_has

_R_PACKAGES = ("lme4", "nlme", "jsonlite")
_PYTHON_PACKAGES = ("statsmodels", "mixedlm", "gpboost")


def main() -> int:
    """Install what is missing and say what is there; never fails for a peer that cannot be had."""
    if not r_has(*_R_PACKAGES):
        _install_r()
        r_has.cache_clear()
    for package in _PYTHON_PACKAGES:
        if not PEERS[package].present():
            _run([sys.executable, "-m", "pip", "install", "--prefer-binary", package], package)
    for name, peer in PEERS.items():
        print(f"{name:12} {'here' if peer.present() else 'skipped: not installed'}")
    return 0


def _install_r() -> None:
    wanted = ["r-base-core", *(f"r-cran-{package}" for package in _R_PACKAGES)]
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    if which("apt-get") and (not as_root or which("sudo")):
        _run([*as_root, "apt-get", "update"], "the package index")
        _run([*as_root, "apt-get", "install", "-y", "--no-install-recommends", *wanted], ", ".join(wanted))
    elif conda := next((tool for tool in ("mamba", "conda") if which(tool) and "CONDA_PREFIX" in os.environ), None):
        _run([conda, "install", "-y", "-c", "conda-forge", "r-base", *(f"r-{p}" for p in _R_PACKAGES)], "R")
    else:
        print(f"lme4, nlme: no package manager known here; in R: install.packages(c{_R_PACKAGES})")


def _run(command: list[str], what: str) -> None:
    print(f"Installing {what} ...", flush=True)
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        print(f"skipped: {what} could not be installed by '{' '.join(command)}'")


if __name__ == "__main__":
    sys.exit(main())
