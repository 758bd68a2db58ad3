from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers

from service.errors import ArtifactError
from service.text.vocabulary import Vocabulary
from tests.service import doubles


def test_tokens_with_their_marks_and_their_text(tmp_path: Path) -> None:
    vocabulary = Vocabulary(doubles.word_piece(), tmp_path)
    assert vocabulary.marks_subwords
    tokens = [vocabulary.token(doubles.IDS[token]) for token in ("the", "a", "##b")]
    assert tokens == ["the", "a", "##b"]
    assert vocabulary.text_of(tokens) == "the ab"
    assert vocabulary.token(10_000) == ""


def test_bytes_become_text(tmp_path: Path) -> None:
    vocabulary = Vocabulary(doubles.byte_level(), tmp_path)
    assert not vocabulary.marks_subwords
    assert vocabulary.text_of(["Ġthe", "Ã©"]) == " theé"


def test_without_a_decoder_tokens_are_joined_by_spaces(tmp_path: Path) -> None:
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    assert Vocabulary(plain, tmp_path).text_of(["a", "a"]) == "a a"


@pytest.mark.parametrize(
    ("config", "unknown"),
    [(None, "[UNK]"), ({}, "[UNK]"), ([], "[UNK]"), ({"unk_token": "good"}, "good"),
     ({"unk_token": {"content": "bad"}}, "bad"), ({"unk_token": "missing"}, "[UNK]"), ({"unk_token": None}, "[UNK]")],
)  # fmt: skip
def test_the_unknown_token_is_the_configurations(tmp_path: Path, config: Any, unknown: str) -> None:
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert Vocabulary(doubles.word_piece(), tmp_path).unknown_id == doubles.IDS[unknown]


def test_a_vocabulary_may_have_no_unknown_token(tmp_path: Path) -> None:
    assert Vocabulary(doubles.byte_level(), tmp_path).unknown_id is None


def test_a_broken_configuration_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("not json", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"tokenizer_config\.json"):
        Vocabulary(doubles.word_piece(), tmp_path)
