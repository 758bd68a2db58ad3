from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service.onnx_file import OnnxFile, read_onnx
from tests.service import toys


def test_operators_of_a_graph_and_of_its_branches(tmp_path: Path) -> None:
    toys.int8_graph(tmp_path / "model.onnx")
    found = read_onnx(tmp_path / "model.onnx")
    assert found == OnnxFile(operators={"If", "MatMulInteger", "Cast"})
    assert found.precision == "int8"


@pytest.mark.parametrize("constant", [True, False])
def test_weights_in_float16(tmp_path: Path, constant: bool) -> None:
    weights = numpy_helper.from_array(np.ones(3, np.float16), "weights")
    nodes = [helper.make_node("Constant", [], ["weights"], value=weights)] if constant else []
    nodes.append(helper.make_node("Identity", ["weights"], ["logits"]))
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT16, [3])
    graph = helper.make_graph(nodes, "half", [], [output], [] if constant else [weights])
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    assert read_onnx(tmp_path / "model.onnx").precision == "fp16"


def test_files_of_weights(tmp_path: Path) -> None:
    path = toys.classifier(tmp_path / "moods") / "model.onnx"
    plain = read_onnx(path)
    assert (plain.precision, plain.data_files) == ("fp32", set())
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights", size_threshold=0)
    assert read_onnx(path).data_files == {"weights"}


@pytest.mark.parametrize("content", [b"", b"model.onnx", b"\xff" * 20, b"\x3a\x05\x0a\x7f\x22\x01\xff"])
def test_what_is_not_onnx_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert read_onnx(tmp_path / "model.onnx") == OnnxFile()
