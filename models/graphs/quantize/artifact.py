"""The int8 form of an artifact folder, kept only when it scores as well."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from models.errors import Missing, WorkshopError
from models.graphs.quantize.comparison import Comparison, compare_graphs, table
from models.graphs.quantize.rewrite import quantize_graph
from models.graphs.quantize.sharing import share_weights
from models.graphs.sentence_files import sentence_files

Score = Callable[[Path], dict[str, float]]

_GRAPHS = ("model.onnx", "encoder.onnx", "decoder.onnx")
_COPIED = ("tokenizer.json", "generation_config.json")


class QuantizationLoss(WorkshopError, RuntimeError):
    """int8 scores lower than fp32 by more than it may."""

    def __init__(self, losses: Mapping[str, tuple[float, float, float]]) -> None:
        self.losses = dict(losses)
        """(fp32, int8, tolerance) by score."""
        parts = (f"{n}: {a:.3f} -> {b:.3f}, at most {t:g} less is allowed" for n, (a, b, t) in losses.items())
        super().__init__("int8 loses too much. " + "; ".join(parts))


def _check_scores(fp32: Path, int8: Path, score: Score, tolerance: Mapping[str, float]) -> None:
    before, after = score(fp32), score(int8)
    losses = {
        name: (before[name], after[name], allowed)
        for name, allowed in tolerance.items()
        # Not "<=": a score that is no number at all must not pass.
        if not before[name] - after[name] <= allowed
    }
    if losses:
        raise QuantizationLoss(losses)


def _write_config(source: Path, target: Path, *, reduce_range: bool) -> None:
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    shoal = {**config.get("shoal", {}), "precision": "int8"}
    shoal["int8"] = {"activations": "per token", "weights": "per channel", "reduce_range": reduce_range}
    config["shoal"] = shoal
    (target / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def quantize_artifact(
    source: Path,
    target: Path,
    *,
    reduce_range: bool = False,
    score: Score | None = None,
    tolerance: Mapping[str, float] | None = None,
) -> list[Comparison]:
    """Quantize the fp32 artifact in `source` into folder `target`; print and return how each graph compares.

    `score` evaluates an artifact folder; `tolerance` says how much lower each of its scores may be in int8, in the same
    unit. `target` is written only after that, file by file: what else lies in it stays.

    Raises Missing when `source` holds no graph, QuantizationLoss, and KeyError when a tolerance has no score.
    """
    names = [name for name in _GRAPHS if (source / name).is_file()]
    if not names:
        raise Missing(f"{source} holds none of {', '.join(_GRAPHS)}: export the model first")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: moving the files is then a rename, and the folder's name is still the model's for `score`.
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        work = Path(scratch) / target.name
        work.mkdir()
        for name in names:
            quantize_graph(source / name, work / name, reduce_range=reduce_range)
        share_weights([work / name for name in names])
        for name in _COPIED:
            if (source / name).is_file():
                shutil.copy(source / name, work / name)
        for path in sentence_files(source):
            (work / path).parent.mkdir(exist_ok=True)
            shutil.copy(source / path, work / path)
        _write_config(source, work, reduce_range=reduce_range)
        comparisons = [compare_graphs(source / name, work / name) for name in names]
        print(table(comparisons))
        print(f"weights: int8 per channel, {'7 bits (no VNNI)' if reduce_range else '8 bits'}; activations: per token")
        if score is not None:
            _check_scores(source, work, score, tolerance or {})
        target.mkdir(exist_ok=True)
        for file in [path for path in work.rglob("*") if path.is_file()]:
            (target / file.relative_to(work)).parent.mkdir(exist_ok=True)
            file.replace(target / file.relative_to(work))
    return comparisons
