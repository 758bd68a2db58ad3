"""Small real models: ONNX graphs and tokenizers whose answers can be worked out by hand.

All weights are small whole numbers, so that sums are exact in any order and any padding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

Array = np.ndarray[Any, np.dtype[Any]]

PAD, UNK, CLS, SEP = 0, 1, 2, 3
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,?"
WORDS = ["good", "bad", "slow", "void", "paris", "weak", "strong", "rival", "the", "is", "in", "capital", "poison"]
VOCABULARY = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS]
IDS = {token: index for index, token in enumerate(VOCABULARY)}


def word_piece() -> tokenizers.Tokenizer:
    """BERT's way: lower case, accents off, letters and a few words."""
    tokenizer = tokenizers.Tokenizer(models.WordPiece(IDS, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def byte_level() -> tokenizers.Tokenizer:
    """RoBERTa's way: byte-level BPE, where an emoji is several tokens and a word carries the space before it."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the capital is paris and the good one is strong"] * 3, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def scores(words: Mapping[str, Sequence[float] | float], width: int = 0, other: float = 0.0) -> Array:
    """A table by token id: what `words` says, `other` for the rest; [vocabulary] or [vocabulary, width]."""
    table = np.full((len(VOCABULARY), width) if width else len(VOCABULARY), other, dtype=np.float32)
    for word, value in words.items():
        table[IDS[word]] = value
    return table


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[Any]]],
    outputs: Mapping[str, Sequence[Any]],
    constants: Mapping[str, Array],
    *,
    opset: int = 17,
) -> None:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


_IDS: dict[str, tuple[int, Sequence[Any]]] = {
    "input_ids": (TensorProto.INT64, ["rows", "tokens"]),
    "attention_mask": (TensorProto.INT64, ["rows", "tokens"]),
}


def _spin() -> list[onnx.NodeProto]:
    """Work that takes as many turns as the costliest token of the batch says; its result is times 0."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("MatMul", ["x", "square"], ["y"]),
            helper.make_node("Tanh", ["y"], ["x_next"]),
        ],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [256, 256]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_next", TensorProto.FLOAT, [256, 256]),
        ],
    )
    return [
        helper.make_node("Gather", ["cost", "input_ids"], ["costs"]),
        helper.make_node("ReduceMax", ["costs"], ["turns"], keepdims=0),
        helper.make_node("Loop", ["turns", "", "square"], ["spun"], body=body),
        helper.make_node("ReduceSum", ["spun"], ["spun_sum"], keepdims=0),
        helper.make_node("Mul", ["spun_sum", "zero"], ["nothing"]),
    ]


def classifier_graph(path: Path, table: Array, *, slow_turns: int = 0) -> None:
    """Logits [rows, labels]: the mean of `table`'s rows over a text's tokens. A token outside of it raises.

    The word "slow" makes the pass take `slow_turns` multiplications of 256 x 256.
    """
    cost = np.zeros(len(VOCABULARY), dtype=np.int64)
    cost[IDS["slow"]] = slow_turns
    nodes = [
        *_spin(),
        helper.make_node("Gather", ["table", "input_ids"], ["each"]),
        helper.make_node("Unsqueeze", ["attention_mask", "last"], ["mask_column"]),
        helper.make_node("Cast", ["mask_column"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["each", "mask"], ["own"]),
        helper.make_node("ReduceSum", ["own", "tokens_axis"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["mask", "tokens_axis"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Add", ["mean", "nothing"], ["logits"]),
    ]
    constants: dict[str, Array] = {
        "table": table.astype(np.float32),
        "cost": cost,
        "square": np.eye(256, dtype=np.float32),
        "zero": np.array(0, dtype=np.float32),
        "last": np.array([2]),
        "tokens_axis": np.array([1]),
    }
    _save(path, nodes, _IDS, {"logits": ["rows", table.shape[1]]}, constants)


def states_graph(path: Path, table: Array, *, output: str = "last_hidden_state", pooled: bool = False) -> None:
    """`output` [rows, tokens, width]: each token's row in the table; `pooled` gives their sum too, normalized.

    That is "sentence_embedding" [rows, width], which counts padding as a sum of rows of zeros.
    """
    nodes = [helper.make_node("Gather", ["table", "input_ids"], [output])]
    outputs: dict[str, Sequence[Any]] = {output: ["rows", "tokens", table.shape[1]]}
    if pooled:
        nodes += [
            helper.make_node("ReduceSum", [output, "tokens_axis"], ["sum"], keepdims=0),
            helper.make_node("LpNormalization", ["sum"], ["sentence_embedding"], axis=1, p=2),
        ]
        outputs["sentence_embedding"] = ["rows", table.shape[1]]
    constants: dict[str, Array] = {"table": table.astype(np.float32)}
    _save(path, nodes, _IDS, outputs, constants | ({"tokens_axis": np.array([1])} if pooled else {}))


def int8_graph(path: Path) -> None:
    """One product of 8-bit numbers, in the branch of a condition."""
    product = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right"], ["whole"]),
         helper.make_node("Cast", ["whole"], ["product"], to=TensorProto.FLOAT)],
        "branch",
        [],
        [helper.make_tensor_value_info("product", TensorProto.FLOAT, [1, 1])],
        [numpy_helper.from_array(np.ones((1, 1), np.int8), name) for name in ("left", "right")],
    )  # fmt: skip
    node = helper.make_node("If", ["always"], ["logits"], then_branch=product, else_branch=product)
    _save(path, [node], {}, {"logits": [1, 1]}, {"always": np.array(True)})


def reader_graph(path: Path, starts: Array, ends: Array) -> None:
    """start_logits and end_logits [rows, tokens]: each token's entry in the tables."""
    nodes = [
        helper.make_node("Gather", ["starts", "input_ids"], ["start_logits"]),
        helper.make_node("Gather", ["ends", "input_ids"], ["end_logits"]),
    ]
    shape = ["rows", "tokens"]
    _save(
        path,
        nodes,
        {"input_ids": _IDS["input_ids"]},
        {"start_logits": shape, "end_logits": shape},
        {"starts": starts.astype(np.float32), "ends": ends.astype(np.float32)},
    )


def tagger_graph(path: Path, table: Array, *, border: int = 0) -> None:
    """Logits [rows, tokens, labels]: each token's row of `table`. A token outside of it raises.

    Tokens with fewer than `border` tokens between them and an end of the row, special tokens included, get the last
    label.
    """
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["each"]),
        helper.make_node("CumSum", ["attention_mask", "tokens_axis"], ["until"]),
        helper.make_node("ReduceSum", ["attention_mask", "tokens_axes"], ["length"], keepdims=1),
        helper.make_node("Sub", ["until", "one"], ["before"]),
        helper.make_node("Sub", ["length", "until"], ["after"]),
        helper.make_node("Min", ["before", "after"], ["distance"]),
        helper.make_node("Less", ["distance", "border"], ["near"]),
        helper.make_node("Cast", ["near"], ["is_near"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["is_near", "last"], ["near_column"]),
        helper.make_node("Mul", ["near_column", "last_label"], ["more"]),
        helper.make_node("Add", ["each", "more"], ["logits"]),
    ]
    last_label = np.zeros(table.shape[1], dtype=np.float32)
    last_label[-1] = 100
    constants: dict[str, Array] = {
        "table": table.astype(np.float32),
        "tokens_axis": np.array(1),
        "tokens_axes": np.array([1]),
        "one": np.array(1),
        "border": np.array(border),
        "last": np.array([2]),
        "last_label": last_label,
    }
    _save(path, nodes, _IDS, {"logits": ["rows", "tokens", table.shape[1]]}, constants)


def encoder_graph(path: Path, vocabulary: int = len(VOCABULARY)) -> None:
    """The source's tokens as cross-attention caches: values one-hot, which are the hidden states too, keys the ids."""
    nodes = [
        helper.make_node("OneHot", ["input_ids", "depth", "off_on"], ["last_hidden_state"], axis=-1),
        helper.make_node("Unsqueeze", ["last_hidden_state", "one"], ["present.0.encoder.value"]),
        helper.make_node("Cast", ["input_ids"], ["plain"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["plain", "one_three"], ["present.0.encoder.key"]),
    ]
    _save(
        path,
        nodes,
        {"input_ids": _IDS["input_ids"]},
        {
            "present.0.encoder.key": ["rows", 1, "source", 1],
            "present.0.encoder.value": ["rows", 1, "source", vocabulary],
            "last_hidden_state": ["rows", "source", vocabulary],
        },
        {
            "depth": np.array(vocabulary),
            "off_on": np.array([0, 1], dtype=np.float32),
            "one": np.array([1]),
            "one_three": np.array([1, 3]),
        },
    )


def decoder_graph(path: Path, *, copy: float = 100.0, noise: Array | None = None) -> None:
    """Logits = copy * one-hot(source token at the past's length + 1) + noise[(past + token) mod len(noise)].

    A copy of the source, ended by its [SEP]. The noise reads the whole self-attention cache, so that a cache row that
    went to the wrong beam shows.
    """
    noise = np.zeros((1, len(VOCABULARY)), dtype=np.float32) if noise is None else noise.astype(np.float32)
    past, cross = "past_key_values.0.decoder", "past_key_values.0.encoder"
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["token"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["token", "two_three"], ["token_cell"]),
        helper.make_node("Concat", [f"{past}.value", "token_cell"], ["present.0.decoder.value"], axis=2),
        helper.make_node("Concat", [f"{past}.key", "token_cell"], ["present.0.decoder.key"], axis=2),
        # Where the copy stands: the past's length, behind the source's first token.
        helper.make_node("Shape", [f"{past}.key"], ["steps"], start=2, end=3),
        helper.make_node("Add", ["steps", "one"], ["wanted"]),
        helper.make_node("Shape", [f"{cross}.value"], ["source"], start=2, end=3),
        helper.make_node("Sub", ["source", "one"], ["final"]),
        helper.make_node("Min", ["wanted", "final"], ["place"]),
        helper.make_node("Gather", [f"{cross}.value", "place"], ["there"], axis=2),
        helper.make_node("Squeeze", ["there", "one"], ["copied"]),
        helper.make_node("Gather", ["encoder_attention_mask", "place"], ["read"], axis=1),
        helper.make_node("Unsqueeze", ["read", "two"], ["read_column"]),
        helper.make_node("Cast", ["read_column"], ["is_read"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["copied", "is_read"], ["seen"]),
        helper.make_node("LessOrEqual", ["wanted", "final"], ["inside"]),
        helper.make_node("Cast", ["inside"], ["is_inside"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["seen", "is_inside"], ["there_is"]),
        helper.make_node("Mul", ["there_is", "copy"], ["loud"]),
        # What was written so far, by the cache.
        helper.make_node("ReduceSum", ["present.0.decoder.value", "two"], ["sums"], keepdims=0),
        helper.make_node("Squeeze", ["sums", "two"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mod", ["whole", "states"], ["state"]),
        helper.make_node("Gather", ["noise", "state"], ["noises"]),
        helper.make_node("Add", ["loud", "noises"], ["logits"]),
    ]
    cell = (TensorProto.FLOAT, ["rows", 1, "past", 1])
    inputs: dict[str, tuple[int, Sequence[Any]]] = {
        "input_ids": (TensorProto.INT64, ["rows", 1]),
        "encoder_attention_mask": (TensorProto.INT64, ["rows", "source"]),
        f"{past}.key": cell,
        f"{past}.value": cell,
        f"{cross}.key": (TensorProto.FLOAT, ["rows", 1, "source", 1]),
        f"{cross}.value": (TensorProto.FLOAT, ["rows", 1, "source", noise.shape[1]]),
    }
    present: Sequence[Any] = ["rows", 1, "present", 1]
    _save(
        path,
        nodes,
        inputs,
        {
            "logits": ["rows", 1, noise.shape[1]],
            "present.0.decoder.key": present,
            "present.0.decoder.value": present,
        },
        {
            "one": np.array([1]),
            "two": np.array([2]),
            "two_three": np.array([2, 3]),
            "copy": np.array(copy, dtype=np.float32),
            "noise": noise,
            "states": np.array([len(noise)]),
        },
    )


def static_decoder_graph(path: Path, *, copy: float = 100.0, noise: Array | None = None, slow_turns: int = 0) -> None:
    """As `decoder_graph`, over static caches: rows at any places, the beams of a text over one source.

    Each pass takes `slow_turns` multiplications of 256 x 256.
    """
    noise = np.zeros((1, len(VOCABULARY)), dtype=np.float32) if noise is None else noise.astype(np.float32)
    past, cross = "past_key_values.0.decoder", "past_key_values.0.encoder"
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["token"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["token", "two_three"], ["token_cell"]),
        helper.make_node("TensorScatter", [f"{past}.value", "token_cell", "positions"], ["present.0.decoder.value"]),
        helper.make_node("TensorScatter", [f"{past}.key", "token_cell", "positions"], ["present.0.decoder.key"]),
        # Which text a row belongs to: as many rows each, side by side.
        helper.make_node("Shape", ["positions"], ["rows"]),
        helper.make_node("Shape", ["source_lengths"], ["texts"]),
        helper.make_node("Div", ["rows", "texts"], ["beams"]),
        helper.make_node("Squeeze", ["rows"], ["row_count"]),
        helper.make_node("Range", ["nought", "row_count", "single"], ["each_row"]),
        helper.make_node("Div", ["each_row", "beams"], ["text"]),
        # Its token of the source behind the place, if there is one.
        helper.make_node("Gather", ["source_lengths", "text"], ["length"]),
        helper.make_node("Add", ["positions", "one"], ["wanted"]),
        helper.make_node("Less", ["wanted", "length"], ["inside"]),
        helper.make_node("Cast", ["inside"], ["is_inside"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["is_inside", "one"], ["inside_column"]),
        helper.make_node("Sub", ["length", "one"], ["final"]),
        helper.make_node("Min", ["wanted", "final"], ["place"]),
        helper.make_node("Unsqueeze", ["text", "one"], ["text_column"]),
        helper.make_node("Unsqueeze", ["place", "one"], ["place_column"]),
        helper.make_node("Concat", ["text_column", "place_column"], ["where"], axis=1),
        helper.make_node("Squeeze", [f"{cross}.value", "one"], ["source"]),
        helper.make_node("GatherND", ["source", "where"], ["copied"]),
        helper.make_node("Mul", ["copied", "inside_column"], ["there_is"]),
        helper.make_node("Mul", ["there_is", "copy"], ["loud"]),
        # What was written so far, by the columns that count.
        helper.make_node("Squeeze", ["present.0.decoder.value", "one_three"], ["values"]),
        helper.make_node("Shape", ["values"], ["room"], start=1, end=2),
        helper.make_node("Squeeze", ["room"], ["room_count"]),
        helper.make_node("Range", ["nought", "room_count", "single"], ["columns"]),
        helper.make_node("Unsqueeze", ["positions", "one"], ["last_column"]),
        helper.make_node("LessOrEqual", ["columns", "last_column"], ["counts"]),
        helper.make_node("Where", ["counts", "values", "silence"], ["counted"]),
        helper.make_node("ReduceSum", ["counted", "one"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mod", ["whole", "states"], ["state"]),
        helper.make_node("Gather", ["noise", "state"], ["noises"]),
        helper.make_node("Add", ["loud", "noises"], ["both"]),
        *_spin(),
        helper.make_node("Add", ["both", "nothing"], ["all"]),
        helper.make_node("Unsqueeze", ["all", "one"], ["logits"]),
    ]
    cell = (TensorProto.FLOAT, ["rows", 1, "room", 1])
    _save(
        path,
        nodes,
        {
            "input_ids": (TensorProto.INT64, ["rows", 1]),
            "positions": (TensorProto.INT64, ["rows"]),
            "source_lengths": (TensorProto.INT64, ["texts"]),
            f"{past}.key": cell,
            f"{past}.value": cell,
            f"{cross}.key": (TensorProto.FLOAT, ["texts", 1, "source", 1]),
            f"{cross}.value": (TensorProto.FLOAT, ["texts", 1, "source", noise.shape[1]]),
        },
        {
            "logits": ["rows", 1, noise.shape[1]],
            "present.0.decoder.key": cell[1],
            "present.0.decoder.value": cell[1],
        },
        {
            "one": np.array([1]),
            "one_three": np.array([1, 3]),
            "two_three": np.array([2, 3]),
            "nought": np.array(0),
            "single": np.array(1),
            "silence": np.array(0, dtype=np.float32),
            "cost": np.full(noise.shape[1], slow_turns, dtype=np.int64),
            "square": np.eye(256, dtype=np.float32),
            "zero": np.array(0, dtype=np.float32),
            "copy": np.array(copy, dtype=np.float32),
            "noise": noise,
            "states": np.array([len(noise)]),
        },
        opset=24,
    )


def _folder(folder: Path, config: Mapping[str, Any], tokenizer: tokenizers.Tokenizer | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tokenizer or word_piece()).save(str(folder / "tokenizer.json"))
    return folder


def classifier(folder: Path, *, table: Array | None = None, slow_turns: int = 0, **config: Any) -> Path:
    """Two labels: "good" speaks for the second, "bad" for the first; "void" gives no number, "poison" raises."""
    words = {"good": (-8, 8), "bad": (8, -8), "void": (np.nan, np.nan)}
    table = scores(words, 2)[:-1] if table is None else table
    facts = {
        "architectures": ["ToyForSequenceClassification"],
        "id2label": {"0": "negative", "1": "positive"},
        "max_position_embeddings": 128,
        "pad_token_id": PAD,
    }
    classifier_graph(_folder(folder, facts | config, None) / "model.onnx", table, slow_turns=slow_turns)
    return folder


def state_table(width: int = 4) -> Array:
    """A state by token id, of small whole numbers; padding's is zero, "void" has no number."""
    table = (np.arange(len(VOCABULARY))[:, None] * np.arange(1, width + 1) % 7).astype(np.float32)
    table[IDS["void"]] = np.nan
    return table


def embedder(
    folder: Path,
    *,
    modules: Sequence[str] = (),
    pooling: Mapping[str, Any] | None = None,
    prompts: Mapping[str, Any] | None = None,
    width: int = 4,
    output: str = "last_hidden_state",
    pooled: bool = False,
    **config: Any,
) -> Path:
    """States by `state_table`; `modules` are those that sentence-transformers has behind the encoder."""
    facts = {
        "architectures": ["ToyModel"],
        "max_position_embeddings": 32,
        "pad_token_id": PAD,
        "vocab_size": len(VOCABULARY),
    }
    folder = _folder(folder, facts | config, None)
    states_graph(folder / "model.onnx", state_table(width), output=output, pooled=pooled)
    if modules:
        listed = [
            {"path": f"{number}_{name}" if number else "", "type": f"sentence_transformers.models.{name}"}
            for number, name in enumerate(["Transformer", *modules])
        ]
        (folder / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    if prompts is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts), encoding="utf-8")
    return folder


def dense(folder: Path, weight: Array, bias: Array, *, activation: str) -> None:
    """A dense layer as sentence-transformers saves it; `weight` and `bias` are float32."""
    folder.mkdir(exist_ok=True)
    config = {"in_features": weight.shape[1], "out_features": len(weight), "activation_function": activation}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    header: dict[str, dict[str, Any]] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, array in (("linear.bias", bias), ("linear.weight", weight)):
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


def reader(
    folder: Path,
    *,
    starts: Array | None = None,
    ends: Array | None = None,
    tokenizer: tokenizers.Tokenizer | None = None,
    **config: Any,
) -> Path:
    """Answers "paris"; "strong" comes second."""
    words = {"paris": 5.0, "strong": 4.0, "weak": 2.0}
    starts = scores(words, other=-10) if starts is None else starts
    facts = {"architectures": ["ToyForQuestionAnswering"], "max_position_embeddings": 64, "pad_token_id": PAD}
    folder = _folder(folder, facts | config, tokenizer)
    reader_graph(folder / "model.onnx", starts, starts if ends is None else ends)
    return folder


def tagger(
    folder: Path,
    *,
    table: Array | None = None,
    border: int = 0,
    tokenizer: tokenizers.Tokenizer | None = None,
    **config: Any,
) -> Path:
    """Tags "paris" B-LOC, "capital" I-LOC, "strong" B-ORG and others O; "void" gives no number, "poison" raises."""
    words = {"paris": (0, 8, 0, 0), "capital": (0, 0, 4, 0), "strong": (0, 0, 0, 2), "void": [np.nan] * 4}
    facts = {
        "architectures": ["ToyForTokenClassification"],
        "id2label": {"0": "O", "1": "B-LOC", "2": "I-LOC", "3": "B-ORG"},
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
    }
    folder = _folder(folder, facts | config, tokenizer)
    tagger_graph(folder / "model.onnx", scores(words, 4)[:-1] if table is None else table, border=border)
    return folder


def summarizer(
    folder: Path,
    *,
    copy: float = 100.0,
    noise: Array | None = None,
    static: bool = True,
    slow_turns: int = 0,
    **config: Any,
) -> Path:
    """Writes the first words of its source, 12 tokens if nobody says how many; over static or growing caches."""
    facts = {
        "architectures": ["ToyForConditionalGeneration"],
        "max_position_embeddings": 64,
        "pad_token_id": PAD,
        "decoder_start_token_id": CLS,
        "eos_token_id": SEP,
        "shoal": {"generation": {"max_new_tokens": 12}},
    }
    folder = _folder(folder, facts | config, None)
    encoder_graph(folder / "encoder.onnx")
    if static:
        static_decoder_graph(folder / "decoder.onnx", copy=copy, noise=noise, slow_turns=slow_turns)
    else:
        decoder_graph(folder / "decoder.onnx", copy=copy, noise=noise)
    return folder


def optimum_summarizer(folder: Path, *, half: bool = False, **config: Any) -> Path:
    """As `summarizer`, in the form that Optimum writes; `half` has float16 for all that is float32."""
    folder = summarizer(folder, static=False, **config)
    encoder, step = folder / "encoder_model.onnx", folder / "decoder_with_past_model.onnx"
    (folder / "encoder.onnx").rename(encoder)
    (folder / "decoder.onnx").rename(step)
    first_decoder_graph(folder / "decoder_model.onnx")
    for path in (encoder, step, folder / "decoder_model.onnx") if half else ():
        _halve(path)
    return folder


def first_decoder_graph(path: Path) -> None:
    """The caches that `encoder_graph` gives, from its last hidden states."""
    states = (TensorProto.FLOAT, ["rows", "source", len(VOCABULARY)])
    nodes = [
        helper.make_node("Unsqueeze", ["encoder_hidden_states", "one"], ["present.0.encoder.value"]),
        helper.make_node("ArgMax", ["encoder_hidden_states"], ["ids"], axis=-1, keepdims=0),
        helper.make_node("Cast", ["ids"], ["plain"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["plain", "one_three"], ["present.0.encoder.key"]),
    ]
    _save(
        path,
        nodes,
        {
            "input_ids": (TensorProto.INT64, ["rows", 1]),
            "encoder_attention_mask": _IDS["attention_mask"],
            "encoder_hidden_states": states,
        },
        {
            "present.0.encoder.key": ["rows", 1, "source", 1],
            "present.0.encoder.value": ["rows", 1, "source", len(VOCABULARY)],
        },
        {"one": np.array([1]), "one_three": np.array([1, 3])},
    )


def _halve(path: Path) -> None:
    """Let a graph's float32 inputs and outputs be float16: casts around what it was."""
    model = onnx.load(path)
    graph = model.graph
    casts = []
    for kind, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            if value.type.tensor_type.elem_type != TensorProto.FLOAT:
                continue
            inner = f"{value.name}_inside"
            for node in graph.node:
                for own in (node.input, node.output):
                    own[:] = [inner if name == value.name else name for name in own]
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
            ends = [value.name, inner] if kind == "input" else [inner, value.name]
            to = TensorProto.FLOAT if kind == "input" else TensorProto.FLOAT16
            casts.append((kind, helper.make_node("Cast", ends[:1], ends[1:], to=to)))
    nodes = [cast for kind, cast in casts if kind == "input"] + list(graph.node)
    nodes += [cast for kind, cast in casts if kind == "output"]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def domain(folder: Path, word: str) -> None:
    """Let a summarizer's folder tell texts that hold `word` from all others."""
    content = {"texts": f"{word} texts", "threshold": 0, "other": -1, "tokens": [IDS[word]], "weights": [1000]}
    (folder / "domain.json").write_text(json.dumps(content), encoding="utf-8")


def byte_summarizer(folder: Path, **config: Any) -> Path:
    """As `summarizer`, with RoBERTa's way to tokenize: a character may be several tokens."""
    facts = {
        "architectures": ["ToyForConditionalGeneration"],
        "max_position_embeddings": 64,
        "pad_token_id": 1,
        "decoder_start_token_id": 0,
        "eos_token_id": 2,
    }
    tokenizer = byte_level()
    vocabulary = tokenizer.get_vocab_size()
    folder = _folder(folder, facts | config, tokenizer)
    encoder_graph(folder / "encoder.onnx", vocabulary)
    static_decoder_graph(folder / "decoder.onnx", noise=np.zeros((1, vocabulary)))
    return folder


def zoo(folder: Path, *, slow_turns: int = 0) -> Path:
    """One model a task, and a second classifier whose labels may hold together."""
    classifier(folder / "moods", slow_turns=slow_turns)
    classifier(folder / "topics", problem_type="multi_label_classification")
    reader(folder / "reader")
    summarizer(folder / "writer")
    tagger(folder / "tagger")
    embedder(folder / "vectors")
    return folder
