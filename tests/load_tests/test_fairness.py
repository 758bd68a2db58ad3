from __future__ import annotations

import math
from collections import Counter

import pytest

from load_tests.fairness import Passes

# Of 8 passes 2 took 5 ms at most, 6 took 10 ms at most, and all took 50 ms at most.
SEEN = Passes(Counter({0.005: 2, 0.01: 6, 0.05: 8, math.inf: 8}), 0.1)


def test_a_median_is_found_in_its_bucket_as_if_that_were_filled_evenly() -> None:
    assert SEEN.median_ms() == pytest.approx(7.5)
    assert SEEN.mean_ms() == pytest.approx(12.5)


def test_what_was_before_does_not_count() -> None:
    before = Passes(Counter({0.005: 2, 0.01: 2, 0.05: 2, math.inf: 2}), 0.004)
    assert SEEN.since(before).median_ms() == pytest.approx(5 + 5 * 3 / 4)
    assert SEEN.since(before).mean_ms() == pytest.approx(16)
