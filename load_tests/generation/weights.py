"""The served int8 summarizer as a float checkpoint for transformers, checked against the artifact's own logits.

Every number is int8 × its scale. Needs onnx, torch and transformers.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from load_tests.compare.weights import Array, table
from load_tests.generation.inputs import ARTIFACT
from load_tests.generation.logits import artifact_logits

_SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
_SIDES = {"encoder": "model.encoder.", "decoder": "model.decoder."}
_HEAD_WIDTH = 32
_CHECKED_STEPS = 8
# int8 activations move logits by a few hundredths of their spread; a weight in the wrong place moves them by all of it.
_FAR, _AGREEING = 0.25, 0.8


def _module(output: str, side: str) -> str:
    """transformers' name of the module whose product this tensor is."""
    name = output.removeprefix("cross/").partition("/MatMul_output")[0].strip("/").replace("/", ".")
    return name if name.startswith(("model.", "lm_head")) else _SIDES[side] + name


def _own(name: str, side: str) -> str:
    return name if name.startswith("model.") else _SIDES[side] + name


def _products(graph: Any, constants: dict[str, Array], side: str) -> dict[str, Array]:
    """Weights [outputs, inputs] of the linear layers, and biases of zeros for those that folding left without one."""
    found: dict[str, Array] = {}
    for node in graph.node:
        if node.op_type == "MatMulIntegerToFloat" and node.input[1] in constants:
            weight = (constants[node.input[1]].astype(np.float32) * constants[node.input[3]]).T.copy()
            module = _module(node.output[0], side)
            found |= {f"{module}.weight": weight, f"{module}.bias": np.zeros(len(weight), np.float32)}
    return found


def _floats(path: Path, side: str) -> dict[str, Array]:
    """transformers' names to float arrays."""
    import onnx

    graph = onnx.load(str(path)).graph
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    floats = _products(graph, constants, side)
    for name, array in constants.items():
        if not (found := re.match(r"(?:cross/)?(.+\.(weight|bias))(/from_2)?(.*)", name)):
            continue
        own, kind, cut, rest = found.groups()
        if kind == "bias":
            floats[_own(own, side)] = array.reshape(-1)
        elif rest in ("", "/int8"):
            (value,) = table(name.removesuffix(rest), rest, array, constants).values()
            # BART's positions begin at 2; what stands before is never read.
            floats[_own(own, side)] = np.pad(value, ((2, 0), (0, 0))) if cut else value
    _unscale(graph, floats)
    for node in graph.node:
        if node.op_type == "Add" and any(each.startswith("/lm_head/") for each in node.input):
            (name,) = (each for each in node.input if each in constants)
            floats["final_logits_bias"] = constants[name].reshape(1, -1)
    return floats


def _unscale(graph: Any, floats: dict[str, Array]) -> None:
    """transformers divides queries by the root of a head's width itself; where the weights have it, take it back."""
    attributes = [each for node in graph.node if node.op_type == "Attention" for each in node.attribute]
    scales = {each.f for each in attributes if each.name == "scale"}
    for scale in scales:
        floats |= {name: value * scale * _HEAD_WIDTH**0.5 for name, value in floats.items() if ".q_proj." in name}


def restored() -> Any:
    """The model, in evaluation mode. Raises RuntimeError if the graphs hold what is not known, or lack something."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    state = _floats(ARTIFACT / "encoder.onnx", "encoder") | _floats(ARTIFACT / "decoder.onnx", "decoder")
    state.pop("lm_head.bias", None)
    shared = state["model.shared.weight"]
    for name in ("lm_head", "model.encoder.embed_tokens", "model.decoder.embed_tokens"):
        state[f"{name}.weight"] = shared
    model = BartForConditionalGeneration(BartConfig.from_pretrained(ARTIFACT))
    tensors = {name: torch.tensor(array, dtype=torch.float32) for name, array in state.items()}
    lost = model.load_state_dict(tensors, strict=False)
    if lost.missing_keys or lost.unexpected_keys:
        raise RuntimeError(f"Missing: {lost.missing_keys}; unknown: {lost.unexpected_keys}")
    return model.eval()


def check(model: Any, texts: Sequence[str]) -> str:
    """How far its logits lie from the artifact's, in words; raises RuntimeError if that is no rounding."""
    import torch

    differences, agreeing = [], []
    for ids, written, wanted in artifact_logits(texts, steps=_CHECKED_STEPS):
        with torch.inference_mode():
            found = model(torch.tensor([ids]), decoder_input_ids=torch.tensor([written])).logits[0].numpy()
        differences.append(np.sqrt(((found - wanted) ** 2).mean(axis=1)) / wanted.std(axis=1))
        agreeing.append(found.argmax(axis=1) == wanted.argmax(axis=1))
    difference, agreement = float(np.mean(differences)), float(np.mean(agreeing))
    words = f"logits differ from the artifact's by {difference:.3f} of their spread; {agreement:.0%} of steps agree"
    if difference > _FAR or agreement < _AGREEING:
        raise RuntimeError(f"Restored wrongly: {words}")
    return words


def save(model: Any, folder: Path) -> None:
    """As transformers, Optimum and CTranslate2 load it, tokenizer included."""
    model.save_pretrained(folder)
    shutil.copy(ARTIFACT / "tokenizer.json", folder)
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": json.loads((ARTIFACT / "config.json").read_text(encoding="utf-8"))["shoal"]["max_tokens"],
        "model_input_names": ["input_ids", "attention_mask"],
        **_SPECIAL,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
