"""The served int8 weights as a float checkpoint for transformers: what an fp32 server loads.

    PYTHON -m load_tests.compare.weights FOLDER       (needs onnx, torch and transformers)

Every number is int8 × its scale, so all servers give about the same scores.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from load_tests.compare.chosen import UNTRAINED
from load_tests.compare.contender import ARTIFACT
from load_tests.compare.hub_folder import hub_folder

_HEAD_WIDTH = 32
Array = np.ndarray[Any, np.dtype[Any]]


def _floats(graph: Path) -> dict[str, Array]:
    """transformers' names to float arrays. What folding left without a bias has a bias of zeros."""
    import onnx

    model = onnx.load(str(graph)).graph
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.initializer}
    floats = {}
    for name, array in constants.items():
        module, kind, rest = name.partition(".bias")
        if kind:
            floats[module + kind] = array.reshape(-1)
        module, kind, rest = name.partition(".weight")
        if kind and module.startswith("bert.embeddings"):
            floats |= table(module + kind, rest, array, constants)
        elif kind and not rest:
            floats[name] = array
    scale = next(
        (attribute.f for node in model.node for attribute in node.attribute if attribute.name == "scale"), None
    )
    for module, weight in _products(model, constants).items():
        floats[f"{module}.weight"] = weight
        floats.setdefault(f"{module}.bias", np.zeros(len(weight), np.float32))
        if module.endswith(".query") and scale is not None:
            # transformers divides by the root of a head's width itself.
            for part in ("weight", "bias"):
                floats[f"{module}.{part}"] = floats[f"{module}.{part}"] * scale * _HEAD_WIDTH**0.5
    return floats


def table(name: str, rest: str, array: Array, constants: dict[str, Array]) -> dict[str, Array]:
    """An embedding table: floats, or int8 with a scale a row."""
    if array.dtype == np.float32 and not rest.startswith("/scale"):
        return {name: array.reshape(array.shape[-2:])}
    if rest != "/int8":
        return {}
    scale = next(constants[each] for each in constants if each.startswith(f"{name}/scale"))
    return {name: array * scale.reshape(-1, 1)}


def _products(model: Any, constants: dict[str, Array]) -> dict[str, Array]:
    """Weights [outputs, inputs] of the linear layers by module, which is in the name of the product's output."""
    found = {}
    for node in model.node:
        if node.op_type == "MatMulIntegerToFloat":
            module = re.split(r"/(?:MatMul|Gemm)_output", node.output[0])[0].strip("/").replace("/", ".")
            int8 = constants[node.input[1]].astype(np.float32)
            weight = (int8 * constants[node.input[1].removesuffix("int8") + "scale"]).T
            found["classifier" if module.startswith("logits") else module] = weight
    return found


def main() -> None:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = hub_folder(Path(sys.argv[1]))
    model = BertForSequenceClassification(BertConfig.from_pretrained(folder))
    state = {name: torch.tensor(array, dtype=torch.float32) for name, array in _floats(ARTIFACT / "model.onnx").items()}
    lost = model.load_state_dict(state, strict=False)
    if lost.unexpected_keys:
        raise SystemExit(f"Unknown: {lost.unexpected_keys}")
    if lost.missing_keys:
        # A graph of another making. What is missing stays as transformers initialized it: as fast, but no classifier.
        (folder / UNTRAINED).write_text("\n".join(lost.missing_keys), encoding="utf-8")
    model.save_pretrained(folder)


if __name__ == "__main__":
    main()
