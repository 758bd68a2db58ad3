"""Weights as int8 rows with a scale each."""

from __future__ import annotations

import numpy as np
import pytest

from models.graphs.quantize.weights import quantize_rows


@pytest.mark.parametrize(("reduce_range", "limit"), [(False, 127), (True, 64)])
def test_each_row_keeps_its_own_scale(reduce_range: bool, limit: int) -> None:
    rows = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32) * np.logspace(-3, 3, 6)[:, None]
    quantized = quantize_rows(rows.astype(np.float32), reduce_range=reduce_range)
    assert np.abs(quantized.rows.astype(int)).max(axis=1).tolist() == [limit] * 6
    restored = quantized.rows * quantized.scale[:, None]
    assert (np.abs(restored - rows) <= quantized.scale[:, None] * 0.501).all()


def test_a_row_of_zeros_stays_zero() -> None:
    quantized = quantize_rows(np.zeros((2, 3), np.float32))
    assert not quantized.rows.any()
    assert np.isfinite(quantized.scale).all()
