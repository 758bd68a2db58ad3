"""The calibration error of scores, and what of it chance alone would give."""

from __future__ import annotations

import math

import pytest
import torch

from models.evaluation.calibration_error import calibration_error, chance_error


def test_the_error_is_the_gap_between_score_and_share_that_is_right() -> None:
    """Ten answers with score 0.9, six of them right: off by 0.3; ten more with 0.6, six right: off by nothing."""
    sure = torch.tensor([[0.9, 0.1]] * 10)
    unsure = torch.tensor([[0.4, 0.6]] * 10)
    right = torch.tensor([0] * 6 + [1] * 4)
    assert calibration_error(sure, right) == pytest.approx(0.3, abs=1e-5)
    assert calibration_error(unsure, 1 - right) == pytest.approx(0.0, abs=1e-5)
    assert calibration_error(torch.cat([sure, unsure]), torch.cat([right, 1 - right])) == pytest.approx(0.15, abs=1e-5)


def test_even_right_scores_have_an_error_which_falls_with_the_rows() -> None:
    """Of n rows with score 0.8 the share that is right is off by the mean deviation of a binomial: 0.8 sd."""
    for rows in (100, 400):
        scores = torch.tensor([[0.8, 0.2]] * rows)
        deviation = math.sqrt(0.8 * 0.2 / rows)
        assert chance_error(scores) == pytest.approx(math.sqrt(2 / math.pi) * deviation, rel=0.2)
    assert chance_error(torch.tensor([[1.0, 0.0]] * 10)) == pytest.approx(0, abs=1e-6)
