"""int8 weights: symmetric, one scale a channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Int8Weight:
    """A matrix as int8 rows and one scale a row: float row = row * scale."""

    rows: NDArray[np.int8]
    """[channels, width]"""
    scale: NDArray[np.float32]
    """[channels]"""


def quantize_rows(matrix: NDArray[np.float32], *, reduce_range: bool = False) -> Int8Weight:
    """Quantize each row of a [channels, width] matrix by its largest magnitude.

    `reduce_range` keeps to 7 bits: AVX2 without VNNI adds two products of u8 and s8 in 16 bits, and 2 * 255 * 64 is the
    most that fits.
    """
    limit = 64 if reduce_range else 127
    largest = np.abs(matrix).max(axis=1)
    scale = np.where(largest > 0, largest / limit, 1.0).astype(np.float32)
    rows = np.clip(np.rint(matrix / scale[:, None]), -limit, limit).astype(np.int8)
    return Int8Weight(rows, scale)
