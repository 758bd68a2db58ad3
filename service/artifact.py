"""A model's folder: its configuration, its graphs, and whether they are what was published."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from service.errors import ArtifactError, StartupError
from service.hub_cache import is_cache, snapshot
from service.onnx_file import OnnxFile, read_onnx

_GraphNames = tuple[tuple[str, ...], ...]

_ENCODER: _GraphNames = (("model",),)
# Ours first; then what Optimum writes, its two decoders before the merged one, which runs slower.
_SEQ2SEQ: _GraphNames = (
    ("encoder", "decoder"),
    ("encoder_model", "decoder_model", "decoder_with_past_model"),
    ("encoder_model", "decoder_model_merged"),
)
# Of several forms of the same graphs int8 is taken, which is what CPUs are fast at; float16 only by itself.
_FORMS = ("_quantized", "_int8", "", "_optimized", "_fp16")
_PLACES = ("", "onnx")  # the latter as on the Hub
_UNLIMITED_TOKENS = 1_000_000
_DEFAULT_MAX_TOKENS = 512
_DEFAULT_LABELS = 2  # as in transformers
_NO_MODELS = ("lost+found", "__pycache__")
_POSITIONS_FROM_PADDING = ("roberta", "xlm-roberta", "camembert")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is no file; raises ArtifactError for anything else."""
    value = _read(path, {})
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: not a JSON object")
    return value


def _read(path: Path, default: object) -> Any:
    """What a JSON file holds, `default` where there is no file."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default
    except OSError as error:
        raise ArtifactError(f"{path}: it cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ArtifactError(f"{path}: not JSON ({error})") from error


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
        if not (self.folder / "config.json").is_file():
            revision = snapshot(self.folder)
            hint = f"; it is from the Hub's cache, its files are in snapshots/{revision.name}" if revision else ""
            raise ArtifactError(f"{self.folder}: no config.json{hint}")
        return read_json(self.folder / "config.json")

    @cached_property
    def generation_config(self) -> dict[str, Any]:
        """generation_config.json over config.json's own defaults, as transformers reads them."""
        return {**self.config, **read_json(self.folder / "generation_config.json")}

    @cached_property
    def serving(self) -> dict[str, Any]:
        """What the workshop wrote for the service: config.json's "shoal", empty for other people's exports."""
        return dict(self.config.get("shoal", {}))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json as the workshop's `evaluate` wrote it, empty if there is none."""
        return read_json(self.folder / "metrics.json")

    @cached_property
    def score(self) -> dict[str, float]:
        """Points by the name of what was measured; raises ArtifactError where metrics.json says something else."""
        score = self.metrics.get("score", {})
        if not isinstance(score, dict) or not all(isinstance(value, int | float) for value in score.values()):
            raise ArtifactError(f"{self.folder}: score in metrics.json is not numbers by name")
        return score

    @cached_property
    def encoder_graph(self) -> Path:
        """The ONNX file of an encoder with its head; raises ArtifactError if there is none."""
        choices = self._choices(_ENCODER)
        if not choices:
            raise self._no_graphs(_ENCODER)
        return choices[0][0]

    @cached_property
    def seq2seq_graphs(self) -> tuple[Path, ...]:
        """The ONNX files of an encoder-decoder, the encoder first; raises ArtifactError if they are not all there."""
        choices = self._choices(_SEQ2SEQ)
        if choices:
            return choices[0]
        if any(self.folder.glob("encoder_model*.onnx")) or any(self.folder.glob("onnx/encoder_model*.onnx")):
            task = "text2text-generation-with-past"
            raise ArtifactError(f"{self.folder}: no decoder that keeps caches; export it again with --task {task}")
        raise self._no_graphs(_SEQ2SEQ)

    @cached_property
    def graphs(self) -> tuple[Path, ...]:
        """The ONNX files that are served, of an encoder-decoder or else of an encoder; raises ArtifactError if none."""
        choices = self._all_choices
        if not choices:
            raise self._no_graphs(_ENCODER + _SEQ2SEQ)
        return choices[0]

    @property
    def left_aside(self) -> list[str]:
        """Names of other graphs that could be served instead of `graphs`: the same model in another form."""
        return sorted(
            {path.name for paths in self._all_choices for path in paths} - {path.name for path in self.graphs}
        )

    @property
    def _all_choices(self) -> list[tuple[Path, ...]]:
        """An encoder-decoder's sets of graphs, or an encoder's where there are none."""
        return self._choices(_SEQ2SEQ) or self._choices(_ENCODER)

    def _choices(self, sets: _GraphNames) -> list[tuple[Path, ...]]:
        """The sets of graphs that are there, the best first: ours before Optimum's, then int8 before others."""
        found = (
            tuple(self.folder / place / f"{name}{form}.onnx" for name in names)
            for form in _FORMS
            for place in _PLACES
            for names in sets
        )
        complete = [paths for paths in found if all(path.is_file() for path in paths)]
        return sorted(complete, key=lambda paths: paths[0].stem != "encoder")

    def _no_graphs(self, sets: _GraphNames) -> ArtifactError:
        wanted = " or ".join(" + ".join(f"{name}.onnx" for name in names) for names in sets)
        return ArtifactError(f"{self.folder}: no graphs to serve; wanted {wanted}")

    @property
    def sentence_scorer(self) -> Path | None:
        """The graph that scores sentences by the encoder's states, for extractive summaries; None without one."""
        path = self.folder / "sentences.onnx"
        return path if path.is_file() else None

    @property
    def domain_classifier(self) -> Path | None:
        """The classifier of texts like those that a summarizer was trained on; None without one."""
        path = self.folder / "domain.json"
        return path if path.is_file() else None

    def label_names(self, count: int | None = None) -> list[str]:
        """Names of a graph's `count` classes by index: LABEL_0 and so on where config.json names none.

        Without `count`, as many as config.json has. Raises ArtifactError where it names fewer or more than `count`.
        """
        names = self.config.get("id2label") or {}
        if count is None:
            count = len(names) or int(self.config.get("num_labels", _DEFAULT_LABELS))
        if names and len(names) != count:
            raise ArtifactError(
                f"{self.folder}: the graph's logits are for {count} labels, id2label in config.json names {len(names)}"
            )
        return [str(names.get(str(index), f"LABEL_{index}")) for index in range(count)]

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
        tokenizer = read_json(self.folder / "tokenizer_config.json").get("model_max_length")
        # sentence-transformers' own limit replaces the tokenizer's, mostly by a lower one.
        tokenizer = self.sentence_config.get("max_seq_length") or tokenizer
        limits = [int(limit) for limit in (positions, tokenizer) if limit and limit < _UNLIMITED_TOKENS]
        return min(limits, default=_DEFAULT_MAX_TOKENS)

    @cached_property
    def sentence_modules(self) -> list[dict[str, Any]]:
        """sentence-transformers' modules.json: what makes a vector of a text, in order; empty if there is none.

        Raises ArtifactError for a file that is none.
        """
        modules = _read(self.folder / "modules.json", [])
        if not isinstance(modules, list) or not all(isinstance(each, dict) for each in modules):
            raise ArtifactError(f"{self.folder / 'modules.json'}: not a list of modules")
        return modules

    @property
    def embeds(self) -> bool:
        """Whether sentence-transformers makes one vector of a text with it, whatever head its architecture names."""
        return any(str(each.get("type")).endswith(".Pooling") for each in self.sentence_modules)

    @cached_property
    def sentence_config(self) -> dict[str, Any]:
        """sentence-transformers' settings of the encoder, empty if there are none."""
        paths = sorted(self.folder.glob("sentence_*_config.json"))  # its middle is "bert" or an older model's name
        return read_json(paths[0]) if paths else {}

    @cached_property
    def _files(self) -> dict[Path, OnnxFile]:
        return {path: read_onnx(path) for path in self.graphs}

    @cached_property
    def precision(self) -> str:
        """ "int8", "fp16" or "fp32": as the workshop says, else by the graphs."""
        if "precision" in self.serving:
            return str(self.serving["precision"])
        precisions = {file.precision for file in self._files.values()}
        return next((each for each in ("int8", "fp16") if each in precisions), "fp32")

    @cached_property
    def size_bytes(self) -> int:
        """Of the graphs that are loaded, and of the files beside them that hold their weights."""
        beside = {path.parent / name for path, file in self._files.items() for name in file.data_files}
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
    """The artifacts under `folder`, by name, then those under `more`; those with `names`, in their order, if any.

    Every sub-folder is one, whatever is in it, but hidden ones and those that file systems and Python make. Of several
    with one name the first is taken. Folders of `more` may be missing. Raises StartupError when a name has no
    sub-folder, or there is none at all.
    """
    # Not Path.exists, which raises where a folder above may not be looked into.
    further = [each for each in more if os.path.exists(each)]  # noqa: PTH110
    paths = _sub_folders(folder, f"SHOAL_MODELS_DIR={folder}")
    for each in further:
        paths += _sub_folders(each, str(each))
    found: dict[str, Artifact] = {}
    for path in paths:
        found.setdefault(path.name, Artifact(path))
    places = " and ".join(map(str, (folder, *further)))
    missing = [name for name in names if name not in found]
    if missing:
        raise StartupError(f"{places}: no model named {', '.join(missing)}; there are: {', '.join(found) or 'none'}")
    if not found:
        raise StartupError(f"{places}: no models (a model is a sub-folder with a config.json)")
    return [found[name] for name in names or found]


def _sub_folders(folder: Path, place: str) -> list[Path]:
    """The folders in `folder` that may be models, by name; raises StartupError, which begins with `place`."""
    if (folder / "config.json").is_file():
        raise StartupError(f"{place} is a model itself; name the folder that it is in")
    try:
        if (revision := snapshot(folder)) is not None:
            raise StartupError(
                f"{place} is a model in the Hub's cache; link {revision} into a folder of models, under the name that "
                "requests will call it"
            )
        if is_cache(folder):
            raise StartupError(
                f"{place} is the Hub's cache; link the models to serve into a folder of their own: each is in "
                "models--OWNER--NAME/snapshots/REVISION"
            )
        return [path for path in sorted(folder.iterdir()) if _may_be_a_model(path)]
    except OSError as error:
        raise StartupError(f"{place} cannot be read: {error.strerror}") from error


def _may_be_a_model(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name not in _NO_MODELS
