from __future__ import annotations

import pytest

from load_tests.generation.engine import Answer
from load_tests.generation.load import overlap, percentile, summed_up


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.75, 3), (0.95, 4), (1.0, 4)])
def test_a_percentile_is_a_value_that_was_seen(share: float, value: int) -> None:
    assert percentile([4, 1, 3, 2], share) == value


@pytest.mark.parametrize(
    ("begun", "ended", "share"), [(1, 2, 1.0), (0, 2, 0.5), (2, 6, 0.25), (0, 4, 0.5), (3, 4, 0.0), (0, 0.5, 0.0)]
)
def test_the_share_of_a_span_inside_a_window(begun: float, ended: float, share: float) -> None:
    assert overlap(begun, ended, (1, 3)) == share


def test_a_text_at_an_edge_counts_for_what_was_written_inside() -> None:
    inside = (10.0, Answer(tokens=20, text="", begun_s=10.5, ended_s=11.0))
    across = (9.0, Answer(tokens=40, text="", begun_s=9.0, ended_s=11.0))
    later = (11.0, Answer(tokens=60, text="", begun_s=11.5, ended_s=12.5))
    found = summed_up([inside, across, later], (10.0, 12.0))
    assert found.tokens_per_s == (20 + 20 + 30) / 2
    assert (found.p50_ms, found.p95_ms, found.answers) == (1000.0, 2000.0, 2)


def test_nothing_answered_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="--seconds"):
        summed_up([(0.0, Answer(1, "", 0.0, 5.0))], (1.0, 2.0))
