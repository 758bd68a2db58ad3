"""Folders in the forms that other tools write are served as they are, and answer as the plain export does."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnxruntime.transformers.float16 import convert_float_to_float16
from optimum.exporters.onnx import main_export
from optimum.onnxruntime import ORTOptimizer, ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig, OptimizationConfig

from models.graphs.export import OPTIMUM_TASKS
from service.artifact import Artifact
from service.config import Settings
from service.engine.registry import Registry
from service.tasks.classification import ClassificationResult
from service.tasks.parameters import ClassifyParameters, SummarizeParameters
from service.tasks.summary_result import SummaryResult
from tests.models.tiny import SENTENCES, make_model

# What Optimum, onnxruntime's tools and torch have to say about each other.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "torch.jit.TracerWarning", "UserWarning", "FutureWarning")
]

KINDS = {"bert": "text-classification", "marian": "summarization"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder as Optimum alone writes it, without the merged decoder, which would be served instead."""
    done: dict[str, Path] = {}

    def export(kind: str) -> Path:
        if kind not in done:
            source, out = tmp_path_factory.mktemp("source") / kind, tmp_path_factory.mktemp("optimum") / kind
            make_model(kind, source)
            main_export(str(source), out, framework="pt", task=OPTIMUM_TASKS[KINDS[kind]], do_validation=False)
            (out / "decoder_model_merged.onnx").unlink(missing_ok=True)
            done[kind] = out
        return done[kind]

    return export


def without_graphs(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.onnx")))


def graphs_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.onnx"))


def quantized(folder: Path, target: Path) -> None:
    """By ORTQuantizer: model_quantized.onnx, encoder_model_quantized.onnx and so on."""
    config = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=False)
    for name in graphs_of(folder):
        ORTQuantizer.from_pretrained(folder, file_name=name).quantize(config, without_graphs_or_is(folder, target))


def without_graphs_or_is(folder: Path, target: Path) -> Path:
    return target if target.exists() else without_graphs(folder, target)


def optimized(folder: Path, target: Path) -> None:
    """By ORTOptimizer: model_optimized.onnx, encoder_model_optimized.onnx and so on."""
    optimizer = ORTOptimizer.from_pretrained(folder, file_names=graphs_of(folder))
    optimizer.optimize(OptimizationConfig(optimization_level=2), without_graphs(folder, target))


def halved(folder: Path, target: Path, *, keep_io_types: bool) -> None:
    """In float16, by the names of the Hub's ONNX community."""
    (without_graphs(folder, target) / "onnx").mkdir()
    for name in graphs_of(folder):
        half = convert_float_to_float16(onnx.load(folder / name), keep_io_types=keep_io_types)
        onnx.save(half, target / "onnx" / name.replace(".onnx", "_fp16.onnx"))


def with_external_data(folder: Path, target: Path) -> None:
    without_graphs(folder, target)
    for name in graphs_of(folder):
        data = {"save_as_external_data": True, "location": f"{name}_data", "size_threshold": 0}
        onnx.save(onnx.load(folder / name), target / name, **data)  # type: ignore[arg-type]


def linked(folder: Path) -> None:
    """Each file a link into blobs/, as in the Hub's cache."""
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    for number, path in enumerate([path for path in folder.rglob("*") if path.is_file()]):
        blob = path.rename(blobs / f"{number:040x}")
        path.symlink_to(blob)


FORMS: dict[str, tuple[Callable[[Path, Path], Any], str, float]] = {
    "quantized": (quantized, "int8", 0.05),
    "optimized": (optimized, "fp32", 1e-5),
    "float16": (lambda folder, target: halved(folder, target, keep_io_types=False), "fp16", 2e-3),
    "float16 inside": (lambda folder, target: halved(folder, target, keep_io_types=True), "fp16", 2e-3),
    "external data": (with_external_data, "fp32", 1e-6),
}
"""What makes it, its precision, and the largest difference of scores to the plain export's."""


def answers(folder: Path, kind: str) -> Sequence[Any]:
    """Scores by label of each text, or each text's summary, as served."""

    async def served() -> list[Any]:
        registry = Registry(Settings(models_dir=folder.parent, models=folder.name, workers=1))
        registry.start()
        try:
            if kind == "bert":
                parameters: Any = ClassifyParameters()
                return (await registry.infer("classify", SENTENCES, parameters, None)).results
            parameters = SummarizeParameters(max_new_tokens=12, num_beams=1, strategy="truncate")
            return (await registry.infer("summarize", SENTENCES, parameters, None)).results
        finally:
            registry.close()

    return asyncio.run(served())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("through_links", [False, True], ids=["files", "links"])
@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_served_as_the_plain_export(
    plain: Callable[[str], Path], tmp_path: Path, form: str, kind: str, *, through_links: bool
) -> None:
    make, precision, tolerance = FORMS[form]
    folder = tmp_path / "models" / kind
    make(plain(kind), folder)
    if through_links:
        linked(folder)
    assert Artifact(folder).precision == precision
    expected, found = answers(plain(kind), kind), answers(folder, kind)
    for want, got in zip(expected, found, strict=True):
        if isinstance(want, ClassificationResult):
            assert isinstance(got, ClassificationResult)
            scores = {each.label: each.score for each in got.scores}
            assert scores == pytest.approx({each.label: each.score for each in want.scores}, abs=tolerance)
        else:
            assert isinstance(want, SummaryResult)
            assert isinstance(got, SummaryResult)
            assert got.summary
            if precision != "int8":  # one token in another place changes all that follow
                assert got.summary == want.summary
