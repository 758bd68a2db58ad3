"""Exported models compute what transformers computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer

from models.graphs.export import NoFastTokenizer, export_model
from tests.models.tiny import ENCODERS, SENTENCES, SEQ2SEQ, Exported, Feed, make_model, open_session, pad, run_session

Export = Callable[[str], Exported]

ROWS = [[2, 11, 12, 13, 14, 15, 3], [2, 20, 30, 3], [2, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 3]]


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_gives_the_logits_of_transformers(exported: Export, kind: str) -> None:
    model = exported(kind)
    auto = "AutoModelForQuestionAnswering" if kind == "bert-qa" else "AutoModelForSequenceClassification"
    reference = getattr(transformers, auto).from_pretrained(model.source).eval()
    feed = pad(ROWS, 0)
    with torch.no_grad():
        wanted = reference(**{n: torch.from_numpy(feed[n]) for n in ("input_ids", "attention_mask")})
    found = run_session(open_session(model.fp32 / "model.onnx"), feed)
    assert set(found) == ({"start_logits", "end_logits"} if kind == "bert-qa" else {"logits"})
    for name, value in found.items():
        assert np.std(value) > 1e-2
        np.testing.assert_allclose(value, wanted[name].numpy(), atol=1e-5)


def test_config_and_tokenizer_are_in_the_folder(exported: Export) -> None:
    model = exported("bert")
    config = json.loads((model.fp32 / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "bert"
    assert config["id2label"] == {"0": "bad", "1": "good"}
    assert config["shoal"] == {"task": "text-classification", "precision": "fp32", "max_tokens": 48}
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.source)
    fast = Tokenizer.from_file(str(model.fp32 / "tokenizer.json"))
    for text in SENTENCES:
        assert fast.encode(text).ids == tokenizer(text)["input_ids"]
    assert sorted(path.name for path in model.fp32.iterdir()) == ["config.json", "model.onnx", "tokenizer.json"]


def test_what_training_says_to_the_service_goes_with_the_model(tmp_path: Path) -> None:
    make_model("bert-qa", tmp_path / "reader")
    path = tmp_path / "reader" / "config.json"
    facts = {"no_answer_bias": -1.5, "max_tokens": 7}
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "shoal": facts}), encoding="utf-8")
    folder = export_model(str(tmp_path / "reader"), tmp_path / "out", "question-answering", serving={"max_tokens": 32})
    shoal = json.loads((folder / "config.json").read_text(encoding="utf-8"))["shoal"]
    assert (shoal["no_answer_bias"], shoal["max_tokens"]) == (-1.5, 32)


def test_roberta_counts_its_positions_from_the_padding_on(tmp_path: Path) -> None:
    make_model("roberta", tmp_path / "roberta")
    config = json.loads((tmp_path / "roberta" / "tokenizer_config.json").read_text(encoding="utf-8"))
    config["model_max_length"] = 512
    (tmp_path / "roberta" / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    out = export_model(str(tmp_path / "roberta"), tmp_path / "out", "text-classification", serving={"top_k": 2})
    shoal = json.loads((out / "config.json").read_text(encoding="utf-8"))["shoal"]
    assert shoal["max_tokens"] == 63
    assert shoal["top_k"] == 2


def greedy(folder: Path, feed: Feed, start: int, steps: int) -> np.ndarray:
    """Write `steps` tokens a row through encoder.onnx and decoder.onnx. Returns [rows, steps]."""
    encoder, decoder = open_session(folder / "encoder.onnx"), open_session(folder / "decoder.onnx")
    caches = {name.replace("present", "past_key_values"): v for name, v in run_session(encoder, feed).items()}
    rows = len(feed["input_ids"])
    static = any(value.name == "positions" for value in decoder.get_inputs())
    for value in decoder.get_inputs():
        if ".decoder." in value.name:
            caches[value.name] = np.zeros((rows, value.shape[1], steps if static else 0, value.shape[3]), np.float32)
    written = [np.full((rows, 1), start, np.int64)]
    for place in range(steps):
        step = {"input_ids": written[-1], "encoder_attention_mask": feed["attention_mask"], **caches}
        step |= {"positions": np.full(rows, place), "source_lengths": feed["attention_mask"].sum(axis=1)}
        outputs = run_session(decoder, step)
        written.append(outputs.pop("logits").argmax(-1))
        caches.update({name.replace("present", "past_key_values"): value for name, value in outputs.items()})
    return np.concatenate(written[1:], axis=1)


@pytest.mark.parametrize("kind", SEQ2SEQ)
def test_a_seq2seq_writes_the_tokens_of_generate(exported: Export, kind: str) -> None:
    model = exported(kind)
    reference = transformers.AutoModelForSeq2SeqLM.from_pretrained(model.source).eval()
    config = reference.config
    feed = pad([[*row[:-1], config.eos_token_id] for row in ROWS], config.pad_token_id)
    names = ("input_ids", "attention_mask")
    wanted = reference.generate(
        **{name: torch.from_numpy(feed[name]) for name in names},
        do_sample=False, num_beams=1, min_new_tokens=24, max_new_tokens=24, eos_token_id=None,
    )[:, 1:].numpy()  # fmt: skip
    found = greedy(model.fp32, feed, config.decoder_start_token_id, 24)
    assert len(np.unique(wanted)) > 4, "the reference says the same token all the time: the test would prove nothing"
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", SEQ2SEQ)
def test_a_seq2seq_has_two_graphs_with_their_caches(exported: Export, kind: str) -> None:
    folder = exported(kind).fp32
    encoder, decoder = open_session(folder / "encoder.onnx"), open_session(folder / "decoder.onnx")
    pairs = [(layer, part) for layer in range(2) for part in ("key", "value")]
    assert {value.name for value in encoder.get_inputs()} == {"input_ids", "attention_mask"}
    states = {f"present.{i}.encoder.{part}" for i, part in pairs} | {"last_hidden_state"}
    assert {v.name for v in encoder.get_outputs()} == states
    past = {f"past_key_values.{i}.{side}.{part}" for i, part in pairs for side in ("decoder", "encoder")}
    own = {"encoder_attention_mask"} if kind.startswith("t5") else {"positions", "source_lengths"}
    assert {value.name for value in decoder.get_inputs()} == {"input_ids"} | own | past
    present = {f"present.{i}.decoder.{part}" for i, part in pairs}
    assert {value.name for value in decoder.get_outputs()} == {"logits"} | present
    files = {path.name for path in folder.iterdir()}
    assert files == {"config.json", "decoder.onnx", "encoder.onnx", "generation_config.json", "tokenizer.json"}


def test_an_unknown_task_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        export_model("nowhere", tmp_path / "out", "fill-mask")
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_without_a_fast_form_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "slow"
    source.mkdir()
    (source / "vocab.json").write_text(json.dumps({"a</w>": 0, "<unk>": 1}), encoding="utf-8")
    (source / "merges.txt").write_text("#version\n", encoding="utf-8")
    transformers.CTRLTokenizer(source / "vocab.json", source / "merges.txt").save_pretrained(source)
    transformers.CTRLConfig(vocab_size=2).save_pretrained(source)
    with pytest.raises(NoFastTokenizer, match="CTRLTokenizer has no fast form"):
        export_model(str(source), tmp_path / "out", "text-classification")
