"""Lambda = diag(I (x) T_t), the relative covariance factor of several blocks, applied to columns and to blocks of S."""

from __future__ import annotations

import numpy as np

from mme.engine.blocks import Block


def lambda_columns(blocks: tuple[Block, ...], offsets: np.ndarray, V: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
    """Lambda'V for V (m, c): level by level T'V_g."""
    out = np.empty(V.shape)
    for block, factor, start in zip(blocks, T, offsets[:-1].tolist(), strict=True):
        at = slice(start, start + block.J * block.q)
        if block.q == 1:
            np.multiply(V[at], factor[0, 0], out=out[at])
        else:
            out[at] = np.matmul(factor.T, V[at].reshape(block.J, block.q, -1)).reshape(V[at].shape)
    return out


def sandwich(left: np.ndarray, blocks: np.ndarray, right: np.ndarray) -> None:
    """Blocks (count, q, q') become left blocks right, in place."""
    if _is_number(left) and _is_number(right):
        blocks *= left[0, 0] * right[0, 0]
    else:
        blocks[:] = left @ blocks @ right


def _is_number(T: np.ndarray) -> bool:
    """Whether T is a number times the identity; only sought where it saves products, of a number that is positive."""
    return T.size == 1 or np.array_equal(T, T.max() * np.eye(len(T)))
