"""Test-wide settings: profiles of hypothesis, chosen by the environment variable HYPOTHESIS_PROFILE; shared tables."""

import gc
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings

# "ci": the same examples on every run and machine, few enough to stay quick; no deadline, as the first call compiles.
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
# "mutants": that there is an example is enough, and no simpler one is looked for.
settings.register_profile("mutants", settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate))
settings.register_profile("thorough", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


# Core arithmetic before all else: what is wrong there is wrong everywhere, and shows in seconds.
FIRST = Path(__file__).parent / "engine" / "test_first_principles.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First principles run first, on one process or on many; tests by hypothesis are marked ``property``."""
    items.sort(key=lambda item: item.path != FIRST)
    for item in items:
        if getattr(getattr(item, "obj", None), "hypothesis", None) is not None:
            item.add_marker("property")


def pytest_collection_finish() -> None:
    """What was collected stays to the end: the collector of garbage need not look through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    """Six groups by four of the six cells of a (p, q, r) and b (s, t)."""
    layout = [("p", "s"), ("q", "s"), ("r", "t"), ("p", "t")]
    rows = [(a, b, g) for a, b in layout for g in range(6) for _ in range(2)]
    rng = np.random.default_rng(12)
    data = pd.DataFrame(rows, columns=["a", "b", "g"])
    return data.assign(y=rng.normal(size=len(data)) + rng.normal(size=6)[data["g"]], cell=data["a"] + data["b"])
