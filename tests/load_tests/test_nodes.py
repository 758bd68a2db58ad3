"""What is said of a pass's nodes adds up to what the graph computes."""

from __future__ import annotations

import pytest

from load_tests.nodes import bare_rate, costs
from service.config import ARTIFACTS

TOKENS, WIDTH, INNER = 24, 384, 1536
LAYERS, DECODER_LAYERS = 6, 3


def test_an_encoders_products_and_attentions_are_counted() -> None:
    found = costs(ARTIFACTS / "summarizer" / "encoder.onnx", TOKENS)
    layers = LAYERS * (4 * WIDTH**2 + 2 * WIDTH * INNER)
    caches = DECODER_LAYERS * 2 * WIDTH**2
    assert sum(each.operations for name, each in found.items() if "MatMul" in name) == 2 * TOKENS * (layers + caches)
    assert found["Attention"].operations == LAYERS * 4 * WIDTH * TOKENS**2
    assert found["Attention"].nodes == LAYERS
    assert list(found.values()) == sorted(found.values(), key=lambda each: -each.seconds)


@pytest.mark.parametrize("int8", [True, False])
def test_a_bare_product_has_a_rate(int8: bool) -> None:
    assert bare_rate(TOKENS, int8=int8) > 0
