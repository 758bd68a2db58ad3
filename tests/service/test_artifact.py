from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from service.artifact import Artifact, find_artifacts
from service.errors import ArtifactError, StartupError
from tests.service import doubles


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


# --- Graphs --------------------------------------------------------------------------------------------------------


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
    found = artifact(tmp_path, *files, **BART)
    assert [path.name for path in found.seq2seq_graphs] == chosen
    assert found.graphs == found.seq2seq_graphs
    (tmp_path / "model.onnx").touch()
    assert artifact(tmp_path, **BART).graphs == found.graphs, "not an encoder that lies beside them"


@pytest.mark.parametrize("files", [[], ["encoder.onnx"], ["decoder_model.onnx"]])
def test_graphs_that_are_not_all_there_are_named(tmp_path: Path, files: list[str]) -> None:
    with pytest.raises(ArtifactError, match=r"wanted encoder\.onnx \+ decoder\.onnx or "):
        _ = artifact(tmp_path, *files, **BART).seq2seq_graphs


def test_graphs_without_caches_are_refused_with_the_command_that_makes_better_ones(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="--task text2text-generation-with-past"):
        _ = artifact(tmp_path, "encoder_model.onnx", "decoder_model.onnx", **BART).seq2seq_graphs


def test_a_folder_without_the_graphs_that_a_task_needs_names_them(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"wanted model\.onnx$"):
        _ = artifact(tmp_path, *OURS).encoder_graph
    with pytest.raises(ArtifactError, match=r"wanted model\.onnx or encoder\.onnx \+ decoder\.onnx or "):
        _ = artifact(tmp_path / "empty").graphs


def test_the_graph_of_an_encoder(tmp_path: Path) -> None:
    assert artifact(tmp_path, "model_quantized.onnx").encoder_graph.name == "model_quantized.onnx"
    found = artifact(tmp_path / "plain", "model.onnx")
    assert found.graphs == (found.encoder_graph,) == (found.folder / "model.onnx",)
    assert found.left_aside == []
    assert found.size_bytes == len("model.onnx")


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (["onnx/model.onnx"], ["onnx/model.onnx"]),
        (["model.onnx", "onnx/model.onnx"], ["model.onnx"]),
        (["model.onnx", "model_quantized.onnx"], ["model_quantized.onnx"]),
        (["model.onnx", "onnx/model_int8.onnx", "onnx/model_fp16.onnx"], ["onnx/model_int8.onnx"]),
        (["model_optimized.onnx"], ["model_optimized.onnx"]),
        (["model_fp16.onnx"], ["model_fp16.onnx"]),
    ],
)
def test_forms_of_an_encoder(tmp_path: Path, files: list[str], chosen: list[str]) -> None:
    (tmp_path / "onnx").mkdir()
    found = artifact(tmp_path, *files)
    assert [path.relative_to(tmp_path).as_posix() for path in found.graphs] == chosen
    assert set(found.left_aside) == {Path(name).name for name in files} - {Path(name).name for name in chosen}


@pytest.mark.parametrize("form", ["_quantized", "_optimized", "_fp16"])
@pytest.mark.parametrize("names", [TWO_DECODERS, MERGED])
def test_forms_of_an_encoder_decoder(tmp_path: Path, names: list[str], form: str) -> None:
    files = [name.replace(".onnx", f"{form}.onnx") for name in names]
    assert [path.name for path in artifact(tmp_path, *files, **BART).graphs] == files
    (tmp_path / "encoder_model.onnx").touch()
    assert [path.name for path in artifact(tmp_path, *files, **BART).graphs] == files, "those of one form"


# --- Facts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"id2label": {"0": "no", "1": "yes"}}, ["no", "yes"]),
        ({"id2label": {str(index): f"l{index}" for index in range(12)}}, [f"l{index}" for index in range(12)]),
        ({"num_labels": 3}, ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ({}, ["LABEL_0", "LABEL_1"]),
    ],
)
def test_labels(tmp_path: Path, config: dict[str, Any], labels: list[str]) -> None:
    assert artifact(tmp_path, **config).label_names() == labels


@pytest.mark.parametrize("names", [None, {}, {"0": "no", "1": "yes", "2": "maybe"}])
def test_label_names_are_as_many_as_the_graph_has_logits(tmp_path: Path, names: dict[str, str] | None) -> None:
    found = artifact(tmp_path, id2label=names)
    assert found.label_names(3) == (list(names.values()) if names else ["LABEL_0", "LABEL_1", "LABEL_2"])
    if names:
        with pytest.raises(ArtifactError, match=r"logits are for 2 labels, id2label in config\.json names 3"):
            found.label_names(2)


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


def test_precision_is_read_from_the_graphs_unless_it_is_said(tmp_path: Path) -> None:
    assert Artifact(doubles.optimum_summarizer(tmp_path / "whole")).precision == "fp32"
    assert Artifact(doubles.classifier(tmp_path / "moods")).precision == "fp32"
    assert Artifact(doubles.classifier(tmp_path / "said", shoal={"precision": "int8"})).precision == "int8"
    mixed = Artifact(doubles.summarizer(tmp_path / "mixed"))
    doubles.int8_graph(mixed.folder / "encoder.onnx")
    assert mixed.precision == "int8"


def test_the_size_is_of_what_is_loaded(tmp_path: Path) -> None:
    found = Artifact(doubles.classifier(tmp_path / "moods"))
    graph = found.folder / "model.onnx"
    onnx.save(onnx.load(graph), graph, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    data_bytes = (found.folder / "model.onnx.data").stat().st_size
    assert data_bytes > 100_000
    (found.folder / "pytorch_model.bin").write_bytes(bytes(1000))
    assert found.size_bytes == graph.stat().st_size + data_bytes


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


def test_every_folder_is_a_model(zoo: Path, tmp_path: Path) -> None:
    assert [found.name for found in find_artifacts(zoo)] == ["moods", "reader", "tagger", "topics", "vectors", "writer"]
    doubles.classifier(tmp_path / "one")
    for name in ("no-config", ".git", "lost+found", "__pycache__"):
        (tmp_path / name).mkdir()
    (tmp_path / "README.md").write_text("", encoding="utf-8")
    assert [found.name for found in find_artifacts(tmp_path)] == ["no-config", "one"]


def test_names_choose_and_missing_ones_are_told(zoo: Path) -> None:
    assert [found.name for found in find_artifacts(zoo, ("writer", "moods"))] == ["writer", "moods"]
    with pytest.raises(StartupError, match="no model named x, y; there are: moods, reader, tagger, topics, vectors"):
        find_artifacts(zoo, ("x", "moods", "y"))


def test_further_folders_come_after_and_change_no_name(zoo: Path, tmp_path: Path) -> None:
    doubles.classifier(tmp_path / "moods")
    doubles.classifier(tmp_path / "aardvark")
    found = find_artifacts(zoo, more=(tmp_path, tmp_path / "missing"))
    assert [each.name for each in found] == ["moods", "reader", "tagger", "topics", "vectors", "writer", "aardvark"]
    assert [each.folder.parent for each in found] == [zoo] * 6 + [tmp_path]


def test_a_further_folder_that_cannot_be_read_is_named(zoo: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match=rf"^{tmp_path}/file cannot be read: Not a directory$"):
        find_artifacts(zoo, more=(tmp_path / "file",))
    with pytest.raises(StartupError, match=rf"^{zoo} and {tmp_path}: no model named x;"):
        find_artifacts(zoo, ("x",), more=(tmp_path,))


def test_a_folder_of_models_that_is_none_is_named(zoo: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    snapshot = tmp_path / "hub" / "models--me--mine" / "snapshots" / "a1b2"
    snapshot.mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for folder, said in {
        tmp_path / "empty": "no models (a model is a sub-folder with a config.json)",
        tmp_path / "missing": "cannot be read: No such file or directory",
        tmp_path / "file": "cannot be read: Not a directory",
        zoo / "moods": "is a model itself; name the folder that it is in",
        snapshot.parents[2]: "each is in models--OWNER--NAME/snapshots/REVISION",
        snapshot.parents[1]: f"link {snapshot} into a folder of models, under the name that requests will call it",
    }.items():
        with pytest.raises(StartupError) as told:
            find_artifacts(folder)
        assert str(folder) in str(told.value)
        assert str(told.value).endswith(said)
