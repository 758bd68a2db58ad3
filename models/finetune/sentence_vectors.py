"""Texts as a summarizer's encoder sees them, a vector a sentence: what the scorer of sentences learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import tokenizers

from models.graph import Array
from service.artifact import Artifact
from service.extraction import pooled
from service.sentences import fit, pack, sentence_spans

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
    """Reads texts with an artifact's own encoder, in windows of whole sentences as the service does."""

    def __init__(self, folder: Path) -> None:
        """Raises ValueError for an encoder that does not give its last hidden states."""
        artifact = Artifact(folder)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._room = artifact.max_tokens - self._tokenizer.num_special_tokens_to_add(False)
        self._session = _session(folder / "encoder.onnx")

    def _encode(self, texts: list[str]) -> list[tokenizers.Encoding]:
        return self._tokenizer.encode_batch([" ".join(text.split()) for text in texts], add_special_tokens=False)

    def _count(self, texts: list[str]) -> list[int]:
        return [len(encoding) for encoding in self._encode(texts)]

    def read(self, text: str) -> Document:
        """The text's sentences, each with the mean of its tokens' last hidden states."""
        spans, lengths = fit(text, sentence_spans(text), self._room, self._count)
        sentences = [" ".join(text[start:end].split()) for start, end in spans]
        encodings = self._encode(sentences)
        parts = [
            pooled(self._states([encodings[index] for index in window]), lengths[window.start : window.stop])
            for window in pack(lengths, self._room)
        ]
        return Document(sentences, lengths, np.concatenate(parts) if parts else np.zeros((0, 0), np.float32))

    def _states(self, encodings: list[tokenizers.Encoding]) -> Array:
        """Of the tokens of the sentences, [tokens, hidden]; the special tokens around them are read but left out."""
        row = self._tokenizer.post_process(tokenizers.Encoding.merge(encodings, growing_offsets=True))
        ids = np.array([row.ids])
        states = self._session.run([STATES], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
        return np.asarray(states[np.array(row.special_tokens_mask) == 0])


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    if STATES not in [value.name for value in session.get_outputs()]:
        raise ValueError(f"{path}: no output {STATES}; export the model anew")
    return session
