"""int8 artifacts are written whole, and only when they score."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.graphs.quantize import QuantizationLoss, quantize_artifact
from tests.models.tiny import Exported, open_session, pad, run_session

Export = Callable[[str], Exported]


def test_a_folder_is_quantized_with_what_belongs_to_it(
    exported: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fp32 = exported("bart").fp32
    (tmp_path / "int8").mkdir()
    (tmp_path / "int8" / "README.md").write_text("kept", encoding="utf-8")
    rows = quantize_artifact(fp32, tmp_path / "int8")
    names = {path.name for path in (tmp_path / "int8").iterdir()}
    assert names == {path.name for path in fp32.iterdir()} | {"README.md"}
    assert [path.name for path in tmp_path.iterdir()] == ["int8"]
    config = json.loads((tmp_path / "int8" / "config.json").read_text(encoding="utf-8"))
    assert config["shoal"]["precision"] == "int8"
    assert config["shoal"]["task"] == "summarization"
    assert config["shoal"]["int8"] == {"activations": "per token", "weights": "per channel", "reduce_range": False}
    assert [row.file for row in rows] == ["encoder.onnx", "decoder.onnx"]
    for row in rows:
        assert 0 < row.largest_error < row.spread
        assert row.int8_bytes < row.fp32_bytes
    printed = capsys.readouterr().out
    assert "encoder.onnx" in printed
    assert "8 bits" in printed


def test_a_loss_above_the_tolerance_leaves_nothing_behind(exported: Export, tmp_path: Path) -> None:
    fp32 = exported("bert").fp32
    scored: list[str] = []

    def score(folder: Path) -> dict[str, float]:
        scored.append(folder.name)
        assert (folder / "model.onnx").is_file()
        return {"accuracy": 91.0 if folder == fp32 else 90.6, "f1": 80.0}

    with pytest.raises(QuantizationLoss, match=r"accuracy: 91\.000 -> 90\.600") as caught:
        quantize_artifact(fp32, tmp_path / "name", score=score, tolerance={"accuracy": 0.3, "f1": 0.0})
    assert list(caught.value.losses) == ["accuracy"]
    assert scored == ["bert", "name"]
    assert list(tmp_path.iterdir()) == []
    quantize_artifact(fp32, tmp_path / "name", score=score, tolerance={"accuracy": 0.5, "f1": 0.0})
    assert (tmp_path / "name" / "model.onnx").is_file()


def test_a_score_that_is_no_number_does_not_pass(exported: Export, tmp_path: Path) -> None:
    with pytest.raises(QuantizationLoss):
        quantize_artifact(
            exported("bert").fp32, tmp_path / "name", score=lambda _: {"f1": float("nan")}, tolerance={"f1": 1.0}
        )


def test_a_tolerance_without_a_score_is_an_error(exported: Export, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        quantize_artifact(exported("bert").fp32, tmp_path / "x", score=lambda _: {"f1": 1.0}, tolerance={"em": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_graphs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.onnx"):
        quantize_artifact(tmp_path, tmp_path / "int8")


def test_seven_bits_for_cpus_without_vnni(exported: Export, tmp_path: Path) -> None:
    quantize_artifact(exported("bert").fp32, tmp_path / "int8", reduce_range=True)
    config = json.loads((tmp_path / "int8" / "config.json").read_text(encoding="utf-8"))
    assert config["shoal"]["int8"]["reduce_range"] is True
    feed = pad([[2, 5, 6, 7, 3], [2, 30, 3]], 0)
    wanted = run_session(open_session(exported("bert").fp32 / "model.onnx"), feed)["logits"]
    found = run_session(open_session(tmp_path / "int8" / "model.onnx"), feed)["logits"]
    assert np.abs(wanted - found).max() < 0.2 * np.std(wanted)
