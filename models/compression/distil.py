"""A model with fewer layers from a trained one, which teaches it."""

from __future__ import annotations

from pathlib import Path

from models.compression.compress import Compression, TrainedModel, compress
from models.compression.layers import keep_layers, kept_layers
from models.compression.student import StudentOptions
from models.data.rows import Row


def distil(teacher: TrainedModel, options: StudentOptions, *, layers: int, rows: list[Row], target: Path) -> str:
    """Make a model with `layers` of the teacher's layers, distilled from all of them; return the comparison table.

    Raises what `compress` raises, and BadOption for a number of layers that cannot be kept.
    """
    total = teacher.load().config.num_hidden_layers
    kept = kept_layers(total, layers)
    name = f"`{teacher.recipe.name}`"
    made_from = (
        f"{name}, of whose {total} layers it keeps {', '.join(map(str, kept))} (from 0); distilled from all of them"
    )
    command = f"python -m models distil {teacher.recipe.name} --layers {layers}{options.flags}"
    compression = Compression(lambda model: keep_layers(model, kept), kept, made_from, command)
    return compress(teacher, compression, options, rows=rows, target=target)
