"""What every int8 opponent runs: the obvious code over tokenizers and onnxruntime, the same for all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers

from load_tests.compare.contender import ARTIFACT


class Classifier:
    """A text's label and score."""

    def __init__(self, threads: int = 1, folder: Path = ARTIFACT) -> None:
        """`threads` work on one batch."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._labels = [config["id2label"][str(index)] for index in range(len(config["id2label"]))]
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(config["max_position_embeddings"])
        self._tokenizer.enable_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # A spinning pool takes the cores from its own server: on two, most were slower with one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)

    def __call__(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """A label and its probability for each text, in one pass."""
        rows = self._tokenizer.encode_batch(list(texts))
        feeds = {
            "input_ids": np.array([row.ids for row in rows]),
            "attention_mask": np.array([row.attention_mask for row in rows]),
            "token_type_ids": np.array([row.type_ids for row in rows]),
        }
        (logits,) = self._session.run(["logits"], feeds)
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores = exponents / exponents.sum(axis=1, keepdims=True)
        best = scores.argmax(axis=1)
        return [
            {"label": self._labels[index], "score": float(row[index])} for row, index in zip(scores, best, strict=True)
        ]
