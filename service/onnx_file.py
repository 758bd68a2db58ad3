"""What an ONNX file says of itself without being loaded: its operators, its numbers, and the files of its weights."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from pathlib import Path

from service.protobuf import fields

# onnx.proto: ModelProto {7: graph}, GraphProto {1: node, 5: initializer}, NodeProto {4: op_type, 5: attribute},
# AttributeProto {5: t, 6: g}, TensorProto {2: data_type, 13: external_data}, StringStringEntryProto {1: key, 2: value}.
_GRAPH = 7
_NODE, _INITIALIZER = 1, 5
_OPERATOR, _ATTRIBUTE = 4, 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH = 5, 6
_DATA_TYPE, _EXTERNAL_DATA = 2, 13
_FLOAT16 = 10
_INT8_OPERATORS = frozenset(
    {"MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm", "DequantizeLinear"}
)


@dataclass
class OnnxFile:
    """Facts about one file, weights of sub-graphs included."""

    operators: set[str] = field(default_factory=set)
    float16: bool = False
    """Whether there are weights in float16."""
    data_files: set[str] = field(default_factory=set)
    """Names of the files beside it that hold its weights."""

    @property
    def precision(self) -> str:
        """Of its matrix products: "int8", "fp16" or "fp32"."""
        if self.operators & _INT8_OPERATORS:
            return "int8"
        return "fp16" if self.float16 else "fp32"


def read_onnx(path: Path) -> OnnxFile:
    """The facts; none for a file that is not ONNX."""
    found = OnnxFile()
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        for number, graph in fields(data):
            if number == _GRAPH:
                _read_graph(graph, found)
    except (LookupError, TypeError, ValueError):
        return OnnxFile()
    return found


def _read_graph(graph: memoryview, found: OnnxFile) -> None:
    for number, value in fields(graph):
        if number == _INITIALIZER:
            _read_tensor(value, found)
        elif number == _NODE:
            for part, content in fields(value):
                if part == _OPERATOR:
                    found.operators.add(str(content, "utf-8"))
                elif part == _ATTRIBUTE:
                    _read_attribute(content, found)


def _read_attribute(attribute: memoryview, found: OnnxFile) -> None:
    for number, value in fields(attribute):
        if number == _ATTRIBUTE_TENSOR:
            _read_tensor(value, found)
        elif number == _ATTRIBUTE_GRAPH:
            _read_graph(value, found)


def _read_tensor(tensor: memoryview, found: OnnxFile) -> None:
    for number, value in fields(tensor):
        if number == _DATA_TYPE:
            found.float16 |= value == _FLOAT16
        elif number == _EXTERNAL_DATA:
            key, name = (str(part, "utf-8") for _, part in fields(value))
            if key == "location":
                found.data_files.add(name)
