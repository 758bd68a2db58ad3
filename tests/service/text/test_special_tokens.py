from __future__ import annotations

import pytest
import tokenizers

from service.text.special_tokens import SpecialTokensTemplate
from tests.service import doubles

TEXTS = ["the capital", "x"]


@pytest.mark.parametrize("made", [doubles.word_piece, doubles.byte_level])
@pytest.mark.parametrize("texts", [1, 2])
def test_a_framed_row_is_what_the_tokenizer_makes(made: type[tokenizers.Tokenizer], texts: int) -> None:
    tokenizer = made()
    template = SpecialTokensTemplate(tokenizer.encode(*["bad"] * texts))
    whole = tokenizer.encode(*TEXTS[:texts])
    parts = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS[:texts]]
    ids, types = template.apply(*parts)
    assert (ids.tolist(), types.tolist()) == (whole.ids, whole.type_ids)
    assert template.size == len(whole) - sum(map(len, parts))
    assert template.first == whole.sequence_ids.index(0)
    if texts == 2:
        assert template.second_start(parts[0]) == whole.sequence_ids.index(1)


@pytest.mark.parametrize("direction", ["left", "right"])
def test_the_padding_of_its_sample_is_no_part_of_a_frame(direction: str) -> None:
    tokenizer = doubles.word_piece()
    plain = SpecialTokensTemplate(tokenizer.encode("bad", "bad"))
    tokenizer.enable_padding(direction=direction, length=32)
    padded = SpecialTokensTemplate(tokenizer.encode("bad", "bad"))
    assert padded.apply([7], [8, 9]) == plain.apply([7], [8, 9])
    assert (padded.first, padded.size) == (plain.first, plain.size)


def test_rows_share_nothing() -> None:
    template = SpecialTokensTemplate(doubles.word_piece().encode("good"))
    template.apply([5])[0].append(9)
    assert template.apply([])[0].tolist() == [doubles.CLS, doubles.SEP]
