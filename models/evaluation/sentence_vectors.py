"""Texts as a summarizer's encoder sees them, a vector a sentence: what the scorer of sentences learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from models.graphs.graph import Array
from service.artifact import Artifact
from service.errors import InvalidInput
from service.text.extractive import pooled
from service.text.tokenizer import Tokenizer

STATES = "last_hidden_state"


@dataclass(frozen=True)
class Document:
    """A text by sentences, read by the encoder."""

    sentences: list[str]
    lengths: list[int]
    """Tokens of each."""
    vectors: Array
    """[sentences, hidden] float32."""


class SentenceReader:
    """Reads texts with an artifact's own encoder, in the service's own passages."""

    def __init__(self, folder: Path) -> None:
        """Raises ValueError for an encoder that does not give its last hidden states."""
        self._tokenizer = Tokenizer(folder)
        self._max_tokens = Artifact(folder).max_tokens
        self._session = _session(folder / "encoder.onnx")

    def read(self, text: str) -> Document:
        """The text's sentences, each with the mean of its tokens' last hidden states; none for a text of no tokens."""
        try:
            read = self._tokenizer.sentences(text, self._max_tokens)
        except InvalidInput:
            return Document([], [], np.zeros((0, 0), np.float32))
        parts = []
        for passage in read.passages:
            lengths = read.lengths[passage.sentences.start : passage.sentences.stop]
            ids = np.array([passage.encoding.ids])
            states = self._session.run([STATES], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
            parts.append(pooled(states[passage.first : passage.first + sum(lengths)], lengths))
        sentences = [" ".join(text[start:end].split()) for start, end in read.spans]
        return Document(sentences, read.lengths, np.concatenate(parts) if parts else np.zeros((0, 0), np.float32))


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    if STATES not in [value.name for value in session.get_outputs()]:
        raise ValueError(f"{path}: no output {STATES}; export the model anew")
    return session
