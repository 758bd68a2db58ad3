from __future__ import annotations

from pathlib import Path

import pytest

from service.config import Settings
from service.errors import ArtifactError, ModelNotFound
from service.registry import Registry
from tests.service import toys


def test_a_task_without_a_name_gets_its_first_model(zoo: Path) -> None:
    registry = Registry(Settings(models_dir=zoo, threads=1))
    assert registry.find("classify", None) is registry.models["moods"]
    assert registry.find("classify", "topics") is registry.models["topics"]
    assert (registry.default("answer"), registry.default("none")) == ("reader", None)


def test_finding_what_is_not_there_says_what_is(zoo: Path) -> None:
    registry = Registry(Settings(models_dir=zoo, threads=1))
    with pytest.raises(ModelNotFound, match=r"No model named 'x'; /v1/classify is served by: moods, topics"):
        registry.find("classify", "x")
    with pytest.raises(ModelNotFound, match=r"Model 'moods' is for another task; /v1/answer is served by: reader"):
        registry.find("answer", "moods")


def test_workers_are_as_many_as_told(zoo: Path) -> None:
    assert Registry(Settings(models_dir=zoo, threads=3)).threads == 3
    assert Registry(Settings(models_dir=zoo)).threads >= 1


def test_a_folder_that_cannot_be_served_is_an_artifact_error(tmp_path: Path) -> None:
    (toys.classifier(tmp_path / "broken") / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        Registry(Settings(models_dir=tmp_path, threads=1))


def test_a_file_that_is_not_what_was_published_is_an_artifact_error(tmp_path: Path) -> None:
    (toys.classifier(tmp_path / "changed") / "SHA256SUMS").write_text(f"{'0' * 64}  model.onnx\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="does not match SHA256SUMS"):
        Registry(Settings(models_dir=tmp_path, threads=1))
