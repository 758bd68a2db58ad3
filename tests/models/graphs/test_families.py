"""int8 answers as fp32 does, for families whose graphs look unlike BERT's or BART's: each has failed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import transformers

from models.graphs.export import export_model
from models.graphs.quantize import quantize_artifact
from models.graphs.quantize.comparison import OtherShape, compare_graphs
from service.artifact import Artifact
from tests.models.families import CLASSIFIERS, GENERATORS, make_family
from tests.models.tiny import SENTENCES, open_session, pad, run_session

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "torch.jit.TracerWarning")
]

TEXTS = [*SENTENCES, "Herring.", "The plot " * 18]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path, Path]]:
    """A family's model: as transformers saved it, in fp32 and in int8."""
    done: dict[str, tuple[Path, Path, Path]] = {}

    def make(kind: str) -> tuple[Path, Path, Path]:
        if kind not in done:
            folder = tmp_path_factory.mktemp(kind)
            source = make_family(kind, folder / "source")
            task = "summarization" if kind in GENERATORS else "text-classification"
            fp32 = export_model(str(source), folder / "fp32" / kind, task)
            quantize_artifact(fp32, folder / "int8" / kind)
            done[kind] = source, fp32, folder / "int8" / kind
        return done[kind]

    return make


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_a_classifier_in_int8_scores_texts_as_transformers_does(
    made: Callable[[str], tuple[Path, Path, Path]], kind: str
) -> None:
    source, _, int8 = made(kind)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(source).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    rows = tokenizer(TEXTS, truncation=True, max_length=Artifact(int8).max_tokens)["input_ids"]
    session, spread = open_session(int8 / "model.onnx"), 0.0
    for batch in (rows, rows[:1], rows[4:6]):
        feed = pad(batch, 0)
        # In the same batch: ConvBERT's convolutions read its padding.
        inputs = {name: torch.from_numpy(feed[name]) for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            wanted = model(**inputs).logits.numpy()
        found = run_session(session, feed)["logits"]
        assert found.shape == wanted.shape
        spread = spread or float(np.std(wanted))  # of all texts, which come first
        np.testing.assert_allclose(found, wanted, atol=0.25 * spread)


@pytest.mark.parametrize("kind", GENERATORS)
def test_an_encoder_decoder_in_int8_stays_close_to_fp32(
    made: Callable[[str], tuple[Path, Path, Path]], kind: str
) -> None:
    _, fp32, int8 = made(kind)
    feed = pad([[5, 6, 7, 8, 9, 10, 3], [30, 3], [11, 12, 13, 3]], 0)
    real = feed["attention_mask"].astype(bool)
    wanted, found = (
        run_session(open_session(each / "encoder.onnx"), feed)["last_hidden_state"] for each in (fp32, int8)
    )
    assert np.sqrt(np.mean((wanted[real] - found[real]) ** 2)) < 0.1 * np.std(wanted[real])
    compared = compare_graphs(fp32 / "decoder.onnx", int8 / "decoder.onnx")
    assert compared.largest_error < 0.2 * compared.spread


def test_outputs_of_other_shapes_are_not_compared(
    made: Callable[[str], tuple[Path, Path, Path]], tmp_path: Path
) -> None:
    _, fp32, int8 = made("electra")
    model = onnx.load(int8 / "model.onnx")
    last = next(node for node in model.graph.node if node.output[0] == "logits")
    last.output[0] = "flat"
    axes = onnx.numpy_helper.from_array(np.array([0], np.int64), "axes")
    model.graph.initializer.append(axes)
    model.graph.node.append(onnx.helper.make_node("Unsqueeze", ["flat", "axes"], ["logits"]))
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(OtherShape, match=r"logits is \[1, 8, 3\] in int8 and \[8, 3\] in fp32"):
        compare_graphs(fp32 / "model.onnx", tmp_path / "model.onnx")
