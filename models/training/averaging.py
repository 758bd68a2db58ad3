"""Stochastic weight averaging: the mean of the weights over the last part of training generalises better.

Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel
from transformers import PreTrainedModel, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

_FILE = "mean.pt"
_EVERY_STEPS = 20


class WeightAverage(TrainerCallback):
    """Averages weights from the share `begin` of all steps on; the mean is saved with checkpoints and restored."""

    def __init__(self, model: PreTrainedModel, begin: float) -> None:
        self._begin = begin
        self._mean = AveragedModel(model)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        """Restore the mean of an interrupted run from its last checkpoint."""
        last = get_last_checkpoint(args.output_dir) if state.global_step else None
        if last and (Path(last) / _FILE).is_file():
            self._mean.load_state_dict(torch.load(Path(last) / _FILE, weights_only=True))

    def on_step_end(self, _: TrainingArguments, state: TrainerState, *__: Any, **kwargs: Any) -> None:
        """Add the current weights to the mean, every 20 steps from the begin on."""
        if state.global_step >= self._begin * state.max_steps and state.global_step % _EVERY_STEPS == 0:
            self._mean.update_parameters(kwargs["model"])

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        """Save the mean with the checkpoint."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if int(self._mean.n_averaged):
            torch.save(self._mean.state_dict(), folder / _FILE)

    def put_into(self, model: PreTrainedModel) -> None:
        """Copy the mean into `model`, if anything was averaged."""
        if int(self._mean.n_averaged):
            model.load_state_dict(self._mean.module.state_dict())
