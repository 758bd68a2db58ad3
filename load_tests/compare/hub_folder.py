"""The served artifact as a folder that transformers and Optimum load. Standard library only."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from load_tests.compare.contender import ARTIFACT

_SPECIAL = ("unk_token", "sep_token", "pad_token", "cls_token")


def hub_folder(folder: Path, *, graph: str = "") -> Path:
    """Fill `folder` with configuration and tokenizer, and the int8 graph under the name `graph`, if that is given."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ARTIFACT / "tokenizer.json", folder)
    config = json.loads((ARTIFACT / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config["max_position_embeddings"],
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **{name: f"[{name[:3].upper()}]" for name in _SPECIAL},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    if graph:
        shutil.copy(ARTIFACT / "model.onnx", folder / graph)
    return folder
