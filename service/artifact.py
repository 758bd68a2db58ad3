"""A model's folder: its configuration, its graphs, and whether they are what was published."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from service.errors import ArtifactError

Task = Literal["text-classification", "question-answering", "summarization"]

_ENCODER = ("model.onnx", "model_quantized.onnx")
# Ours first; then what Optimum writes, its two decoders before the merged one, which runs slower.
_SEQ2SEQ = (
    ("encoder.onnx", "decoder.onnx"),
    ("encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"),
    ("encoder_model.onnx", "decoder_model_merged.onnx"),
)
_UNLIMITED_TOKENS = 1_000_000
_DEFAULT_MAX_TOKENS = 512
_POSITIONS_FROM_PADDING = ("roberta", "xlm-roberta", "camembert")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: not a JSON object")
    return value


def task_of(config: dict[str, Any], source: str) -> Task:
    """The task of `source`'s config.json, by its architecture's head; raises ArtifactError if no task serves it."""
    architecture = (config.get("architectures") or [""])[0]
    if architecture.endswith("ForSequenceClassification"):
        return "text-classification"
    if architecture.endswith("ForQuestionAnswering"):
        return "question-answering"
    if architecture.endswith(("ForConditionalGeneration", "MTModel")):
        return "summarization"
    raise ArtifactError(
        f"{source}: config.json names {architecture or 'no architecture'}; served are heads for sequence "
        "classification and question answering, and encoder-decoders (BART, T5, Marian)"
    )


@dataclass(frozen=True)
class Artifact:
    """A folder that holds config.json, tokenizer.json and ONNX graphs. Facts about a model come from here only."""

    folder: Path

    @cached_property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def config(self) -> dict[str, Any]:
        """transformers' config.json; raises ArtifactError when there is none."""
        config = _read_json(self.folder / "config.json")
        if not config:
            raise ArtifactError(f"{self.folder}: no config.json")
        return config

    @cached_property
    def generation_config(self) -> dict[str, Any]:
        """generation_config.json over config.json's own defaults, as transformers reads them."""
        return {**self.config, **_read_json(self.folder / "generation_config.json")}

    @cached_property
    def serving(self) -> dict[str, Any]:
        """What the workshop wrote for the service: config.json's "shoal", empty for other people's exports."""
        return dict(self.config.get("shoal", {}))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json as the workshop's `evaluate` wrote it, empty if there is none."""
        return _read_json(self.folder / "metrics.json")

    @cached_property
    def task(self) -> Task:
        """Read from the architecture's head; raises ArtifactError for a head that no task serves."""
        return task_of(self.config, str(self.folder))

    @cached_property
    def graphs(self) -> tuple[Path, ...]:
        """The ONNX files to load: one for an encoder; encoder and decoder(s) for a seq2seq. Raises ArtifactError."""
        sets = _SEQ2SEQ if self.task == "summarization" else tuple((name,) for name in _ENCODER)
        for names in sets:
            paths = tuple(self.folder / name for name in names)
            if all(path.is_file() for path in paths):
                return paths
        wanted = " or ".join(" + ".join(names) for names in sets)
        raise ArtifactError(f"{self.folder}: no graphs to serve; wanted {wanted}")

    @property
    def sentence_scorer(self) -> Path | None:
        """The graph that tells from the encoder's states how well a sentence sums its text up; None without one."""
        path = self.folder / "sentences.onnx"
        return path if path.is_file() else None

    @property
    def labels(self) -> list[str]:
        """Class names by index, empty for tasks without classes."""
        if self.task != "text-classification":
            return []
        names = self.config.get("id2label") or {}
        count = len(names) or int(self.config.get("num_labels", 2))
        return [names.get(str(index), f"LABEL_{index}") for index in range(count)]

    @property
    def multi_label(self) -> bool:
        """Whether each label is decided on its own (sigmoid), by transformers' problem_type."""
        return self.config.get("problem_type") == "multi_label_classification"

    @property
    def regression(self) -> bool:
        """Whether the head's outputs are numbers rather than labels' scores, by transformers' problem_type."""
        return self.config.get("problem_type") == "regression"

    @cached_property
    def max_tokens(self) -> int:
        """Tokens of one row that the model reads, special tokens included."""
        if "max_tokens" in self.serving:
            return int(self.serving["max_tokens"])
        positions = self.config.get("max_position_embeddings") or self.config.get("n_positions")
        if positions and self.config.get("model_type") in _POSITIONS_FROM_PADDING:
            positions -= self.config.get("pad_token_id", 1) + 1
        tokenizer = _read_json(self.folder / "tokenizer_config.json").get("model_max_length")
        limits = [int(limit) for limit in (positions, tokenizer) if limit and limit < _UNLIMITED_TOKENS]
        return min(limits, default=_DEFAULT_MAX_TOKENS)

    @cached_property
    def precision(self) -> str:
        """ "int8" or "fp32": as the workshop says, else by the operators in the graph."""
        if "precision" in self.serving:
            return str(self.serving["precision"])
        return "int8" if any(b"MatMulInteger" in path.read_bytes() for path in self.graphs) else "fp32"

    @cached_property
    def size_bytes(self) -> int:
        """Of the graphs that are loaded, and of weights that they keep beside them."""
        beside = [path for kind in ("*.bin", "*.onnx_data") for path in self.folder.glob(kind)]
        scorer = [self.sentence_scorer] if self.sentence_scorer else []
        return sum(path.stat().st_size for path in (*self.graphs, *scorer, *beside))

    def verify(self) -> None:
        """Compare every file that SHA256SUMS lists; raises ArtifactError on the first that differs.

        A folder without SHA256SUMS, such as one that Optimum wrote, has nothing to compare.
        """
        sums = self.folder / "SHA256SUMS"
        if not sums.is_file():
            return
        for line in sums.read_text(encoding="utf-8").splitlines():
            wanted, _, name = line.partition("  ")
            path = self.folder / name
            if not path.is_file():
                raise ArtifactError(f"{path}: listed in SHA256SUMS but missing")
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                    raise ArtifactError(f"{path}: does not match SHA256SUMS; fetch the folder again")


def find_artifacts(folder: Path, names: tuple[str, ...] = (), *, more: tuple[Path, ...] = ()) -> list[Artifact]:
    """The artifacts under `folder`, by name, then those under `more`; all of them when `names` is empty.

    Of several with one name the first is taken. Folders of `more` may be missing. Raises ArtifactError when a name has
    no folder, or there is nothing at all.
    """
    found: dict[str, Artifact] = {}
    for each in (folder, *more):
        for path in sorted(each.glob("*/config.json")):
            found.setdefault(path.parent.name, Artifact(path.parent))
    missing = [name for name in names if name not in found]
    if missing:
        raise ArtifactError(f"{folder}: no model named {', '.join(missing)}; there are: {', '.join(found) or 'none'}")
    if not found:
        raise ArtifactError(f"{folder}: no models (a model is a sub-folder with a config.json)")
    return [found[name] for name in names or found]
