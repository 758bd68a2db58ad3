"""Files that sentence-transformers has beside an encoder: its modules, their weights and its prompts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers.utils import cached_file

_MODULES = "modules.json"
# sentence-transformers reads the encoder's settings from the first of these that is there.
_ENCODER_CONFIGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_WEIGHTS, _PICKLED_WEIGHTS = "model.safetensors", "pytorch_model.bin"


def embeds(source: str) -> bool:
    """Whether sentence-transformers makes vectors of texts with the model in folder or Hub id `source`."""
    return any(str(module["type"]).endswith(".Pooling") for module in _modules(source))


def copy_sentence_files(source: str, out: Path) -> None:
    """Copy the files from folder or Hub id `source` to `out`, those of the encoder itself left aside.

    Weights come out as model.safetensors, which is what the service reads.
    """
    for name in (_MODULES, "config_sentence_transformers.json", *_ENCODER_CONFIGS):
        _copy(source, name, out)
    for module in _modules(source)[1:]:
        folder = str(module["path"])
        _copy(source, f"{folder}/config.json", out)
        if not _copy(source, f"{folder}/{_WEIGHTS}", out):
            pickled = _find(source, f"{folder}/{_PICKLED_WEIGHTS}")
            if pickled is not None:
                save_file(torch.load(pickled, map_location="cpu", weights_only=True), out / folder / _WEIGHTS)


def sentence_files(folder: Path) -> list[Path]:
    """Those files in an artifact folder, relative to it."""
    modules = json.loads((folder / _MODULES).read_text("utf-8")) if (folder / _MODULES).is_file() else []
    names = [_MODULES, "config_sentence_transformers.json", *_ENCODER_CONFIGS]
    names += [f"{module['path']}/{name}" for module in modules[1:] for name in ("config.json", _WEIGHTS)]
    return [Path(name) for name in names if (folder / name).is_file()]


def _modules(source: str) -> list[dict[str, object]]:
    path = _find(source, _MODULES)
    return list(json.loads(path.read_text(encoding="utf-8"))) if path is not None else []


def _copy(source: str, name: str, out: Path) -> bool:
    """Copy a file if it is there; returns whether it is."""
    path = _find(source, name)
    if path is not None:
        (out / name).parent.mkdir(exist_ok=True)
        shutil.copy(path, out / name)
    return path is not None


def _find(source: str, name: str) -> Path | None:
    path = cached_file(
        source, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    return Path(path) if path is not None else None
