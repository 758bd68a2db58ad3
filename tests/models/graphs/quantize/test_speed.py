"""Three forms of a model are timed at the shapes that are asked about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from models.__main__ import app
from models.graphs.quantize.speed import measure_speed
from tests.models.tiny import Exported

Export = Callable[[str], Exported]


def test_the_command_prints_a_line_a_shape(exported: Export, capsys: pytest.CaptureFixture[str]) -> None:
    # Of 64 positions: shapes of 128 tokens would not fit.
    folder = exported("bart").fp32
    speeds = measure_speed(folder, repeats=2, longest=48)
    assert [(row.file, row.rows, row.tokens) for row in speeds] == [
        ("encoder.onnx", 1, 16), ("encoder.onnx", 8, 32), ("encoder.onnx", 8, 48),
        *[("decoder.onnx", rows, 48) for rows in (1, 4, 8, 32)],
    ]  # fmt: skip
    assert all(min(row.fp32_tokens_per_s, row.stock_tokens_per_s, row.ours_tokens_per_s) > 0 for row in speeds)
    app(["speed", str(folder), "--repeats", "2", "--longest", "48"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(speeds)
    assert "stock int8" in lines[0]


def test_a_folder_without_graphs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"\.onnx"):
        measure_speed(tmp_path)
