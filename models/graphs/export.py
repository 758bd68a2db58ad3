"""Export: a transformers model becomes an artifact in fp32."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from optimum.exporters.onnx import main_export
from transformers import AutoConfig, AutoTokenizer, MarianTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from models.errors import WorkshopError
from models.graphs.fuse.inputs import end_token
from models.graphs.graph import Graph
from models.graphs.quantize.comparison import open_graph, random_feed
from models.graphs.sentence_files import copy_sentence_files
from models.graphs.shapes import settle_shapes
from models.graphs.split import split_seq2seq
from service.artifact import Artifact
from service.text.marian import marian_tokenizer

OPTIMUM_TASKS = {
    "text-classification": "text-classification",
    "token-classification": "token-classification",
    "question-answering": "question-answering",
    "summarization": "text2text-generation-with-past",
    "feature-extraction": "feature-extraction",
}


class ExportError(WorkshopError, RuntimeError):
    """Optimum cannot export the model, or its graph, once shapes are settled, computes something else."""


class NoFastTokenizer(WorkshopError, ValueError):
    """The model has no tokenizer that can be written as tokenizer.json."""


def _save_tokenizer(source: str, out: Path) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(source)
    if isinstance(tokenizer, MarianTokenizer):
        with TemporaryDirectory() as files:
            tokenizer.save_pretrained(files)
            marian_tokenizer(Path(files)).save(str(out / "tokenizer.json"))
    elif tokenizer.is_fast:
        tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"))
    else:
        raise NoFastTokenizer(
            f"{source}: {type(tokenizer).__name__} has no fast form. Convert it with "
            "transformers.convert_slow_tokenizer and save the tokenizer.json beside the model."
        )
    return tokenizer


def _check(optimum: Path, out: Path, vocabulary: int) -> None:
    """Compare both graphs on random tokens; raises ExportError."""
    sessions = [open_graph(path) for path in (optimum, out)]
    feed = random_feed(sessions[0], vocabulary, 3, 12, end=end_token(Graph.load(optimum)))
    for value, wanted, found in zip(
        sessions[0].get_outputs(), *(session.run(None, feed) for session in sessions), strict=True
    ):
        if wanted.shape != found.shape or not np.allclose(wanted, found, rtol=1e-3, atol=1e-4):
            raise ExportError(f"{value.name} differs between Optimum's graph and the one whose shapes are settled")


def _max_tokens(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, limit: int | None) -> int:
    """The longest input, in tokens, by the position table and by `limit`, or else what the tokenizer was saved with."""
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 512
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.pad_token_id + 1  # Positions are counted from the padding id on.
    return min(int(positions), limit or int(tokenizer.model_max_length))


def export_model(source: str, out: Path, task: str, *, serving: Mapping[str, object] | None = None) -> Path:
    """Export the model in folder or Hub id `source` to `out`, an artifact folder in fp32; return `out`.

    `task` is a key of OPTIMUM_TASKS. `serving` goes into config.json under "shoal", over what training put there. An
    encoder becomes model.onnx, an encoder-decoder encoder.onnx and decoder.onnx (`split_seq2seq` says what they read
    and write).

    Raises KeyError for an unknown task, NoFastTokenizer, ArtifactError (a Marian that `marian_tokenizer` cannot read),
    SplitError, and ExportError, for an architecture that Optimum doesn't know too.
    """
    optimum_task = OPTIMUM_TASKS[task]
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = _save_tokenizer(source, out)
    with TemporaryDirectory(dir=out) as scratch:
        written = Path(scratch)
        with warnings.catch_warnings():
            # The tracer warns of every Python branch in the model, and of its own age.
            warnings.simplefilter("ignore")
            # No post-processing: it would merge the decoders into a file nobody reads.
            try:
                # Of a folder of sentence-transformers the encoder, not a graph that pools: the service does that.
                main_export(
                    source,
                    written,
                    task=optimum_task,
                    framework="pt",
                    library_name="transformers",
                    do_validation=False,
                    no_post_process=True,
                )
            except (KeyError, ValueError) as error:
                raise ExportError(f"{source}: Optimum cannot export it: {str(error).partition(chr(10))[0]}") from error
        if task == "summarization":
            split_seq2seq(written, out)
        else:
            graph = Graph.load(written / "model.onnx")
            settle_shapes(graph)
            graph.save(out / "model.onnx")
            _check(written / "model.onnx", out / "model.onnx", AutoConfig.from_pretrained(source).vocab_size)
        if task == "feature-extraction":
            copy_sentence_files(source, out)
        if (written / "generation_config.json").is_file():
            shutil.copy(written / "generation_config.json", out)
    config = AutoConfig.from_pretrained(source)
    facts = config.to_diff_dict()  # to_dict() would write out base defaults such as max_length 20 as if they were meant
    facts.pop("_name_or_path", None)
    facts["shoal"] = {
        "task": task,
        "precision": "fp32",
        "max_tokens": _max_tokens(config, tokenizer, Artifact(out).sentence_config.get("max_seq_length")),
        **facts.get("shoal", {}),
        **(serving or {}),
    }
    (out / "config.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return out
