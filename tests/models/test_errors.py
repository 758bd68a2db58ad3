"""What a user can mend is told in one line, before anything heavy is imported; faults of the workshop keep theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer import Typer

from models import __main__ as command_line
from models.__main__ import main
from service.errors import ArtifactError

TABLE = "text,label\n" + "".join(f"Stück {n},{'xy'[n % 2]}\n" for n in range(60))
FINETUNE = ["finetune", "--task", "classification", "--runs", "runs", "--data"]
FILES = {
    "good.csv": TABLE.encode(),
    "utf16.csv": TABLE.encode("utf-16"),
    "latin.csv": TABLE.encode("latin-1"),
    "latin.jsonl": '{"text": "Stück", "label": "x"}\n'.encode("latin-1"),
    "empty.csv": b"",
    "names.csv": b"text,label\n",
    "few.csv": b"text,label\na,x\nb,y\n",
    "each.csv": ("text,label\n" + "".join(f"text {n},l{n}\n" for n in range(60))).encode(),
    "broken.jsonl": b'{"text": "a", "label": "x"}\n{"text": "b", "label"\n',
    "list.jsonl": b"[1]\n",
    "others.csv": b"text,label\na film,wonderful\na bore,poor\n",
    "fields.jsonl": b'{"sentence": "a", "label": "x"}\n',
    "wrong.toml": b'name = "x"\n',
    "source/config.json": b'{"architectures": ["BertForSequenceClassification"]}',
    "source/model.safetensors": b"",
    "onnx/config.json": b"{}",
    "onnx/model.onnx": b"",
    "bare/config.json": b"{}",
    "served/taken/config.json": b"{}",
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_MODELS_DIR", str(tmp_path / "served"))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["add", "./nowhere", "--name", "m"], 1, "no folder ./nowhere"),
        (["add", "runs/a/b", "--name", "m"], 1, "no folder runs/a/b"),
        (["add", "served", "--name", "m"], 1, "no config.json"),
        (["add", "bare", "--name", "m"], 1, "no weights"),
        (["add", "onnx", "--name", "m"], 1, "served as it is"),
        (["add", "source", "--name", "taken"], 1, "taken is there already"),
        *((["add", "source", "--name", name], 2, "is no name") for name in ("../../evil", "a/b", "", "Trail ", ".x")),
        (["add", "source", "--name", "n" * 300], 2, "255 bytes"),
        (["add", "source", "--name", "m", "--data", "nofile.jsonl"], 1, "nofile.jsonl"),
        (["add", "source", "--name", "m", "--data", "others.csv"], 1, "no label 'wonderful'; it has LABEL_0, LABEL_1"),
        (["add", "source", "--name", "m", "--data", "fields.jsonl"], 1, "fields sentence, label; wanted"),
        (["add", "source", "--name", "m", "--data", "broken.jsonl"], 1, "line 2: not JSON"),
        (["check", "nowhere"], 1, "no folder nowhere"),
        (["check", "served"], 1, "served holds models, name one of them: taken"),
        (["check", "bare"], 1, "bare cannot be served: config.json names no architecture"),
        (["evaluate", "mybert"], 1, "no recipe mybert; there are qa"),
        (["export", "sentiment"], 1, "models finetune sentiment makes it"),
        (["quantize", "sentiment"], 1, "models export sentiment makes it"),
        (["finetune", "wrong.toml"], 1, "wrong.toml: task"),
        ([*FINETUNE, "nofile.csv"], 1, "no file"),
        ([*FINETUNE, "empty.csv"], 1, "empty.csv: the first line"),
        ([*FINETUNE, "names.csv"], 1, "no rows"),
        ([*FINETUNE, "few.csv"], 1, "20 rows and 2 labels"),
        ([*FINETUNE, "each.csv"], 1, "60 labels in 60 rows"),
        ([*FINETUNE, "utf16.csv"], 1, "utf16.csv: not UTF-8"),
        ([*FINETUNE, "latin.csv"], 1, "latin.csv: not UTF-8"),
        ([*FINETUNE, "latin.jsonl"], 1, "latin.jsonl: not UTF-8"),
        ([*FINETUNE, "broken.jsonl"], 1, "broken.jsonl, line 2: not JSON"),
        ([*FINETUNE, "list.jsonl"], 1, "list.jsonl, line 1: not a JSON object"),
        ([*FINETUNE, "good.csv", "--text", "nope"], 1, "no column 'nope'"),
        ([*FINETUNE, "good.csv", "--base", "./nobase"], 1, "no folder ./nobase"),
        ([*FINETUNE, "good.csv", "--serve-as", "taken"], 1, "taken is there already"),
    ],
)
def test_one_line_and_nothing_written(
    arguments: list[str],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(Path.cwd().rglob("*"))
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == status
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert sorted(Path.cwd().rglob("*")) == before


def _raising(error: BaseException) -> Callable[..., None]:
    def fails(folder: Path) -> None:
        raise error

    return fails


def _run_command_that_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of a command line whose command raises the error."""
    app = Typer()
    app.command()(_raising(error))
    monkeypatch.setattr(command_line, "app", app)
    with pytest.raises(SystemExit) as ended:
        main(["folder"])
    return int(str(ended.value.code))


def test_an_interrupted_command_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run_command_that_raises(KeyboardInterrupt(), monkeypatch) == 130
    assert capsys.readouterr().err.strip() == "interrupted; run the same command again to go on"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("We couldn't connect.\nCheck your connection."), "error: We couldn't connect.\n"),
        (FileNotFoundError(2, "No such file or directory", "x.bin"), "error: x.bin: No such file or directory\n"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "error: torch is not installed here; "),
        (ArtifactError("mine: no task\nserves it"), "error: mine: no task serves it\n"),
    ],
)
def test_what_files_networks_and_folders_raise_is_cut_to_a_line(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run_command_that_raises(error, monkeypatch) == 1
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize("error", [KeyError("x"), ModuleNotFoundError("No module named 'models.x'", name="models.x")])
def test_a_fault_of_the_workshop_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error)):
        _run_command_that_raises(error, monkeypatch)
