"""By one command from a trained model to one with fewer heads and columns; a model that answers questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from models.__main__ import app
from models.compression.prune import columns_to_remove
from service.artifact import Artifact
from tests.models.doubles import write_plan
from tests.models.tiny import SENTENCES

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "torch.jit.TracerWarning")
]


@pytest.mark.parametrize(
    ("total", "share", "removed"), [(1536, 0.33, 512), (1536, 0.0, 0), (1000, 0.0, 0), (64, 0.5, 32), (40, 0.5, 20)]
)
def test_columns_are_left_in_whole_blocks(total: int, share: float, removed: int) -> None:
    assert columns_to_remove(total, share) == removed


def _asked(count: int) -> list[dict[str, Any]]:
    rows = []
    for n in range(count):
        before = f"{SENTENCES[n % 4]} It was "
        context = f"{before}{SENTENCES[3]}"
        answers = {"text": [SENTENCES[3]], "answer_start": [len(before)]}
        rows.append({"question": SENTENCES[2], "context": context, "answers": answers})
    return rows


def test_parts_go_and_what_is_left_is_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = write_plan(tmp_path, "bert-qa", "question-answering", _asked(12))
    recipe = Path(told[0])
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("accuracy", "f1"), encoding="utf-8")
    sizes = ["--heads", "0.25", "--columns", "0.5", "--sample", "8", "--epochs", "1"]
    app(["prune", *told, *sizes], standalone_mode=False)

    run = tmp_path / "runs" / "tiny-pruned"
    artifact = Artifact(run / "int8" / "tiny-pruned")
    artifact.verify()
    assert set(artifact.metrics["score"]) >= {"f1"}
    matrices = [
        list(tensor.dims)
        for tensor in onnx.load(artifact.graphs[0]).graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and "embeddings" not in tensor.name
    ]
    layer = [[32, 24]] * 3 + [[24, 32], [32, 32], [32, 32]]
    assert sorted(matrices) == sorted([*layer * 2, [32, 2]])
    assert "tiny-pruned | 2 x 3 x 32 |" in capsys.readouterr().out
    card = (artifact.folder / "README.md").read_text(encoding="utf-8")
    assert "`tiny` without 25% of its heads and 50% of its feed-forward columns" in card
