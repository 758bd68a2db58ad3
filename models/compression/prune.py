"""A model without the least important heads and columns of a trained one, which then teaches it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, DataCollatorWithPadding

from models.compression.compress import Compression, TrainedModel, compress
from models.compression.importance import importances, least_important
from models.compression.parts import remove_parts
from models.compression.student import StudentOptions
from models.data.recipe import Recipe, Stage
from models.data.rows import Row
from models.errors import BadOption
from models.training import classification, question_answering
from models.training.trainer import Features

_FEATURES: dict[str, Callable[[Recipe, Stage, str, Path], Features]] = {
    "text-classification": classification.training_features,
    "question-answering": question_answering.training_features,
}
_AT_ONCE = 16
_ROUND = 32
"""Columns are left in multiples of it: kernels work in blocks, and a rest costs as much as a block."""


def columns_to_remove(total: int, share: float) -> int:
    """About `share` of the columns, so that a multiple of 32 is left where there are so many."""
    left = total * (1 - share)
    return total - (round(left / _ROUND) * _ROUND if share and left > _ROUND else round(left))


def _batches(trained: TrainedModel, rows: int) -> Iterator[Any]:
    """So many of the last stage's training rows, by its seed, as batches with targets."""
    stage = trained.recipe.stages[-1]
    features = _FEATURES[trained.recipe.task](trained.recipe, stage, str(trained.folder), trained.data)
    some = random.Random(stage.training.seed).sample(list(features), min(rows, len(features)))
    collate = DataCollatorWithPadding(AutoTokenizer.from_pretrained(trained.folder))
    for begin in range(0, len(some), _AT_ONCE):
        yield collate(some[begin : begin + _AT_ONCE])


def prune(
    teacher: TrainedModel,
    options: StudentOptions,
    *,
    heads: float,
    columns: float,
    sample: int,
    rows: list[Row],
    target: Path,
) -> str:
    """Make a model without the least important heads and columns of every layer; return the comparison table.

    `heads` and `columns` are shares, from 0 to below 1. Importance is estimated on `sample` training rows; then the
    whole model teaches what is left. Raises what `compress` raises, UnknownArchitecture, and BadOption for other
    shares.
    """
    if not (0 <= heads < 1 and 0 <= columns < 1):
        raise BadOption(f"{heads:g} of the heads and {columns:g} of the columns: shares of 0 up to 1 are wanted")
    config = teacher.load().config
    fewer_heads = min(round(config.num_attention_heads * heads), config.num_attention_heads - 1)

    def shrink(model: Any) -> None:
        importance = importances(model, _batches(teacher, sample))
        fewer_columns = columns_to_remove(len(importance[0].columns), columns)
        remove_parts(
            model,
            [least_important(layer.heads, fewer_heads) for layer in importance],
            [least_important(layer.columns, fewer_columns) for layer in importance],
        )

    name = f"`{teacher.recipe.name}`"
    made_from = (
        f"{name} without {heads:.0%} of its heads and {columns:.0%} of its feed-forward columns, taught by all of it"
    )
    sizes = f"--heads {heads:g} --columns {columns:g} --sample {sample}"
    command = f"python -m models prune {teacher.recipe.name} {sizes}{options.flags}"
    layers = tuple(range(config.num_hidden_layers))
    return compress(teacher, Compression(shrink, layers, made_from, command), options, rows=rows, target=target)
