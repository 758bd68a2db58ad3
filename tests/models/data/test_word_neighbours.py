"""Words like another are of its kind and form, and not the same thing said again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from models.data.word_neighbours import WordNeighbours
from tests.models.doubles import like_words
from tests.models.tiny import make_model

COSINES = {"river": 1.0, "rivers": 0.4, "stream": 0.7, "lake": 0.45, "mountain": 0.4, "sea": 0.4, "tax": 0.05}


def test_synonyms_forms_short_words_and_strangers_are_left_out() -> None:
    assert like_words(COSINES).neighbours("river") == ["lake", "mountain"]


@pytest.mark.parametrize("word", ["unheard", "sea", "##ing", ""])
def test_a_word_without_a_vector_has_none_beside_it(word: str) -> None:
    assert like_words(COSINES).neighbours(word) == []


def test_only_words_of_the_same_ending_stand_for_it() -> None:
    found = like_words({"founded": 1.0, "dissolved": 0.4, "company": 0.41, "dissolves": 0.42})
    assert found.neighbours("founded") == ["dissolved"]


def test_a_models_own_vectors_serve(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "m")
    model = transformers.AutoModel.from_pretrained(tmp_path / "m")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")
    vocabulary = {**tokenizer.get_vocab(), "river": 5, "lake": 6}
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table.zero_()
        table[5, 0] = table[6, 0] = 0.4
        table[5, 1] = table[6, 2] = 0.6
        table[7] = -table[5] - table[6]
    tokenizer.get_vocab = lambda: vocabulary
    assert WordNeighbours.of(model, tokenizer).neighbours("river") == ["lake"]
