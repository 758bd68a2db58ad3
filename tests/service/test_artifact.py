from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from service.artifact import Artifact, find_artifacts
from service.errors import ArtifactError
from tests.service import toys


def folder_of(path: Path, config: dict[str, Any] | None = None, *files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in files:
        (path / name).write_bytes(name.encode())
    return path


def artifact(path: Path, *files: str, **config: Any) -> Artifact:
    return Artifact(folder_of(path, {"architectures": ["BertForSequenceClassification"]} | config, *files))


def sums(folder: Path, *names: str) -> None:
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


# --- Task and graphs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("DistilBertForSequenceClassification", "text-classification"),
        ("RobertaForQuestionAnswering", "question-answering"),
        ("BartForConditionalGeneration", "summarization"),
        ("T5ForConditionalGeneration", "summarization"),
        ("MarianMTModel", "summarization"),
    ],
)
def test_the_task_is_read_from_the_architecture(tmp_path: Path, architecture: str, task: str) -> None:
    assert artifact(tmp_path, architectures=[architecture]).task == task


@pytest.mark.parametrize("architectures", [["BertForMaskedLM"], [], None])
def test_other_heads_are_refused_by_name(tmp_path: Path, architectures: list[str] | None) -> None:
    with pytest.raises(ArtifactError, match="BertForMaskedLM" if architectures else "no architecture"):
        _ = artifact(tmp_path, architectures=architectures).task


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no config\.json"):
        _ = Artifact(tmp_path).config


@pytest.mark.parametrize(("content", "complaint"), [("{", "not JSON"), ("[]", "not a JSON object")])
def test_a_broken_config_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=complaint):
        _ = Artifact(tmp_path).config


BART = {"architectures": ["BartForConditionalGeneration"]}
OURS = ["encoder.onnx", "decoder.onnx"]
TWO_DECODERS = ["encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"]
MERGED = ["encoder_model.onnx", "decoder_model_merged.onnx"]


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (OURS, OURS),
        (TWO_DECODERS, TWO_DECODERS),
        (MERGED, MERGED),
        ([*TWO_DECODERS, "decoder_model_merged.onnx"], TWO_DECODERS),
        ([*MERGED, *TWO_DECODERS, *OURS], OURS),
    ],
)
def test_the_graphs_of_an_encoder_decoder(tmp_path: Path, files: list[str], chosen: list[str]) -> None:
    assert [path.name for path in artifact(tmp_path, *files, **BART).graphs] == chosen


@pytest.mark.parametrize("files", [[], ["encoder.onnx"], ["decoder_model.onnx", "encoder_model.onnx"]])
def test_graphs_that_are_not_all_there_are_named(tmp_path: Path, files: list[str]) -> None:
    with pytest.raises(ArtifactError, match=r"wanted encoder\.onnx \+ decoder\.onnx or "):
        _ = artifact(tmp_path, *files, **BART).graphs


def test_the_graph_of_an_encoder(tmp_path: Path) -> None:
    assert [path.name for path in artifact(tmp_path, "model_quantized.onnx").graphs] == ["model_quantized.onnx"]
    found = artifact(tmp_path, "model.onnx")
    assert [path.name for path in found.graphs] == ["model.onnx"]
    assert found.size_bytes == len("model.onnx")


# --- Facts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"id2label": {"0": "no", "1": "yes"}}, ["no", "yes"]),
        ({"id2label": {str(index): f"l{index}" for index in range(12)}}, [f"l{index}" for index in range(12)]),
        ({"num_labels": 3}, ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ({}, ["LABEL_0", "LABEL_1"]),
        ({"architectures": ["BertForQuestionAnswering"], "id2label": {"0": "x"}}, []),
    ],
)
def test_labels(tmp_path: Path, config: dict[str, Any], labels: list[str]) -> None:
    assert artifact(tmp_path, **config).labels == labels


def test_several_labels_at_once_by_the_problem_type(tmp_path: Path) -> None:
    assert artifact(tmp_path, problem_type="multi_label_classification").multi_label is True
    assert artifact(tmp_path / "b", problem_type="single_label_classification").multi_label is False


@pytest.mark.parametrize(
    ("config", "tokenizer", "limit"),
    [
        ({"max_position_embeddings": 512}, {}, 512),
        ({"max_position_embeddings": 512}, {"model_max_length": 256}, 256),
        ({"max_position_embeddings": 512}, {"model_max_length": int(1e30)}, 512),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, {}, 512),
        (
            {"max_position_embeddings": 514, "model_type": "xlm-roberta", "pad_token_id": 1},
            {"model_max_length": 512},
            512,
        ),
        ({"n_positions": 512}, {}, 512),
        ({}, {}, 512),
        ({"max_position_embeddings": 512, "shoal": {"max_tokens": 384}}, {"model_max_length": 128}, 384),
    ],
)
def test_tokens_that_a_row_may_have(
    tmp_path: Path, config: dict[str, Any], tokenizer: dict[str, Any], limit: int
) -> None:
    found = artifact(tmp_path, **config)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    assert found.max_tokens == limit


def test_precision_is_read_from_the_graph_unless_it_is_said(tmp_path: Path) -> None:
    assert artifact(tmp_path / "plain", "model.onnx").precision == "fp32"
    quantized = artifact(tmp_path / "quantized", "model.onnx")
    quantized.graphs[0].write_bytes(b"\x0aMatMulIntegerToFloat\x12")
    assert quantized.precision == "int8"
    assert artifact(tmp_path / "said", "model.onnx", shoal={"precision": "int8"}).precision == "int8"


def test_generation_settings_go_over_the_configs(tmp_path: Path) -> None:
    found = artifact(tmp_path, num_beams=4, max_length=20)
    (tmp_path / "generation_config.json").write_text('{"num_beams": 2}', encoding="utf-8")
    assert (found.generation_config["num_beams"], found.generation_config["max_length"]) == (2, 20)


def test_metrics_are_empty_where_there_are_none(tmp_path: Path) -> None:
    assert artifact(tmp_path).metrics == {}
    assert artifact(tmp_path).serving == {}


# --- Checksums -------------------------------------------------------------------------------------------------------


def test_a_folder_as_it_was_published_is_verified(tmp_path: Path) -> None:
    found = artifact(tmp_path, "model.onnx")
    found.verify()
    sums(tmp_path, "model.onnx", "config.json")
    found.verify()


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    found = artifact(tmp_path, "model.onnx")
    sums(tmp_path, "config.json", "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"model.onnX")
    with pytest.raises(ArtifactError, match=r"model\.onnx: does not match SHA256SUMS"):
        found.verify()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    found = artifact(tmp_path, "model.onnx")
    sums(tmp_path, "model.onnx")
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx: listed in SHA256SUMS but missing"):
        found.verify()


# --- Finding ---------------------------------------------------------------------------------------------------------


def test_every_folder_with_a_config_is_a_model(zoo: Path, tmp_path: Path) -> None:
    assert [found.name for found in find_artifacts(zoo)] == ["moods", "reader", "topics", "writer"]
    toys.classifier(tmp_path / "one")
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("", encoding="utf-8")
    assert [found.name for found in find_artifacts(tmp_path)] == ["one"]


def test_names_choose_and_missing_ones_are_told(zoo: Path) -> None:
    assert [found.name for found in find_artifacts(zoo, ("writer", "moods"))] == ["writer", "moods"]
    with pytest.raises(ArtifactError, match="no model named x, y; there are: moods, reader, topics, writer"):
        find_artifacts(zoo, ("x", "moods", "y"))


def test_further_folders_come_after_and_change_no_name(zoo: Path, tmp_path: Path) -> None:
    toys.classifier(tmp_path / "moods")
    toys.classifier(tmp_path / "aardvark")
    found = find_artifacts(zoo, more=(tmp_path, tmp_path / "missing"))
    assert [each.name for each in found] == ["moods", "reader", "topics", "writer", "aardvark"]
    assert [each.folder.parent for each in found] == [zoo] * 4 + [tmp_path]


@pytest.mark.parametrize("folder", ["", "missing"])
def test_a_folder_without_models_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ArtifactError, match="no models"):
        find_artifacts(tmp_path / folder)
