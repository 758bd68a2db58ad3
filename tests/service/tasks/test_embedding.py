from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.artifact import Artifact
from service.errors import ArtifactError, InferenceError, InputTooLong, InvalidInput
from service.tasks import task_of
from service.tasks.base import TaskResult
from service.tasks.embedding import Embedding, EmbeddingResult
from service.tasks.parameters import EmbedParameters, TokenIds
from tests.service import doubles
from tests.service.tasks.rounds import answered

TABLE = doubles.state_table()
MEAN = {"pooling_mode_mean_tokens": True}
WINDOW = 30  # tokens of a text in a row of the toy's 32
NORMALIZING = ("Pooling", "Normalize")


def made(folder: Path, **options: Any) -> Embedding:
    return Embedding(Artifact(doubles.embedder(folder, **options)), batch_tokens=256, intra_op_threads=1)


def answer(task: Embedding, item: str | TokenIds, **parameters: Any) -> TaskResult[EmbeddingResult]:
    return answered(task, item, EmbedParameters(**parameters))


def embed(task: Embedding, item: str | TokenIds, **parameters: Any) -> list[float]:
    vector = answer(task, item, **parameters).result.embedding
    assert isinstance(vector, list)
    return vector


def states(*words: str) -> doubles.Array:
    """The states of a row with these words."""
    return TABLE[[doubles.CLS, *(doubles.IDS[word] for word in words), doubles.SEP]]


def unit(vector: Any) -> Any:
    return np.asarray(vector) / np.linalg.norm(vector)


# --- What the folder says --------------------------------------------------------------------------------------------


def test_states_are_averaged_where_the_folder_says_nothing(tmp_path: Path) -> None:
    found = answer(made(tmp_path), "paris is good")
    assert found.result == EmbeddingResult(
        states("paris", "is", "good").mean(axis=0).tolist(), windows=1, truncated=False, truncated_at=None
    )
    assert (found.input_tokens, found.output_tokens) == (5, 0)


WORDS = states("paris", "is", "good")
WEIGHTS = np.arange(1, 6)[:, None]
POOLED = {
    "cls": WORDS[0],
    "max": WORDS.max(axis=0),
    "mean": WORDS.mean(axis=0),
    "mean_sqrt_len_tokens": WORDS.sum(axis=0) / np.sqrt(5),
    "weightedmean": (WORDS * WEIGHTS).sum(axis=0) / 15,
    "lasttoken": WORDS[-1],
}


@pytest.mark.parametrize("mode", POOLED)
def test_pooling_by_name(tmp_path: Path, mode: str) -> None:
    task = made(tmp_path, modules=["Pooling"], pooling={"embedding_dimension": 4, "pooling_mode": mode})
    assert embed(task, "paris is good") == pytest.approx(POOLED[mode])


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ["cls"]),
        ({"pooling_mode_lasttoken": True}, ["lasttoken"]),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ["cls", "mean"]),
        ({"pooling_mode": ["mean", "max"]}, ["mean", "max"]),
        ({}, ["mean"]),
    ],
)
def test_pooling_by_older_keys_and_of_several_kinds(tmp_path: Path, config: dict[str, Any], modes: list[str]) -> None:
    task = made(tmp_path, modules=["Pooling"], pooling=config)
    assert task.dimensions == 4 * len(modes)
    assert embed(task, "paris is good") == pytest.approx(np.concatenate([POOLED[mode] for mode in modes]))


def test_normalization_is_the_models_unless_the_request_says(tmp_path: Path) -> None:
    plain, normal = made(tmp_path / "plain"), made(tmp_path / "normal", modules=NORMALIZING, pooling=MEAN)
    mean = states("paris").mean(axis=0)
    assert embed(plain, "paris") == embed(normal, "paris", normalize=False) == pytest.approx(mean)
    assert embed(normal, "paris") == embed(plain, "paris", normalize=True) == pytest.approx(unit(mean))


def test_dense_layers(tmp_path: Path) -> None:
    folder = doubles.embedder(tmp_path, modules=["Pooling", "Dense", "Dropout", "Normalize"], pooling=MEAN)
    weight = np.array([[1, 0, -2, 0], [0, 3, 0, 1]], "<f4")
    doubles.dense(folder / "2_Dense", weight, np.array([0.5, -1], "<f4"), activation="torch.nn.modules.linear.Identity")
    task = Embedding(Artifact(folder), batch_tokens=256, intra_op_threads=1)
    assert task.dimensions == 2
    wanted = weight @ states("paris").mean(axis=0) + [0.5, -1]
    assert embed(task, "paris") == pytest.approx(unit(wanted), abs=1e-6)
    config = json.loads((folder / "2_Dense" / "config.json").read_text(encoding="utf-8"))
    del config["activation_function"]
    (folder / "2_Dense" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    task = Embedding(Artifact(folder), batch_tokens=256, intra_op_threads=1)
    assert embed(task, "paris", normalize=False) == pytest.approx(np.tanh(wanted), abs=1e-6)
    doubles.dense(folder / "2_Dense", weight, np.array([0.5, -1], "<f4"), activation="torch.nn.SELU")
    with pytest.raises(ArtifactError, match=r"served are dense layers on vectors of texts, with Identity, Tanh, ReLU"):
        Embedding(Artifact(folder), batch_tokens=256, intra_op_threads=1)
    doubles.dense(folder / "2_Dense", weight, np.array([0.5, -1], "<f4"), activation="torch.nn.Tanh")
    (folder / "2_Dense" / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ArtifactError, match=r"model.safetensors: it cannot be read"):
        Embedding(Artifact(folder), batch_tokens=256, intra_op_threads=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modules": ["Pooling", "LSTM"], "pooling": MEAN}, "has LSTM; served are Pooling, Dense, Normalize"),
        ({"modules": ["Pooling", "Normalize", "Dense"], "pooling": MEAN}, "has Dense behind Normalize"),
        ({"modules": ["Pooling"], "pooling": {"pooling_mode": "median"}}, "no pooling is called median; there are cls"),
        ({"prompts": {"default_prompt_name": "search"}}, "no prompt named 'search'"),
        ({"modules": ["Pooling", "Dense"], "pooling": MEAN}, "model.safetensors: there is none"),
        ({"output": "logits"}, "it has the outputs logits, but not last_hidden_state"),
    ],
)
def test_folders_that_cannot_be_served(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        made(tmp_path, **options)


def test_a_folder_of_sentence_transformers_embeds_whatever_its_head_is_called(tmp_path: Path) -> None:
    masked = Artifact(doubles.embedder(tmp_path, modules=["Pooling"], pooling=MEAN, architectures=["ToyForMaskedLM"]))
    assert task_of(masked) is Embedding


def test_a_folder_may_ask_for_lower_case(tmp_path: Path) -> None:
    folder = doubles.embedder(tmp_path)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    vectors = []
    for lower_case in ("false", "true"):
        (folder / "sentence_bert_config.json").write_text(f'{{"do_lower_case": {lower_case}}}', encoding="utf-8")
        task = Embedding(Artifact(folder), batch_tokens=256, intra_op_threads=1)
        vectors.append([embed(task, text) for text in ("paris", "PARIS")])
    (small, large), (lowered, same) = vectors
    assert small == lowered == same != large


def test_the_limit_of_sentence_transformers_counts_instead_of_the_tokenizers(tmp_path: Path) -> None:
    folder = doubles.embedder(tmp_path)
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 16}', encoding="utf-8")
    assert Artifact(folder).max_tokens == 16
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20, "do_lower_case": true}', encoding="utf-8")
    assert Artifact(folder).max_tokens == 20


# --- Graphs ----------------------------------------------------------------------------------------------------------


def test_states_under_their_other_name(tmp_path: Path) -> None:
    task = made(tmp_path, output="token_embeddings")
    assert embed(task, "paris") == pytest.approx(states("paris").mean(axis=0))


def test_a_graph_that_pools_is_left_to_it(tmp_path: Path) -> None:
    task = made(tmp_path, output="token_embeddings", pooled=True, modules=["Pooling", "Dense"], pooling=MEAN | {})
    assert embed(task, "paris") == pytest.approx(unit(states("paris").sum(axis=0)))
    assert task.dimensions == 4


# --- Prompts ---------------------------------------------------------------------------------------------------------

PROMPTS = {"prompts": {"query": "good ", "search": "bad ", "document": None}, "default_prompt_name": "search"}


def test_prompts_by_name_of_ones_own_and_by_default(tmp_path: Path) -> None:
    task = made(tmp_path, prompts=PROMPTS)
    assert embed(task, "paris", prompt_name="query") == pytest.approx(states("good", "paris").mean(axis=0))
    assert embed(task, "paris") == pytest.approx(states("bad", "paris").mean(axis=0))
    assert embed(task, "paris", prompt="weak ") == pytest.approx(states("weak", "paris").mean(axis=0))
    alone = pytest.approx(states("paris").mean(axis=0))
    assert embed(task, "paris", prompt="") == alone
    assert embed(task, "paris", prompt_name="document") == alone
    assert embed(made(tmp_path / "other"), "paris", prompt_name="query") == alone


def test_a_prompt_that_the_model_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no prompt named 'passage'; it has: query, document, search\."):
        embed(made(tmp_path, prompts=PROMPTS), "paris", prompt_name="passage")


def test_pooling_may_leave_the_prompt_out(tmp_path: Path) -> None:
    for number, mode in enumerate(["mean", "weightedmean", "cls"]):
        pooling = {"pooling_mode": mode, "include_prompt": False}
        task = made(tmp_path / mode, modules=["Pooling"], pooling=pooling, pooled=True)
        counted = states("the", "good", "paris")[3:]
        weights = np.array([4, 5])[:, None]
        wanted = [counted.mean(axis=0), (counted * weights).sum(axis=0) / 9, counted[0]][number]
        assert embed(task, "paris", prompt="the good ") == pytest.approx(wanted)
        assert embed(task, "paris") == pytest.approx(POOLED["cls"] if mode == "cls" else embed(task, "paris"))
        with pytest.raises(InvalidInput, match="leaves no room"):
            embed(task, "paris", prompt="the good " * 16)


# --- Parameters ------------------------------------------------------------------------------------------------------


def test_a_cut_vector_is_normalized_again_where_the_whole_one_is(tmp_path: Path) -> None:
    plain, normal = made(tmp_path / "plain"), made(tmp_path / "normal", modules=NORMALIZING, pooling=MEAN)
    by_graph = made(tmp_path / "graph", pooled=True)
    mean = states("paris").mean(axis=0)
    assert embed(plain, "paris", dimensions=2) == pytest.approx(mean[:2])
    assert embed(plain, "paris", dimensions=2, normalize=True) == pytest.approx(unit(mean[:2]))
    assert embed(normal, "paris", dimensions=2) == pytest.approx(unit(mean[:2]))
    assert embed(normal, "paris", dimensions=2, normalize=False) == pytest.approx(mean[:2])
    assert embed(by_graph, "paris", dimensions=2) == pytest.approx(unit(mean[:2]))
    assert embed(plain, "paris", dimensions=4) == embed(plain, "paris")
    with pytest.raises(InvalidInput, match=r"dimensions is 5; this model's vectors have 4\."):
        embed(plain, "paris", dimensions=5)


def test_base64_holds_the_same_numbers(tmp_path: Path) -> None:
    task = made(tmp_path, modules=NORMALIZING, pooling=MEAN)
    coded = answer(task, "paris is good", encoding_format="base64").result.embedding
    assert isinstance(coded, str)
    assert np.frombuffer(base64.b64decode(coded), "<f4").tolist() == embed(task, "paris is good")


def test_token_ids_are_read_as_the_text_that_they_are_of(tmp_path: Path) -> None:
    task = made(tmp_path, prompts=PROMPTS)
    ids = TokenIds((doubles.IDS["paris"], doubles.IDS["is"]))
    for parameters in ({"prompt_name": "query"}, {"prompt": ""}, {}):
        assert answer(task, ids, **parameters) == answer(task, "paris is", **parameters)
    unknown = len(doubles.VOCABULARY)
    with pytest.raises(
        InvalidInput, match=rf"token id {unknown} is not of this model, whose vocabulary is {unknown}\."
    ):
        embed(task, TokenIds((5, unknown)))


def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    for number, modules in enumerate(((), NORMALIZING)):
        task = made(tmp_path / str(number), modules=modules, pooling=MEAN)
        with pytest.raises(InferenceError, match="finite"):
            embed(task, "void")


# --- Long texts ------------------------------------------------------------------------------------------------------

LONG = "paris " * 40 + "good " * 30


def test_a_long_text_is_cut_and_says_where(tmp_path: Path) -> None:
    task = made(tmp_path)
    cut = answer(task, LONG)
    assert cut.truncated
    assert cut.result.truncated
    assert LONG[: cut.result.truncated_at].split() == ["paris"] * WINDOW
    assert cut.result.embedding == embed(task, "paris " * WINDOW)
    prompted = answer(task, LONG, prompt="good bad ").result
    assert LONG[: prompted.truncated_at].split() == ["paris"] * (WINDOW - 2)
    assert answer(task, LONG, prompt="good " * 40).result.truncated_at == 0
    ids = TokenIds(tuple([doubles.IDS["paris"]] * 40))
    assert answer(task, ids, prompt="good ").result.truncated_at == WINDOW - 1


def test_windows_hold_the_whole_text_and_are_averaged_by_their_tokens(tmp_path: Path) -> None:
    task, normal = made(tmp_path / "plain"), made(tmp_path / "normal", modules=NORMALIZING, pooling=MEAN)
    # 70 tokens: windows of 24, 24 and 22.
    windows = ["paris " * 24, "paris " * 16 + "good " * 8, "good " * 22]
    for model in (task, normal):
        parts = np.array([embed(model, window) for window in windows])
        mean = np.average(parts, axis=0, weights=[24, 24, 22])
        found = answer(model, LONG, long_text="window")
        assert (found.result.windows, found.result.truncated, found.input_tokens) == (3, False, 76)
        assert found.result.embedding == pytest.approx(unit(mean) if model is normal else mean, rel=1e-5)
        short = answer(model, LONG, long_text="window", dimensions=2).result.embedding
        assert short == pytest.approx(unit(mean[:2]) if model is normal else mean[:2], rel=1e-5)
    assert answer(task, "paris", long_text="window") == answer(task, "paris")


def test_every_window_begins_with_the_prompt(tmp_path: Path) -> None:
    task = made(tmp_path)
    parts = [embed(task, text, prompt="bad ") for text in ("paris " * 20, "paris " * 20)]
    found = answer(task, "paris " * 40, prompt="bad ", long_text="window").result
    assert found.windows == 2
    assert found.embedding == pytest.approx(np.mean(parts, axis=0))
    ids = TokenIds(tuple([doubles.IDS["paris"]] * 40))
    assert answer(task, ids, prompt="bad ", long_text="window").result == found


def test_a_long_text_may_be_refused(tmp_path: Path) -> None:
    task = made(tmp_path)
    with pytest.raises(InputTooLong, match=r"A text of 72 tokens; this model reads 32\."):
        embed(task, LONG, long_text="error")
    assert embed(task, "paris", long_text="error") == embed(task, "paris")
