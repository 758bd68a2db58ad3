"""Folders that cannot be served, each with what is said of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.service import doubles

Maker = Callable[[Path], object]
THREE_LABELS = doubles.scores({"good": (1, 2, 3)}, 3)


def _rewritten(path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)


def _add_input(model: onnx.ModelProto, name: str, kind: int) -> None:
    model.graph.input.append(helper.make_tensor_value_info(name, kind, ["rows", "tokens"]))


def _rank_three(model: onnx.ModelProto) -> None:
    """Logits [1, rows, labels], as a bias of a wrong rank makes them."""
    graph = model.graph
    graph.node[-1].output[0] = "flat"
    graph.node.append(helper.make_node("Unsqueeze", ["flat", "front"], ["logits"]))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "front"))
    shape: list[Any] = [1, "rows", 2]
    graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape))


def _written(name: str, content: str) -> Maker:
    return lambda folder: (doubles.classifier(folder) / name).write_text(content, encoding="utf-8")


def _classifier(**config: Any) -> Maker:
    return lambda folder: doubles.classifier(folder, **config)


def _changed(change: Callable[[onnx.ModelProto], None]) -> Maker:
    return lambda folder: _rewritten(doubles.classifier(folder) / "model.onnx", change)


def _without(name: str, maker: Maker = doubles.classifier) -> Maker:
    def make(folder: Path) -> None:
        maker(folder)
        (folder / name).unlink()

    return make


def _fails_always(model: onnx.ModelProto) -> None:
    """Its table of costs is for no token."""
    (costs,) = (each for each in model.graph.initializer if each.name == "cost")
    costs.CopyFrom(onnx.numpy_helper.from_array(np.zeros(0, np.int64), "cost"))


def _caches_of_another(folder: Path) -> None:
    """An encoder that gives no caches."""
    doubles.summarizer(folder)
    shutil.copy(doubles.reader(folder.parent / ".reader") / "model.onnx", folder / "encoder.onnx")


def _decoder_without_caches(folder: Path) -> None:
    doubles.summarizer(folder)
    shutil.copy(folder / "encoder.onnx", folder / "decoder.onnx")


def _without_caches_in_int8(folder: Path) -> None:
    doubles.optimum_summarizer(folder)
    (folder / "onnx").mkdir()
    for name in ("encoder_model", "decoder_model"):
        (folder / f"{name}.onnx").rename(folder / "onnx" / f"{name}_quantized.onnx")
    (folder / "decoder_with_past_model.onnx").unlink()


def _wide_decoder(model: onnx.ModelProto) -> None:
    _add_input(model, "position_ids", TensorProto.INT64)


SUMMARIZER_CONFIG: dict[str, Any] = {"architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": True}

FOLDERS: dict[str, tuple[Maker, str]] = {
    "an empty folder": (Path.mkdir, r"^no config\.json$"),
    "an empty config.json": (_written("config.json", ""), r"^config\.json: not JSON"),
    "a config.json that says nothing": (_written("config.json", "{}"), r"^config\.json names no architecture"),
    "a head that no task serves": (
        _classifier(architectures=["BertForMaskedLM"]),
        r"^config\.json names BertForMaskedLM; served are heads",
    ),
    "a value of a wrong type": (_classifier(vocab_size=["many"]), r"^TypeError: int\(\) argument must be"),
    "no tokenizer": (_without("tokenizer.json"), r"^tokenizer\.json: there is none; transformers makes it with AutoT"),
    "a tokenizer that cannot be read": (_written("tokenizer.json", "{}"), r"^tokenizer\.json: no tokenizer \("),
    "a folder of the Hub's cache": (
        lambda folder: (folder / "snapshots" / "a1b2").mkdir(parents=True),
        r"^no config\.json; it is from the Hub's cache, its files are in snapshots/a1b2$",
    ),
    "an encoder-decoder exported without caches": (
        _without("decoder_with_past_model.onnx", doubles.optimum_summarizer),
        r"^no decoder that keeps caches; export it again with --task text2text-generation-with-past$",
    ),
    "an encoder-decoder in int8 exported without caches": (
        _without_caches_in_int8,
        r"^no decoder that keeps caches; export it again with --task text2text-generation-with-past$",
    ),
    "no graph": (_without("model.onnx"), r"^no graphs to serve; wanted model\.onnx"),
    "no graph at all": (_written("model.onnx", "nothing"), r"^model\.onnx: onnxruntime cannot load it"),
    "a pointer of Git LFS": (
        _written("model.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        r"^model\.onnx: it is a pointer of Git LFS.*`git lfs pull`$",
    ),
    "scores that are no numbers": (
        _written("metrics.json", '{"score": {"accuracy": "good"}}'),
        r"^score in metrics\.json is not numbers by name$",
    ),
    "half of the scores": (_written("metrics.json", '{"score"'), r"^metrics\.json: not JSON"),
    "a file that was changed": (
        _written("SHA256SUMS", f"{'0' * 64}  model.onnx\n"),
        r"^model\.onnx: does not match SHA256SUMS",
    ),
    "two names for three logits": (
        lambda folder: doubles.classifier(folder, table=THREE_LABELS),
        r"^the graph's logits are for 3 labels, id2label in config\.json names 2$",
    ),
    "three names for two logits": (
        _classifier(id2label={"0": "a", "1": "b", "2": "c"}),
        r"^the graph's logits are for 2 labels, id2label in config\.json names 3$",
    ),
    "a graph for answers, a configuration for labels": (
        lambda folder: doubles.reader(folder, architectures=["BertForSequenceClassification"]),
        r"^model\.onnx: it has the outputs start_logits, end_logits, but not logits$",
    ),
    "a graph for labels, a configuration for answers": (
        _classifier(architectures=["BertForQuestionAnswering"]),
        r"^model\.onnx: it has the outputs logits, but not start_logits, end_logits$",
    ),
    "logits of three dimensions": (
        _changed(_rank_three),
        r"^model\.onnx: logits has the shape \[1, 2, 2\] after a first pass, instead of \[2, labels\]$",
    ),
    "a graph that fails on every text": (_changed(_fails_always), r"^model\.onnx: a first pass fails \("),
    "a graph that reads pictures": (
        _changed(lambda model: _add_input(model, "pixel_values", TensorProto.FLOAT)),
        r"^model\.onnx: it has the inputs pixel_values, which this task does not have$",
    ),
    "a graph that reads strings": (
        _changed(lambda model: _add_input(model, "texts", TensorProto.STRING)),
        r"^model\.onnx: it has inputs of a type that is not supported: texts \(tensor\(string\)\)$",
    ),
    "Whisper": (
        lambda folder: doubles.summarizer(folder, num_mel_bins=80, **SUMMARIZER_CONFIG),
        r"^config\.json names WhisperForConditionalGeneration; served are heads",
    ),
    "a model of pictures and texts": (
        lambda folder: doubles.summarizer(folder, vision_config={}, is_encoder_decoder=False),
        r"^config\.json names ToyForConditionalGeneration; served are heads",
    ),
    "an encoder that gives no caches": (
        _caches_of_another,
        r"^encoder\.onnx: it has the outputs start_logits, end_logits, but not present\.0\.encoder",
    ),
    "a decoder that keeps no caches": (_decoder_without_caches, r"^decoder\.onnx: it has no caches"),
    "a decoder that reads more": (
        lambda folder: _rewritten(doubles.summarizer(folder) / "decoder.onnx", _wide_decoder),
        r"^decoder\.onnx: it has the inputs position_ids, which this task does not have$",
    ),
    "a decoder of another vocabulary": (
        lambda folder: doubles.summarizer(folder, vocab_size=77),
        rf"^decoder\.onnx: logits of a step has the shape \[2, {len(doubles.VOCABULARY)}\] .* instead of \[2, 77\]$",
    ),
}


def make(folder: Path, kind: str, name: str = "broken") -> str:
    """A folder of this kind under `folder`; returns what is said of it, as a regular expression."""
    maker, said = FOLDERS[kind]
    maker(folder / name)
    return said
