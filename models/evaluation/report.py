"""One table of all artifacts, by their own metrics.json and by measurement here."""

from __future__ import annotations

from pathlib import Path

from models.data.recipe import RECIPES, load_recipe
from models.data.rows import Row
from models.errors import Missing
from models.evaluation.throughput import Throughput, measure_throughput
from models.graphs.parameters import count_parameters
from service.artifact import Artifact, find_artifacts
from service.tasks import task_of
from service.text.sentences import sentence_spans

_TEXT = """A server for small requests has a simple problem. Each of them alone leaves most of a processor idle. \
Waiting until a batch is full costs the client time, though, and nobody likes to wait. So whatever has come when a \
core is free again is cut into batches. Rows of like length share one, because what is computed on padding is lost. A \
lone request waits for nobody. Weights are kept as whole numbers of eight bits, with one scale for each channel of a \
matrix. An answer then stays the same, to the last bit, whatever else was in its batch."""
"""The text that speed is measured on, as sentences, contexts or texts to summarize."""

_QUESTION = "What waits for nobody?"
_FEWEST_SENTENCES = 4
"""Fewest sentences of a text to summarize."""


def _rows(task: str) -> list[Row]:
    """Every run of consecutive sentences as an input of the task: all different, of many lengths."""
    spans = sentence_spans(_TEXT)
    runs = [(first, last) for first in range(len(spans)) for last in range(first, len(spans))]
    texts = {run: _TEXT[spans[run[0]][0] : spans[run[1]][1]] for run in runs}
    if task == "text-classification":
        return [{"text": text} for text in texts.values()]
    if task == "question-answering":
        return [{"question": _QUESTION, "context": text} for text in texts.values()]
    return [{"abstract": text} for (first, last), text in texts.items() if last - first + 1 >= _FEWEST_SENTENCES]


def _bars(artifact: Artifact) -> dict[str, float]:
    known = (RECIPES / f"{artifact.name}.toml").is_file()
    return load_recipe(artifact.name).evaluation.bars if known else {}


def _verdicts(artifact: Artifact) -> str:
    """Which bars of its recipe the artifact reaches."""
    score: dict[str, float] = artifact.metrics.get("score", {})
    said = []
    for name, bar in _bars(artifact).items():
        verdict = "not measured" if name not in score else "reached" if score[name] >= bar else "missed"
        said.append(f"{name} {bar:g}: {verdict}")
    return "; ".join(said) or "none"


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in scores.items()) or "not measured"


def _line(artifact: Artifact, speed: Throughput) -> str:
    metrics = artifact.metrics
    cells = (
        f"`{artifact.name}`",
        task_of(artifact).name,
        f"{artifact.size_bytes / 1e6:.1f}",
        f"{count_parameters(artifact) / 1e6:.1f}",
        f"{speed.tokens_per_s:,.0f}",
        _scores(metrics.get("score", {})),
        _scores(metrics.get("fp32", {})),
        _verdicts(artifact),
    )
    return f"| {' | '.join(cells)} |"


def report_table(folder: Path, *, rounds: int = 5) -> str:
    """The artifacts in `folder` as a Markdown page.

    Scores are those of their metrics.json, bars those of the recipes of their names, speed is measured now, on one
    thread: tokens that an encoder reads a second, and that an encoder-decoder writes. Raises Missing when there is
    no such folder, StartupError when it holds no artifact.
    """
    if not folder.is_dir():
        raise Missing(f"there is no folder {folder}")
    artifacts = find_artifacts(folder)
    speeds = measure_throughput({artifact: _rows(task_of(artifact).name) for artifact in artifacts}, rounds=rounds)
    lines = [
        "# Models",
        "",
        "Written by `python -m models report`. Scores are those of each model's metrics.json. Tokens a second, read by",
        "an encoder and written by an encoder-decoder, are medians on one thread, through the service's own code, on",
        "the machine that this was written on.",
        "",
        "| model | task | MB | parameters, M | tokens/s | score as served | fp32 | bars |",
        "| --- | --- | ---: | ---: | ---: | --- | --- | --- |",
    ]
    return "\n".join(lines + [_line(*each) for each in zip(artifacts, speeds, strict=True)])
