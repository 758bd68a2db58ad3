"""A dense layer that sentence-transformers puts behind pooling, and the file that holds its weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from service.artifact import read_json
from service.errors import ArtifactError
from service.runtime.session import Array

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda vector: vector,
    "Tanh": np.tanh,
    "ReLU": lambda vector: np.maximum(vector, 0),
}


@dataclass(frozen=True, slots=True)
class Dense:
    """A linear layer and its activation, on a vector."""

    weight: Array
    """[out, in]"""
    bias: Array
    activation: Callable[[Array], Array]

    def __call__(self, vector: Array) -> Array:
        # Not a product by BLAS, whose order of addition depends on the number of its threads.
        return self.activation(np.einsum("oi,i->o", self.weight, vector) + self.bias)


def load_dense(folder: Path) -> Dense:
    """The layer in a module's folder; raises ArtifactError for one that is not served or cannot be read."""
    config = read_json(folder / "config.json")
    activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS or config.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise ArtifactError(
            f"{folder / 'config.json'}: served are dense layers on vectors of texts, with {', '.join(_ACTIVATIONS)}"
        )
    tensors = _safetensors(folder / "model.safetensors")
    try:
        weight = tensors["linear.weight"]
        bias = tensors.get("linear.bias", np.zeros(len(weight), np.float32))
    except KeyError as error:
        raise ArtifactError(f"{folder / 'model.safetensors'}: it has no {error}") from error
    return Dense(weight, bias, _ACTIVATIONS[activation])


def _safetensors(path: Path) -> dict[str, Array]:
    """The float32 arrays in a file: the header's length, the header in JSON, the arrays' bytes."""
    if not path.is_file():
        raise ArtifactError(f"{path}: there is none; sentence-transformers writes it with save_pretrained()")
    try:
        data = path.read_bytes()
        size = 8 + int.from_bytes(data[:8], "little")
        header: dict[str, dict[str, Any]] = json.loads(data[8:size])
        header.pop("__metadata__", None)
        found = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            if entry["dtype"] != "F32":
                raise ArtifactError(f"{path}: {name} is {entry['dtype']}; only F32 is served")
            found[name] = np.frombuffer(data[size + begin : size + end], "<f4").reshape(entry["shape"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: it cannot be read ({error})") from error
    return found
