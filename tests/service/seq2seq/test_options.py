from __future__ import annotations

import pytest

from service.seq2seq.options import default_options, special_tokens


def test_special_tokens_of_a_bart() -> None:
    found = special_tokens(
        {"decoder_start_token_id": 2, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
         "forced_bos_token_id": 0, "forced_eos_token_id": 2}
    )  # fmt: skip
    assert (found.start, found.ends, found.forced_first, found.forced_last) == (2, frozenset([2]), 0, 2)
    assert found.banned == ()


def test_special_tokens_of_a_marian_never_write_padding() -> None:
    found = special_tokens({"decoder_start_token_id": 9, "eos_token_id": [0, 5], "bad_words_ids": [[9], [3, 4]]})
    assert (found.start, found.banned) == (9, (9,))
    assert found.ends == {0, 5}


def test_special_tokens_where_the_config_says_little() -> None:
    assert special_tokens({"bos_token_id": 7, "suppress_tokens": [3]}).start == 7
    assert special_tokens({}).ends == frozenset()
    assert special_tokens({"suppress_tokens": [3]}).banned == (3,)


def test_a_start_of_zero_is_a_start() -> None:
    """T5's: 0 is no lack of one."""
    assert special_tokens({"decoder_start_token_id": 0, "bos_token_id": 7}).start == 0


def test_defaults_come_from_the_generation_config() -> None:
    config = {"max_length": 142, "min_length": 56, "num_beams": 4, "length_penalty": 2.0, "no_repeat_ngram_size": 3,
              "early_stopping": True}  # fmt: skip
    chosen = default_options(config, {})
    assert (chosen.max_new_tokens, chosen.min_new_tokens) == (141, 55), "lengths count the start token"
    assert (chosen.num_beams, chosen.length_penalty, chosen.no_repeat_ngram_size) == (4, 2.0, 3)
    assert chosen.early_stopping is True


def test_what_the_workshop_says_comes_first() -> None:
    chosen = default_options({"max_new_tokens": 100, "num_beams": 2}, {"generation": {"max_new_tokens": 40}})
    assert (chosen.max_new_tokens, chosen.num_beams) == (40, 2)


@pytest.mark.parametrize("serving", [{"names_from_source": True}, {"names_from_source": False}, {}])
def test_the_workshop_says_whether_names_are_the_sources(serving: dict[str, bool]) -> None:
    assert default_options({}, {"generation": serving}).names_from_source is serving.get("names_from_source", False)


def test_defaults_of_a_config_that_says_nothing() -> None:
    chosen = default_options({}, {})
    assert (chosen.max_new_tokens, chosen.min_new_tokens, chosen.num_beams) == (63, 0, 1)
    assert (chosen.length_penalty, chosen.no_repeat_ngram_size, chosen.early_stopping) == (1.0, 0, False)


@pytest.mark.parametrize(
    "config", [{"num_beams": 12}, {"max_length": 20, "min_length": 30}, {"early_stopping": "never"}]
)
def test_defaults_keep_to_what_is_served(config: dict[str, object]) -> None:
    chosen = default_options(config, {})
    assert chosen.num_beams <= 4
    assert chosen.min_new_tokens <= chosen.max_new_tokens
    assert chosen.early_stopping is False
