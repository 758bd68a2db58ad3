"""What `check` says of folders: small real graphs, loaded and asked as the server does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from models.custom.check import check_folder, model_folder
from models.custom.source import NotAModel
from service.config import Settings
from service.errors import ArtifactError, ServiceError
from tests.service import broken, doubles


@pytest.fixture
def served(tmp_path: Path) -> Settings:
    """Settings of a server that has a classifier already."""
    doubles.classifier(tmp_path / "served" / "moods")
    return Settings(models_dir=tmp_path / "served", workers=1)


def facts(folder: Path, settings: Settings) -> dict[str, str]:
    lines = check_folder(folder, settings)
    return dict(line.split(": ", 1) for line in lines)


def cached(folder: Path) -> Path:
    """A classifier in the Hub's cache, its files links into blobs/; returns its snapshot."""
    made = doubles.classifier(folder / "snapshots" / "a1b2")
    (folder / "blobs").mkdir()
    for path in list(made.iterdir()):
        path.rename(folder / "blobs" / f"{path.name}-blob")
        path.symlink_to(Path("../../blobs") / f"{path.name}-blob")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a1b2", encoding="utf-8")
    (folder / "snapshots" / "later").mkdir()
    return made


def test_a_folder_is_loaded_asked_timed_and_weighed(tmp_path: Path, served: Settings) -> None:
    told = facts(doubles.classifier(tmp_path / "zest"), served)
    assert list(told) == [
        "folder", "task", "labels", "precision", "max tokens", "default", "answer", "time", "memory",
    ]  # fmt: skip
    assert told["folder"] == str(tmp_path / "zest")
    assert told["task"] == "text-classification, POST /v1/classify"
    assert told["labels"] == "negative, positive"
    assert re.fullmatch(r"fp32, \d+\.\d MB \(model\.onnx\)", told["precision"])
    assert told["max tokens"] == "128"
    assert told["default"] == (
        "moods answers /v1/classify when none is named; SHOAL_DEFAULT_MODELS=classify=zest changes that"
    )
    assert told["answer"].startswith('{"label":"')
    assert re.match(r"\d+\.\d ms for \d+ tokens, \d+\.\d ms for \d+, one request at a time on 1 cores", told["time"])
    assert re.match(r"\d+ MB", told["memory"])


@pytest.mark.parametrize("maker", [doubles.reader, doubles.summarizer, doubles.optimum_summarizer])
def test_every_task_is_asked_its_example(tmp_path: Path, served: Settings, maker: broken.Maker) -> None:
    maker(tmp_path / "mine")
    told = facts(tmp_path / "mine", served)
    assert told["default"] == f"this model answers {told['task'].split()[-1]} when none is named"
    assert told["answer"].startswith("{")


def test_a_vocabulary_is_told_where_there_are_no_labels_and_what_is_left_aside(
    tmp_path: Path, served: Settings
) -> None:
    doubles.reader(tmp_path / "mine", vocab_size=56)
    (tmp_path / "mine" / "onnx").mkdir()
    (tmp_path / "mine" / "onnx" / "model_fp16.onnx").touch()
    told = facts(tmp_path / "mine", served)
    assert told["vocabulary"] == "56 tokens"
    assert told["precision"].endswith("(model.onnx; not loaded beside it: model_fp16.onnx)")


def test_the_default_that_the_settings_name_is_kept(tmp_path: Path, served: Settings) -> None:
    settings = served.model_copy(update={"default_models": "classify=moods"})
    assert facts(doubles.classifier(tmp_path / "aardvark"), settings)["default"].startswith("moods answers")
    assert facts(doubles.classifier(tmp_path / "bee"), served)["default"].startswith("this model answers")


def test_the_longest_text_fills_the_model(tmp_path: Path, served: Settings) -> None:
    told = facts(doubles.classifier(tmp_path / "mine", max_position_embeddings=512), served)
    short, long = map(int, re.findall(r"ms for (\d+)", told["time"]))
    assert short < 200 < long <= 512


def test_a_cached_model_is_its_present_snapshot(tmp_path: Path, served: Settings) -> None:
    snapshot = cached(tmp_path / "models--me--mine")
    assert facts(tmp_path / "models--me--mine", served)["folder"] == str(snapshot)
    assert facts(snapshot, served)["labels"] == "negative, positive"


def test_the_folder_around_an_onnx_folder_is_meant(tmp_path: Path) -> None:
    folder = doubles.classifier(tmp_path / "mine")
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    assert model_folder(folder / "onnx") == model_folder(folder) == folder


def test_a_folder_of_models_names_them(tmp_path: Path, served: Settings) -> None:
    doubles.classifier(tmp_path / "served" / "more")
    cached(tmp_path / "hub" / "models--me--mine")
    for folder, names in ((tmp_path / "served", "moods, more"), (tmp_path / "hub", "models--me--mine")):
        with pytest.raises(NotAModel, match=rf"^{folder} holds models, name one of them: {names}$"):
            check_folder(folder, served)


@pytest.mark.parametrize("kind", ["no tokenizer", "an encoder-decoder exported without caches", "no graph"])
def test_a_folder_that_cannot_be_served_is_refused_as_the_server_does(
    tmp_path: Path, served: Settings, kind: str
) -> None:
    said = broken.make(tmp_path, kind)
    with pytest.raises(ArtifactError) as told:
        check_folder(tmp_path / "broken", served)
    beginning = f"{tmp_path}/broken cannot be served: "
    assert str(told.value).startswith(beginning)
    assert re.search(said, str(told.value).removeprefix(beginning))


def test_a_model_that_fails_when_it_is_asked_says_so(tmp_path: Path, served: Settings) -> None:
    nothing = doubles.scores({}, 2, other=float("nan"))
    with pytest.raises(ServiceError, match="no finite scores"):
        check_folder(doubles.classifier(tmp_path / "mine", table=nothing), served)


def test_torch_is_not_imported(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules |= dict.fromkeys(['torch', 'transformers', 'optimum']); "
        f"from models.__main__ import main; main(['check', {str(doubles.classifier(tmp_path / 'mine'))!r}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("folder: ")
