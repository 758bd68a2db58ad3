"""What a user can mend is told in one line, before anything heavy is imported; faults of ours keep their traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from models.__main__ import main
from models.errors import told_in_one_line

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
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(Path.cwd().rglob("*"))
    monkeypatch.setattr(sys, "argv", ["models", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == status
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert sorted(Path.cwd().rglob("*")) == before


def test_an_interrupted_command_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left, told_in_one_line():
        raise KeyboardInterrupt
    assert left.value.code == 130
    assert capsys.readouterr().err.strip() == "interrupted; run the same command again to go on"


def test_what_files_and_networks_raise_is_cut_to_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    for error, line in (
        (OSError("We couldn't connect.\nCheck your connection."), "error: We couldn't connect."),
        (FileNotFoundError(2, "No such file or directory", "x.bin"), "error: x.bin: No such file or directory"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "error: torch is not installed here; "),
    ):
        with pytest.raises(SystemExit), told_in_one_line():
            raise error
        assert capsys.readouterr().err.startswith(line)


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), told_in_one_line():
        raise KeyError("x")
    with pytest.raises(ModuleNotFoundError), told_in_one_line():
        raise ModuleNotFoundError("No module named 'models.x'", name="models.x")
