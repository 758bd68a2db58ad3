from __future__ import annotations

import logging
import re
from pathlib import Path

import onnx
import pytest

from service.config import ARTIFACTS, Settings
from service.engine.registry import Registry
from service.errors import ArtifactError, ModelNotFound, StartupError
from service.tasks import TASKS
from tests.service import broken, doubles


def registry(folder: Path, **settings: object) -> Registry:
    return Registry(Settings(models_dir=folder, **{"workers": 1} | settings))  # type: ignore[arg-type]


def test_finding_what_is_not_there_says_what_is(zoo: Path) -> None:
    loaded = registry(zoo)
    with pytest.raises(ModelNotFound, match=r"No model named 'x'; /v1/classify is served by: moods, topics"):
        loaded.find("classify", "x")
    with pytest.raises(ModelNotFound, match=r"Model 'moods' is for another task; /v1/answer is served by: reader"):
        loaded.find("answer", "moods")


def test_workers_are_as_many_as_told(zoo: Path) -> None:
    assert registry(zoo, workers=3).workers == 3
    assert Registry(Settings(models_dir=zoo)).workers >= 1


# --- Defaults --------------------------------------------------------------------------------------------------------


def test_the_setting_chooses_who_answers_when_none_is_named(zoo: Path) -> None:
    loaded = registry(zoo, default_models="classify=topics")
    assert loaded.find("classify", None) is loaded.models["topics"]
    assert loaded.find("classify", "moods") is loaded.models["moods"]
    assert (loaded.default("answer"), loaded.default("none")) == ("reader", None)
    plan = "/v1/classify by topics, /v1/answer by reader, /v1/summarize by writer, /v1/entities by tagger"
    assert loaded.default_plan() == f"{plan}, /v1/embed by vectors"


def test_a_folder_that_is_added_does_not_change_who_answers(tmp_path: Path) -> None:
    doubles.classifier(tmp_path / "sentiment")
    doubles.reader(tmp_path / "qa")
    assert registry(tmp_path).default_plan() == "/v1/classify by sentiment, /v1/answer by qa"
    doubles.classifier(tmp_path / "Albert")
    doubles.reader(tmp_path / "a-reader")
    assert registry(tmp_path).default_plan() == "/v1/classify by sentiment, /v1/answer by qa"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("classify=x", r"'x' is not there; classify is served by: moods, topics$"),
        ("classify=reader", r"'reader' is for another route; classify is served by: moods, topics$"),
        ("guess=moods", rf"there is no route 'guess'; there are: {', '.join(task.route for task in TASKS)}$"),
        ("answer=moods, guess=x", r"'moods' is for another .*; there is no route 'guess'"),
    ],
)
def test_a_default_that_is_not_there_stops_the_start(zoo: Path, wanted: str, said: str) -> None:
    with pytest.raises(StartupError, match=f"^SHOAL_DEFAULT_MODELS: .*{said}"):
        registry(zoo, default_models=wanted)


def test_a_default_that_could_not_be_loaded_is_not_replaced(tmp_path: Path) -> None:
    broken.make(tmp_path, "no tokenizer", "sentiment")
    doubles.classifier(tmp_path / "reviews")
    loaded = registry(tmp_path)
    assert loaded.default("classify") is None
    with pytest.raises(ModelNotFound, match=r"The default model could not be loaded; .* is served by: reviews\.$"):
        loaded.find("classify", None)
    with pytest.raises(ModelNotFound, match=r"Model 'sentiment' could not be loaded: tokenizer\.json: there is none"):
        loaded.find("classify", "sentiment")
    assert registry(tmp_path, default_models="classify=reviews").default("classify") == "reviews"
    assert registry(tmp_path, models="reviews").default("classify") == "reviews"


# --- Folders that cannot be served -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(broken.FOLDERS))
def test_a_broken_folder_is_left_out_and_the_others_are_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    doubles.classifier(tmp_path / "moods")
    said = broken.make(tmp_path, kind)
    with caplog.at_level(logging.INFO):
        loaded = registry(tmp_path)
    assert list(loaded.models) == ["moods"]
    assert list(loaded.missing) == ["broken"]
    assert re.search(said, loaded.missing["broken"]), loaded.missing["broken"]
    assert str(tmp_path) not in loaded.missing["broken"]
    (line,) = (each.getMessage() for each in caplog.records if each.levelno == logging.WARNING)
    assert line == f"{tmp_path}/broken is left out: {loaded.missing['broken']}"
    assert "\n" not in line


@pytest.mark.parametrize("linked", ["the folder", "the graph"])
def test_a_reason_does_not_tell_where_links_lead(tmp_path: Path, linked: str) -> None:
    blobs, models = doubles.classifier(tmp_path / "blobs"), tmp_path / "models"
    graph = blobs / "model.onnx"
    onnx.save(onnx.load(graph), graph, save_as_external_data=True, location="weights", size_threshold=1000)
    doubles.classifier(models / "moods")
    if linked == "the folder":
        (blobs / "weights").unlink()
        (models / "linked").symlink_to(blobs)
    else:
        # Its weights are not beside the link.
        (doubles.classifier(models / "linked") / "model.onnx").unlink()
        (models / "linked" / "model.onnx").symlink_to(graph)
    reason = registry(models).missing["linked"]
    assert reason.startswith("model.onnx: onnxruntime cannot load it")
    assert "weights" in reason
    assert str(tmp_path) not in reason


def test_models_of_ones_own_are_served_too_and_a_broken_one_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("SHOAL_MODELS_DIR", raising=False)
    own = tmp_path / "shoal" / "models"
    doubles.classifier(own / "moods")
    broken.make(own, "no tokenizer")
    loaded = Registry(Settings(models="moods,broken", workers=1))
    assert list(loaded.models) == ["moods"]
    (line,) = (each.getMessage() for each in caplog.records if each.levelno == logging.WARNING)
    assert line == f"{own}/broken is left out: {loaded.missing['broken']}"
    with pytest.raises(ArtifactError, match=rf"^{own}/broken cannot be served: tokenizer"):
        Registry(Settings(models="broken", workers=1))


def test_all_broken_folders_are_named_at_once(tmp_path: Path) -> None:
    doubles.classifier(tmp_path / "moods")
    broken.make(tmp_path, "no tokenizer", "first")
    broken.make(tmp_path, "an empty folder", "second")
    assert list(registry(tmp_path).missing) == ["first", "second"]
    wanted = r"2 of the models cannot be served \(SHOAL_STRICT_MODELS\): first: tokenizer.*; second: no config\.json"
    with pytest.raises(ArtifactError, match=wanted):
        registry(tmp_path, strict_models=True)
    assert list(registry(tmp_path, strict_models=True, models="moods").models) == ["moods"]
    with pytest.raises(ArtifactError, match=r"none of the models can be served: first: .*; second: no config\.json$"):
        registry(tmp_path, models="first,second")


def test_a_classifier_without_names_has_those_that_its_graph_needs(tmp_path: Path) -> None:
    doubles.classifier(tmp_path / "moods", table=broken.THREE_LABELS, id2label=None)
    assert registry(tmp_path).models["moods"].task.labels == ["LABEL_0", "LABEL_1", "LABEL_2"]


def test_the_default_models_are_loaded(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loaded = registry(ARTIFACTS, strict_models=True)
    assert loaded.default_plan() == "/v1/classify by sentiment, /v1/answer by qa, /v1/summarize by summarizer"
    assert not caplog.records


def test_a_folder_that_cannot_be_read_is_told_by_name(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(StartupError, match=rf"^SHOAL_MODELS_DIR={loop} cannot be read: Too many levels"):
        registry(loop)
