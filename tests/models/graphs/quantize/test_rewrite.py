"""int8 graphs: close to fp32, and the same bits alone, in company, padded, wide or narrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from models.graphs.quantize import quantize_graph
from tests.models.tiny import (
    ENCODERS,
    SEQ2SEQ,
    SOURCE_LENGTHS,
    VOCABULARY,
    Exported,
    Feed,
    open_session,
    pad,
    random_step,
    run_session,
)

Export = Callable[[str], Exported]

LENGTHS = [2, 3, 5, 8, 13, 21, 34, 7, 16, 29]


def rows(count: int = 10) -> list[list[int]]:
    numbers = np.random.default_rng(5)
    return [[2, *numbers.integers(4, 70, length).tolist(), 3] for length in LENGTHS[:count]]


def batches(count: int, seed: int = 11) -> list[list[int]]:
    """Random choices of row numbers, of random size."""
    numbers = np.random.default_rng(seed)
    return [numbers.choice(count, numbers.integers(2, count), replace=False).tolist() for _ in range(8)]


@pytest.fixture(scope="session")
def int8(exported: Export, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The int8 form of one graph of one kind."""
    done: dict[tuple[str, str], Path] = {}

    def quantize(kind: str, graph: str) -> Path:
        if (kind, graph) not in done:
            done[kind, graph] = tmp_path_factory.mktemp("int8") / graph
            quantize_graph(exported(kind).fp32 / graph, done[kind, graph])
        return done[kind, graph]

    return quantize


def error(fp32: Path, int8: Path, feed: Feed) -> float:
    """Root mean square error where a row has tokens, in standard deviations of the fp32 output; the worst output."""
    wanted, found = run_session(open_session(fp32), feed), run_session(open_session(int8), feed)
    assert set(wanted) == set(found)
    real = feed["attention_mask"].astype(bool)
    worst = 0.0
    for name, value in wanted.items():
        axis = 2 if ".encoder." in name else 1 if name.endswith("_logits") else None
        pair = [np.moveaxis(v, axis, 1)[real] if axis else v for v in (value, found[name])]
        worst = max(worst, float(np.sqrt(np.mean((pair[0] - pair[1]) ** 2)) / np.std(pair[0])))
    return worst


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoders_stay_close_to_fp32(exported: Export, int8: Callable[[str, str], Path], kind: str) -> None:
    feed = pad(rows(), 0)
    assert 0 < error(exported(kind).fp32 / "model.onnx", int8(kind, "model.onnx"), feed) < 0.08


def seq2seq_rows(kind: str) -> tuple[list[list[int]], int]:
    """Rows in the small vocabulary of the kind, and its padding id."""
    if kind != "marian":
        return rows(), 0
    return [[3 + token % 60 for token in row[1:-1]] + [0] for row in rows()], 5


@pytest.mark.parametrize("kind", SEQ2SEQ)
def test_seq2seq_stays_close_to_fp32(exported: Export, int8: Callable[[str, str], Path], kind: str) -> None:
    sources, padding = seq2seq_rows(kind)
    feed = pad(sources, padding)
    assert 0 < error(exported(kind).fp32 / "encoder.onnx", int8(kind, "encoder.onnx"), feed) < 0.08
    step = random_step(exported(kind).fp32 / "decoder.onnx", len(sources), 6)
    step["attention_mask"] = step["encoder_attention_mask"]
    assert 0 < error(exported(kind).fp32 / "decoder.onnx", int8(kind, "decoder.onnx"), step) < 0.08


@pytest.mark.parametrize("kind", [*ENCODERS, *SEQ2SEQ])
def test_an_encoder_row_is_the_same_bits_in_any_company(int8: Callable[[str, str], Path], kind: str) -> None:
    graph = int8(kind, "encoder.onnx" if kind in SEQ2SEQ else "model.onnx")
    sources, padding = seq2seq_rows(kind) if kind in SEQ2SEQ else (rows(), 0)
    narrow, wide = open_session(graph), open_session(graph, threads=2)
    alone = [run_session(narrow, pad([row], padding)) for row in sources]
    for number, chosen in enumerate(batches(len(sources))):
        together = pad([sources[i] for i in chosen], padding, length=number * 6)
        for session in (narrow, wide):
            for name, value in run_session(session, together).items():
                for position, i in enumerate(chosen):
                    axis = 2 if ".encoder." in name else 1
                    real = value[position : position + 1]
                    if name != "logits":
                        real = real.take(range(len(sources[i])), axis=axis)
                    assert np.array_equal(real, alone[i][name]), f"{name} of row {i} in {chosen}"


"""Tokens in the sources of a decoder's rows, of all remainders by 4."""


def pick(feed: Feed, chosen: list[int], more: int = 0) -> Feed:
    """Some rows of a decoder's step: sources as long as the longest, in eights, and `more` eights."""
    length = -(-max(SOURCE_LENGTHS[i] for i in chosen) // 8) * 8 + 8 * more
    picked: Feed = {}
    for name, value in feed.items():
        rows = value[chosen]
        if ".encoder." in name or name == "encoder_attention_mask":
            axis = 2 if rows.ndim == 4 else 1
            rows = rows.take(range(min(length, 32)), axis=axis)
            missing = [(0, length - rows.shape[axis] if i == axis else 0) for i in range(rows.ndim)]
            rows = np.pad(rows, missing)
        picked[name] = rows
    return picked


@pytest.mark.parametrize("kind", SEQ2SEQ)
@pytest.mark.parametrize("past", [0, 1, 9])
def test_a_decoder_step_is_the_same_bits_in_any_company(int8: Callable[[str, str], Path], kind: str, past: int) -> None:
    decoder = int8(kind, "decoder.onnx")
    narrow, wide = open_session(decoder), open_session(decoder, threads=2)
    feed = random_step(decoder, 10, past)
    alone = [run_session(narrow, pick(feed, [i])) for i in range(10)]
    for number, chosen in enumerate(batches(10)):
        together = pick(feed, chosen, more=number % 3)
        for session in (narrow, wide):
            for name, value in run_session(session, together).items():
                for position, i in enumerate(chosen):
                    assert np.array_equal(value[position : position + 1], alone[i][name]), f"{name} of row {i}"


@pytest.mark.parametrize("kind", [*ENCODERS, *SEQ2SEQ])
def test_no_product_with_a_float_weight_is_left(int8: Callable[[str, str], Path], kind: str) -> None:
    for name in ("encoder.onnx", "decoder.onnx") if kind in SEQ2SEQ else ("model.onnx",):
        graph = onnx.load(int8(kind, name)).graph
        floats = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
        for node in graph.node:
            assert node.op_type != "Gemm"
            assert node.op_type != "MatMul" or not floats & set(node.input), node.name


def test_queries_keys_and_values_share_their_quantized_tokens(int8: Callable[[str, str], Path]) -> None:
    nodes = onnx.load(int8("bert-qa", "model.onnx")).graph.node
    products = [node for node in nodes if node.op_type == "MatMulIntegerToFloat"]
    # A layer: queries, keys, values, attention's output, up, down. Then the head.
    assert len(products) == 2 * 6 + 1
    assert len({node.input[0] for node in products}) == 2 * 4 + 1
    # The zero points of the tokens are made once, and once more for the activation that wants others.
    made = [node for node in nodes if node.op_type == "QuantizeLinear" and not node.attribute]
    assert len(made) == 2


def test_tied_embeddings_are_stored_once(tmp_path: Path) -> None:
    numbers = np.random.default_rng(2)
    table = numbers.normal(size=(512, 64)).astype(np.float32)
    path = write_tied_graph(tmp_path / "tied.onnx", table)
    quantize_graph(path, tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size < table.size + 512 * 4 + 4000
    feed: Feed = {"input_ids": numbers.integers(0, 512, (3, 4))}
    wanted = run_session(open_session(path), feed)["logits"]
    found = run_session(open_session(tmp_path / "int8.onnx"), feed)["logits"]
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max())


def write_tied_graph(path: Path, table: np.ndarray) -> Path:
    helper = onnx.helper
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Transpose", ["table"], ["head"], perm=[1, 0]),
        helper.make_node("MatMul", ["rows", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tied",
        [helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["rows", "tokens"])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["rows", "tokens", len(table)])],
        [onnx.numpy_helper.from_array(table, "table")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def test_an_old_opset_is_refused(tmp_path: Path) -> None:
    path = write_tied_graph(tmp_path / "old.onnx", np.ones((4, 4), np.float32))
    model = onnx.load(path)
    model.opset_import[0].version = 13
    onnx.save(model, path)
    with pytest.raises(ValueError, match="opset 13"):
        quantize_graph(path, tmp_path / "int8.onnx")


def test_the_vocabulary_fits_the_rows() -> None:
    assert max(max(row) for row in rows()) < VOCABULARY
