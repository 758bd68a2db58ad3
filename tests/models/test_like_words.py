"""Words like another are of its kind and form, and not the same thing said again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import transformers

from models.finetune.like_words import LikeWords
from tests.models.tiny import make_model

# Cosines to "river" are chosen: a direction of its own for each word, so the mean stays near nothing.
COSINES = {"river": 1.0, "rivers": 0.4, "stream": 0.7, "lake": 0.45, "mountain": 0.4, "sea": 0.4, "tax": 0.05}


def like_words(cosines: dict[str, float]) -> LikeWords:
    vectors = np.zeros((2 * len(cosines), 1 + len(cosines)))
    for place, cosine in enumerate(cosines.values()):
        vectors[place, 0], vectors[place, 1 + place] = cosine, (1 - cosine**2) ** 0.5
        vectors[place + len(cosines)] = -vectors[place]
    return LikeWords({word: place for place, word in enumerate(cosines)}, vectors)


def test_synonyms_forms_short_words_and_strangers_are_left_out() -> None:
    assert like_words(COSINES).beside("river") == ["lake", "mountain"]


@pytest.mark.parametrize("word", ["unheard", "sea", "##ing", ""])
def test_a_word_without_a_vector_has_none_beside_it(word: str) -> None:
    assert like_words(COSINES).beside(word) == []


def test_only_words_of_the_same_ending_stand_for_it() -> None:
    found = like_words({"founded": 1.0, "dissolved": 0.4, "company": 0.41, "dissolves": 0.42})
    assert found.beside("founded") == ["dissolved"]


def test_a_models_own_vectors_serve(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "m")
    model = transformers.AutoModel.from_pretrained(tmp_path / "m")
    words = LikeWords.of(model, transformers.AutoTokenizer.from_pretrained(tmp_path / "m"))
    assert words.beside("no word of it") == []
