"""A split that changes what is computed is refused."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from optimum.exporters.onnx import main_export

from models.graphs.split import SplitError, split_seq2seq
from tests.models.tiny import Exported


@pytest.fixture(scope="module")
def optimum(exported: Callable[[str], Exported], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Optimum writes for the tiny BART."""
    out = tmp_path_factory.mktemp("optimum")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main_export(str(exported("bart").source), out, task="text2text-generation-with-past", do_validation=False)
    return out


def test_optimums_own_files_are_split(optimum: Path, tmp_path: Path) -> None:
    split_seq2seq(optimum, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"encoder.onnx", "decoder.onnx"}


def test_decoders_that_disagree_are_refused(optimum: Path, tmp_path: Path) -> None:
    shutil.copytree(optimum, tmp_path / "optimum")
    path = tmp_path / "optimum" / "decoder_with_past_model.onnx"
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name.startswith("onnx::MatMul"))
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.1), tensor.name))
    onnx.save(model, path)
    with pytest.raises(SplitError, match="differs"):
        split_seq2seq(tmp_path / "optimum", tmp_path)
