"""How far a classifier's scores are from the share of rows that it gets right.

Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning".
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

_BINS = 15
_SEED = 13


def calibration_error(scores: Tensor, targets: Tensor) -> float:
    """Expected calibration error, 0 to 1: how far the top score is from the share that is right, over 15 bins.

    scores [rows, labels], each row adding to 1; targets [rows].
    """
    return float(multiclass_calibration_error(scores, targets, num_classes=scores.shape[1], n_bins=_BINS, norm="l1"))


def chance_error(scores: Tensor, *, draws: int = 200) -> float:
    """The error of scores that are exactly right, on so many rows: the mean of seeded `draws` of targets."""
    chance = torch.Generator().manual_seed(_SEED)
    targets = torch.multinomial(scores, draws, replacement=True, generator=chance)
    return sum(calibration_error(scores, drawn) for drawn in targets.T) / draws
