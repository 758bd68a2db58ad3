"""The Marian tokenizer's fast form gives the ids and the words of the slow one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import transformers

from service.errors import ArtifactError
from service.marian import marian_tokenizer
from tests.models.tiny import SENTENCES, save_marian_tokenizer

TEXTS = [
    *SENTENCES,
    "  spaces   in\tplenty \n and lines ",
    "The ﬁrst ½ of the film",
    ">>deu<< The plot is thin.",
    "unknown: 漢字 and 🐟 here",
    "one</s>two",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marian")
    save_marian_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def slow(folder: Path) -> transformers.MarianTokenizer:
    return transformers.MarianTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_get_the_same_ids(folder: Path, slow: transformers.MarianTokenizer, text: str) -> None:
    assert marian_tokenizer(folder).encode(text).ids == slow(text)["input_ids"]


def test_the_target_language_is_read_back(folder: Path, slow: transformers.MarianTokenizer) -> None:
    fast = marian_tokenizer(folder)
    text = "Wer schrieb die Briefe, die man im Turm fand?"
    ids = slow(text_target=text)["input_ids"]
    only_target = [piece for piece, number in slow.encoder.items() if fast.id_to_token(number) != piece]
    assert only_target, "every piece is in both languages: the test would prove nothing"
    assert fast.decode(ids, skip_special_tokens=True) == slow.decode(ids, skip_special_tokens=True) == text


def test_separate_vocabularies_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "separate_vocabs": True}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"tokenizer\.json"):
        marian_tokenizer(tmp_path)


def test_gaps_in_the_ids_are_refused(folder: Path, slow: transformers.MarianTokenizer, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "vocab.json").write_text(json.dumps({**slow.encoder, "far": 5000}), encoding="utf-8")
    with pytest.raises(ArtifactError, match="ids are not 0 to n-1"):
        marian_tokenizer(tmp_path)
