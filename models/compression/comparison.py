"""A smaller model beside the one that it was made from: size, speed, score."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from models.data.rows import Row
from models.evaluation.throughput import Throughput, measure_throughput
from models.graphs.parameters import count_parameters
from service.artifact import Artifact

_ROWS = 256


@dataclass(frozen=True)
class Measured:
    """A model of the table."""

    name: str
    shape: str
    parameters: int
    size_bytes: int
    speed: Throughput
    measure: str
    """The first of metrics.json."""
    score: float
    """In points."""


def shape_of(config: Any) -> str:
    """Layers x heads x feed-forward columns, by transformers' configuration; every layer has as many."""
    pruned = len(next(iter(config.pruned_heads.values()), []))
    columns = config.to_dict().get("intermediate_size") or config.hidden_dim
    return f"{config.num_hidden_layers} x {config.num_attention_heads - pruned} x {columns}"


def compare_models(folders: list[Path], rows: list[Row], *, rounds: int = 7) -> list[Measured]:
    """The artifacts in `folders`, timed in turns on some of `rows`; their scores are those of their metrics.json.

    Raises ArtifactError for a folder that cannot be served.
    """
    artifacts = [Artifact(folder) for folder in folders]
    distinct = list({str(row): row for row in rows}.values())
    some = distinct[:: max(1, len(distinct) // _ROWS)][:_ROWS]
    speeds = measure_throughput(dict.fromkeys(artifacts, some), rounds=rounds)
    return [
        Measured(
            name=artifact.name,
            shape=shape_of(AutoConfig.from_pretrained(artifact.folder)),
            parameters=count_parameters(artifact),
            size_bytes=artifact.size_bytes,
            speed=speed,
            measure=next(iter(artifact.metrics["score"])),
            score=next(iter(artifact.metrics["score"].values())),
        )
        for artifact, speed in zip(artifacts, speeds, strict=True)
    ]


def comparison_table(models: list[Measured]) -> str:
    """A Markdown table; in brackets what the first model's number is multiplied by, of a score the difference."""
    first = models[0]
    lines = [
        f"| model | layers x heads x columns | parameters, M | int8, MB | tokens/s | texts/s | {first.measure} |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for each in models:
        pairs = [
            (each.parameters / 1e6, first.parameters / 1e6, ".1f"),
            (each.size_bytes / 1e6, first.size_bytes / 1e6, ".1f"),
            (each.speed.tokens_per_s, first.speed.tokens_per_s, ",.0f"),
            (each.speed.texts_per_s, first.speed.texts_per_s, ",.0f"),
        ]
        cells = [f"{value:{form}}" + ("" if each is first else f" ({value / of:.2f})") for value, of, form in pairs]
        score = f"{each.score:.2f}" + ("" if each is first else f" ({each.score - first.score:+.2f})")
        lines.append(f"| {' | '.join([each.name, each.shape, *cells, score])} |")
    return "\n".join(lines)
