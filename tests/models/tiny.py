"""Small random-weight models of every kind that the workshop knows, and what runs them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import sentencepiece
import torch
import transformers
from numpy.typing import NDArray
from onnx import helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

Feed = dict[str, NDArray[Any]]

SENTENCES = [
    "A gripping film, from the first scene to the last.",
    "The plot is thin and the jokes are old.",
    "Who wrote the letters that were found in the tower?",
    "Shoals of herring pass the coast in early spring.",
    "Naïve readers won't like it; others may, though: café scenes, 12 of them!",
]
VOCABULARY = 96
ENCODERS = ("bert", "distilbert", "roberta", "bert-qa")
SEQ2SEQ = ("bart", "t5", "t5-gated", "marian")


@dataclass(frozen=True)
class Exported:
    """A model in both forms."""

    kind: str
    source: Path
    """As transformers saved it."""
    fp32: Path
    """As `export_model` wrote it."""


def save_tokenizer(folder: Path) -> None:
    """A word-piece-like tokenizer with the special tokens of BERT at 1 to 4 and padding at 0."""
    words = sorted({word for text in SENTENCES for word in text.lower().replace(".", " .").split()})
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_max_length=48,
    ).save_pretrained(folder)  # fmt: skip


def save_marian_tokenizer(folder: Path) -> None:
    """SentencePiece models of two languages and the vocab.json of both, as OPUS-MT models have them."""
    german = ["Die Handlung ist dünn und die Witze sind alt.", "Wer schrieb die Briefe, die man im Turm fand?"]
    pieces: list[str] = []
    for name, texts in (("source", SENTENCES), ("target", german)):
        prefix = folder / name
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts * 20), model_prefix=str(prefix), vocab_size=45, model_type="unigram",
            character_coverage=1.0, minloglevel=2, bos_id=-1, eos_id=0, unk_id=1, hard_vocab_limit=False,
        )  # fmt: skip
        prefix.with_suffix(".model").rename(folder / f"{name}.spm")
        reader = sentencepiece.SentencePieceProcessor(str(folder / f"{name}.spm"))
        pieces += [reader.id_to_piece(number) for number in range(2, reader.vocab_size())]
    tokens = ["</s>", "<unk>", ">>deu<<", *sorted(set(pieces)), "<pad>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    files = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    transformers.MarianTokenizer(*files, source_lang="en", target_lang="de").save_pretrained(folder)


def _encoder(kind: str) -> transformers.PreTrainedModel:
    width = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    common = {"vocab_size": VOCABULARY, "pad_token_id": 0, "max_position_embeddings": 64, "initializer_range": 0.2}
    if kind == "bert":
        config = transformers.BertConfig(**common, **width, id2label={0: "bad", 1: "good"})
        return transformers.BertForSequenceClassification(config)
    if kind == "distilbert":
        config = transformers.DistilBertConfig(**common, dim=32, n_layers=2, n_heads=4, hidden_dim=64, num_labels=3)
        return transformers.DistilBertForSequenceClassification(config)
    if kind == "roberta":
        config = transformers.RobertaConfig(**common, **width, num_labels=4, type_vocab_size=1)
        return transformers.RobertaForSequenceClassification(config)
    return transformers.BertForQuestionAnswering(transformers.BertConfig(**common, **width))


def _seq2seq(kind: str, vocabulary: int) -> transformers.PreTrainedModel:
    if kind.startswith("t5"):
        config = transformers.T5Config(
            vocab_size=vocabulary, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0,
            pad_token_id=0, eos_token_id=3, n_positions=64,
            feed_forward_proj="gated-gelu" if kind == "t5-gated" else "relu", tie_word_embeddings=kind == "t5",
        )  # fmt: skip
        return transformers.T5ForConditionalGeneration(config)
    shape = {
        f"{side}_{name}": size
        for side in ("encoder", "decoder")
        for name, size in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))
    }
    common = {"vocab_size": vocabulary, "d_model": 32, "max_position_embeddings": 64, "init_std": 0.3, **shape}
    if kind == "bart":
        config = transformers.BartConfig(
            **common, pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=3, forced_eos_token_id=None
        )
        return transformers.BartForConditionalGeneration(config)
    config = transformers.MarianConfig(
        **common, pad_token_id=vocabulary - 1, eos_token_id=0, decoder_start_token_id=vocabulary - 1,
        forced_eos_token_id=None, scale_embedding=True,
    )  # fmt: skip
    model = transformers.MarianMTModel(config)
    torch.nn.init.normal_(model.final_logits_bias)
    return model


def make_model(kind: str, folder: Path) -> None:
    """Save a model with random weights, always the same, and its tokenizer."""
    folder.mkdir(parents=True)
    torch.manual_seed(7)
    vocabulary = VOCABULARY
    if kind == "marian":
        save_marian_tokenizer(folder)
        vocabulary = len(json.loads((folder / "vocab.json").read_text(encoding="utf-8")))
    else:
        save_tokenizer(folder)
    model = _seq2seq(kind, vocabulary) if kind in SEQ2SEQ else _encoder(kind)
    if kind == "t5":  # Its embeddings, tied to the head, else drown all else: it would repeat its start token for ever.
        with torch.no_grad():
            model.shared.weight *= 0.05
    for name, parameter in model.named_parameters():
        if "bias" in name:  # Zero as they come: a bias that is lost or added twice would go unseen.
            torch.nn.init.normal_(parameter, std=0.1)
    model.eval().save_pretrained(folder)


def open_session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_session(session: onnxruntime.InferenceSession, feed: Feed) -> Feed:
    """Outputs by name; feeds only what the graph declares, and a static cache with what a growing one holds."""
    names = [value.name for value in session.get_outputs()]
    wanted = [value.name for value in session.get_inputs()]
    if "positions" in wanted and "positions" not in feed:
        feed = with_room(feed)
    outputs = session.run(names, {name: feed[name] for name in wanted})
    return dict(zip(names, outputs, strict=True))


def with_room(feed: Feed) -> Feed:
    """A decoder's step over growing caches as one over static caches with room for its token and seven more."""
    past = {name: value for name, value in feed.items() if ".decoder." in name}
    places = next(iter(past.values())).shape[2]
    room = ((0, 0), (0, 0), (0, 8), (0, 0))
    return {
        **feed,
        **{name: np.pad(value, room) for name, value in past.items()},
        "positions": np.full(len(feed["input_ids"]), places),
        "source_lengths": feed["encoder_attention_mask"].sum(axis=1),
    }


def pad(rows: list[list[int]], padding: int, length: int = 0) -> Feed:
    """Right-pad to the longest row, or to `length`: input_ids, attention_mask, token_type_ids."""
    length = max(length, *map(len, rows))
    ids = np.array([row + [padding] * (length - len(row)) for row in rows], np.int64)
    mask = np.array([[1] * len(row) + [0] * (length - len(row)) for row in rows], np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


SOURCE_LENGTHS = [1, 3, 4, 7, 11, 15, 19, 22, 27, 31]


def random_step(decoder: Path, count: int, past: int) -> Feed:
    """One step of `count` rows with different sources, in random caches of one seed."""
    numbers = np.random.default_rng(17)
    mask = (np.arange(32) < np.array(SOURCE_LENGTHS[:count])[:, None]).astype(np.int64)
    feed: Feed = {"encoder_attention_mask": mask, "input_ids": numbers.integers(4, 40, (count, 1))}
    for value in open_session(decoder).get_inputs():
        if value.name.startswith("past_key_values"):
            length = past if ".decoder." in value.name else mask.shape[1]
            shape = (count, value.shape[1], length, value.shape[3])
            feed[value.name] = numbers.normal(size=shape).astype(np.float32)
    return feed


def heads_graph(tokens: str) -> onnx.ModelProto:
    """x [batch, tokens, 8] in heads of 4, divided by the root of a head's width, as the exporter writes it.

    `tokens` is where the second number of the shape comes from: "computed", or "-1".
    """
    constants = {"zero": 0, "one": 1, "axes": [0], "tokens": [-1], "two": [2], "four": [4], "last": [-1], "end": [99]}
    nodes = [
        *(
            helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.array(value, np.int64)))
            for name, value in constants.items()
        ),
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["batch_1"]),
        helper.make_node("Gather", ["shape", "one"], ["length"]),
        helper.make_node("Unsqueeze", ["length", "axes"], ["length_1"]),
        helper.make_node(
            "Concat", ["batch_1", "length_1" if tokens == "computed" else "tokens", "two", "four"], ["target"], axis=0
        ),
        helper.make_node("Reshape", ["x", "target"], ["heads"]),
        helper.make_node("Shape", ["heads"], ["heads_shape"]),
        helper.make_node("Slice", ["heads_shape", "last", "end"], ["width"]),
        helper.make_node("Cast", ["width"], ["width_f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sqrt", ["width_f"], ["root"]),
        helper.make_node("Div", ["heads", "root"], ["scaled"]),
        helper.make_node("Identity", ["scaled"], ["y"]),
        helper.make_node("Neg", ["x"], ["unused"]),
    ]
    graph = helper.make_graph(
        nodes,
        "heads",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", "tokens", 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", "tokens", 2, 4])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
