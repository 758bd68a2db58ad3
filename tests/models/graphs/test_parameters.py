"""As many as transformers counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import transformers

from models.graphs.parameters import count_parameters
from models.graphs.quantize.sharing import share_weights
from service.artifact import Artifact
from tests.models.tiny import Exported

Export = Callable[[str], Exported]


@pytest.mark.parametrize("kind", ["bert", "bert-qa"])
def test_parameters_are_those_of_the_model(exported: Export, kind: str) -> None:
    """But for what the graph leaves out: a few biases, and positions of which nobody asks."""
    model = transformers.AutoModel.from_pretrained(exported(kind).source)
    counted = count_parameters(Artifact(exported(kind).fp32))
    assert counted == pytest.approx(model.num_parameters(), rel=0.1)


def test_weights_that_graphs_share_count_once(tmp_path: Path) -> None:
    table = onnx.numpy_helper.from_array(np.ones((200, 100), np.float32), "table")
    for name in ("encoder", "decoder"):
        scale = onnx.numpy_helper.from_array(np.ones(200, np.float32), "table/scale")
        bias = onnx.numpy_helper.from_array(np.ones(7, np.float32), "bias")
        graph = onnx.helper.make_graph([], name, [], [], initializer=[table, scale, bias])
        onnx.save(onnx.helper.make_model(graph), tmp_path / f"{name}.onnx")
    (tmp_path / "config.json").write_text('{"architectures": ["BartForConditionalGeneration"]}', encoding="utf-8")
    share_weights([tmp_path / "encoder.onnx", tmp_path / "decoder.onnx"])
    assert (tmp_path / "shared.bin").is_file()
    assert count_parameters(Artifact(tmp_path)) == 200 * 100 + 2 * 7
