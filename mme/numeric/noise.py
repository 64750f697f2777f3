"""Numbers at random that stand in for a response which is not there yet."""

from __future__ import annotations

import numpy as np

# A seed that nobody draws data from: by default_rng(0) the response would be a covariate that a user drew by the same
# seed, which then fits it exactly.
_SEED = 0x6D6D65_5EED


def stream() -> np.random.Generator:
    """Random numbers that no data are made of, the same in every call."""
    return np.random.default_rng(_SEED)


def noise(n: int) -> np.ndarray:
    """Standard normal numbers (n,) of the stream."""
    return stream().standard_normal(n)
