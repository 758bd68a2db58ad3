"""Embeddings are those of sentence-transformers, by its formulas on the states that transformers computes.

Vectors of sentence-transformers 5.7 itself were compared by hand, and differed by 4e-6 at most.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from optimum.exporters.onnx import main_export

from models.custom.add import add_model
from models.graphs.export import export_model
from models.graphs.sentence_files import copy_sentence_files
from service.artifact import Artifact
from service.tasks.parameters import EmbedParameters
from tests.models.heads import KINDS, ask, save_byte_level, save_word_pieces
from tests.models.tiny import SENTENCES

# What Optimum and torch have to say about each other.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "torch.jit.TracerWarning")
]

TEXTS = [
    *SENTENCES,
    "x",
    "日本語 🐟 the tower [SEP] </s>",
    "  spaces   in\tplenty \n",
    "e\u0301te\u0301 שלום \u200b",
    "The plot is thin. " * 30,
]
MAX_TOKENS = 36  # of sentence-transformers, below the tokenizer's 40
PROMPT = "Represent this: "


def make(kind: str, folder: Path, *, mode: str, include_prompt: bool = True, dense: bool = False) -> Path:
    """A model as sentence-transformers saves it, always with the same random weights."""
    torch.manual_seed(7)
    width = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    common = {"initializer_range": 0.3, "max_position_embeddings": 64, **width}
    if kind == "bert":
        save_word_pieces(folder)
        model: Any = transformers.BertModel(transformers.BertConfig(vocab_size=160, **common))
    else:
        save_byte_level(folder)
        model = transformers.RobertaModel(transformers.RobertaConfig(vocab_size=320, type_vocab_size=1, **common))
    model.eval().save_pretrained(folder)
    names = ["Transformer", "Pooling", *(["Dense"] if dense else []), "Normalize"]
    files: dict[str, Any] = {
        "modules.json": [
            {"path": f"{number}_{name}" if number else "", "type": f"sentence_transformers.models.{name}"}
            for number, name in enumerate(names)
        ],
        "sentence_bert_config.json": {"max_seq_length": MAX_TOKENS, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": PROMPT}, "default_prompt_name": None},
        "1_Pooling/config.json": {"pooling_mode": mode, "include_prompt": include_prompt},
    }
    if dense:
        files["2_Dense/config.json"] = {"in_features": 32, "out_features": 16}
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    if dense:
        layer = torch.nn.Linear(32, 16)
        torch.save({f"linear.{name}": value for name, value in layer.state_dict().items()}, folder / "2_Dense" / BIN)
    return folder


BIN = "pytorch_model.bin"


def wanted(source: Path, text: str, mode: str, *, prompt: str = "", include_prompt: bool = True) -> NDArray[Any]:
    """The normalized vector of a text by sentence-transformers' formulas."""
    model = transformers.AutoModel.from_pretrained(source).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    inputs = tokenizer(prompt + text, return_tensors="pt", truncation=True, max_length=MAX_TOKENS)
    with torch.no_grad():
        states = model(**inputs).last_hidden_state[0]
        weights = torch.arange(1, len(states) + 1, dtype=torch.float32)[:, None]
        if prompt and not include_prompt:
            skipped = len(tokenizer(prompt).input_ids) - 1
            states, weights = states[skipped:], weights[skipped:]
        vector = {
            "cls": states[0],
            "max": states.max(dim=0).values,
            "mean": states.mean(dim=0),
            "weightedmean": (states * weights).sum(dim=0) / weights.sum(),
            "lasttoken": states[-1],
        }[mode]
        if (source / "2_Dense").is_dir():
            weight = torch.load(source / "2_Dense" / BIN)
            vector = torch.tanh(weight["linear.weight"] @ vector + weight["linear.bias"])
        return np.asarray(torch.nn.functional.normalize(vector, dim=0))


def vectors(folder: Path, texts: list[str] = TEXTS, **parameters: Any) -> NDArray[Any]:
    return np.array([each["embedding"] for each in ask(folder, "embed", texts, EmbedParameters(**parameters))])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("mean", {}),
        ("cls", {}),
        ("max", {}),
        ("lasttoken", {}),
        ("mean", {"dense": True}),
        ("mean", {"include_prompt": False}),
        ("weightedmean", {"include_prompt": False}),
    ],
)
def test_vectors_are_those_of_sentence_transformers(
    tmp_path: Path, kind: str, mode: str, options: dict[str, bool]
) -> None:
    source = make(kind, tmp_path / "source", mode=mode, **options)
    folder = export_model(str(source), tmp_path / "served" / "ours", "feature-extraction")
    assert Artifact(folder).max_tokens == MAX_TOKENS
    included = options.get("include_prompt", True)
    for prompt, name in (("", None), (PROMPT, "query")):
        found = vectors(folder, prompt_name=name)
        expected = [wanted(source, text, mode, prompt=prompt, include_prompt=included) for text in TEXTS]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert len({tuple(vector.round(2)) for vector in found}) == len(TEXTS), "vectors that are alike show little"


def test_a_folder_that_optimum_wrote_is_served_with_the_files_beside_it(tmp_path: Path) -> None:
    source = make("bert", tmp_path / "source", mode="cls")
    folder = tmp_path / "served" / "optimum"
    main_export(
        str(source), folder, task="feature-extraction", framework="pt", library_name="transformers", do_validation=False
    )
    copy_sentence_files(str(source), folder)
    np.testing.assert_allclose(vectors(folder), [wanted(source, text, "cls") for text in TEXTS], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_int8_vectors_are_the_same_bits_in_any_batch_and_close_to_fp32(tmp_path: Path, kind: str) -> None:
    source = make(kind, tmp_path / "source", mode="mean", dense=True)
    folder = add_model(str(source), tmp_path / "served" / "mine", data=None, tolerance=0.0)
    artifact = Artifact(folder)
    artifact.verify()
    assert artifact.precision == "int8"
    assert "2_Dense/model.safetensors" in (folder / "SHA256SUMS").read_text(encoding="utf-8")
    together = vectors(folder)
    assert all((vectors(folder, [text]) == row).all() for text, row in zip(TEXTS, together, strict=True))
    fp32 = np.array([wanted(source, text, "mean") for text in TEXTS])
    assert (together * fp32).sum(axis=1).mean() > 0.99
