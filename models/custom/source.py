"""What a user names as the model to begin with: a folder that transformers saved, or a name on the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.errors import Missing, WorkshopError

_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json")


class NotAModel(WorkshopError):
    """A folder that is there, and from which transformers cannot load a model."""


def check_source(source: str) -> dict[str, Any] | None:
    """Look into a folder, before transformers is imported, for a model; return its config.json.

    None for what is no folder and may be on the Hub. Raises Missing and NotAModel.
    """
    folder = Path(source)
    if not folder.exists():
        if source.startswith((".", "/", "~")) or source.count("/") > 1:
            raise Missing(f"there is no folder {source}")
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotAModel(f"{source} holds no config.json, which a model that transformers saved has") from None
    except ValueError as error:
        raise NotAModel(f"{source}/config.json: not JSON ({error})") from error
    if not any(path for pattern in _WEIGHTS for path in folder.glob(pattern)):
        if any(folder.rglob("*.onnx")):
            raise NotAModel(f"{source} is exported already and is served as it is: copy it to where models are served")
        raise NotAModel(f"{source} holds no weights, model.safetensors or pytorch_model.bin")
    return dict(config)
