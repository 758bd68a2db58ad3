"""One stage of training, resumable: transformers' Trainer set up for this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

from models.data.recipe import Training
from models.training.averaging import WeightAverage

FINAL = "final"
"""A stage's folder has its trained model there."""

Features = Sequence[dict[str, Any]]
Loss = Callable[[Any, dict[str, torch.Tensor]], torch.Tensor]
"""Of a model on a batch with its targets: what is made less, in place of the model's own loss."""


@dataclass(frozen=True)
class Validation:
    """What each epoch is judged by."""

    features: Features
    score: Callable[[EvalPrediction], float]
    """More is better."""


@cache
def bf16_pays() -> bool:
    """Whether bf16 matrices multiply faster than fp32 ones here: with AMX 2.5 times, without it often slower."""
    if torch.cuda.is_available():
        return True
    times_s = {}
    for kind in (torch.float32, torch.bfloat16):
        rows, weights = torch.ones(448, 384, dtype=kind), torch.ones(1536, 384, dtype=kind)
        runs = []
        for _ in range(12):
            began_s = time.perf_counter()
            torch.nn.functional.linear(rows, weights)
            runs.append(time.perf_counter() - began_s)
        times_s[kind] = min(runs)
    return times_s[torch.bfloat16] < times_s[torch.float32]


def _stopping(training: Training, validation: Validation | None) -> dict[str, Any]:
    """The arguments that make Trainer validate every epoch and keep the best one's weights."""
    if validation is None or training.patience is None:
        return {"save_strategy": "steps", "save_steps": training.save_steps}
    each_epoch = {"eval_strategy": "epoch", "save_strategy": "epoch"}
    return {**each_epoch, "load_best_model_at_end": True, "metric_for_best_model": "score", "greater_is_better": True}


def _schedule(training: Training, rows: int) -> dict[str, Any]:
    """The arguments that say how the learning rate changes over the steps."""
    if training.decay_from is None:
        return {"lr_scheduler_type": "linear"}
    steps = math.ceil(math.ceil(rows / training.batch_size) * training.epochs)
    falling = math.ceil(steps * (1 - training.decay_from))
    return {
        "lr_scheduler_type": "warmup_stable_decay",
        "lr_scheduler_kwargs": {"num_decay_steps": falling, "decay_type": "linear"},
    }


def _arguments(training: Training, rows: int, run: Path, validation: Validation | None) -> TrainingArguments:
    """Trainer's settings for `training` over `rows` rows: rows of like length share a batch."""
    return TrainingArguments(
        output_dir=str(run),
        num_train_epochs=training.epochs,
        per_device_train_batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        warmup_ratio=training.warmup_ratio,
        weight_decay=training.weight_decay,
        label_smoothing_factor=training.label_smoothing,
        **_schedule(training, rows),
        optim="adamw_torch_fused",
        bf16=bf16_pays(),
        use_cpu=not torch.cuda.is_available(),
        group_by_length=True,
        save_total_limit=1,
        logging_steps=50,
        report_to=[],
        seed=training.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        **_stopping(training, validation),
    )


class _LossTrainer(Trainer):
    """A Trainer with a loss of its own, or without one the model's."""

    def __init__(self, *, loss: Loss | None, **named: Any) -> None:
        super().__init__(**named)
        self._loss = loss

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **named: Any) -> Any:
        """The loss of a step; validation, which wants the outputs as well, gets the model's own."""
        if self._loss is None or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, **named)
        return self._loss(model, inputs)


def train_stage(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    features: Features,
    collate: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]],
    training: Training,
    *,
    run: Path,
    validation: Validation | None = None,
    loss: Loss | None = None,
) -> PreTrainedModel:
    """Train `model` on `features` and return it; `run` holds checkpoints, the
    tokenizer with them, and a cut-off run goes on from the last.

    With `training.patience` it stops by `validation`; with `training.average_from` it returns the mean of the late
    weights, with `training.keep` those of stages beside `run` in it.
    """
    trainer = _LossTrainer(
        loss=loss,
        model=model,
        args=_arguments(training, len(features), run, validation),
        train_dataset=features,
        data_collator=collate,
        processing_class=tokenizer,
        eval_dataset=None if validation is None else validation.features,
        compute_metrics=None if validation is None else lambda given: {"score": validation.score(given)},
    )
    if validation is not None and training.patience is not None:
        trainer.add_callback(EarlyStoppingCallback(early_stopping_patience=training.patience))
    average = None if training.average_from is None else WeightAverage(model, training.average_from)
    if average is not None:
        trainer.add_callback(average)
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(run)) if run.is_dir() else None)
    if average is not None:
        average.put_into(model)
    _mix(model, {run.parent / stage / FINAL: share for stage, share in training.keep.items()})
    return model


def _mix(model: PreTrainedModel, others: dict[Path, float]) -> None:
    """Put such shares of the weights of models in folders into those of `model`, of which the rest stays."""
    loaded = [(dict(type(model).from_pretrained(folder).named_parameters()), share) for folder, share in others.items()]
    if not loaded:
        return
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.mul_(1 - sum(others.values()))
            for weights, share in loaded:
                value.add_(weights[name], alpha=share)
