from __future__ import annotations

import pytest

from load_tests.generation.conversions import completed

BART = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "decoder_start_token": "</s>"}


def test_a_converted_bart_gets_what_its_converter_leaves_out() -> None:
    assert completed({**BART, "add_source_eos": False}) == {
        **BART, "add_source_eos": False, "layer_norm_epsilon": 1e-5,
    }  # fmt: skip


@pytest.mark.parametrize("name", BART)
@pytest.mark.parametrize("token", ["<pad>", None])
def test_another_models_special_tokens_are_refused(name: str, token: str | None) -> None:
    config: dict[str, str | None] = {**BART, name: token}
    if token is None:
        del config[name]
    with pytest.raises(RuntimeError, match="not BART's"):
        completed(config)
