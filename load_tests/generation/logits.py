"""The artifact's own logits, through the service's graphs."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from load_tests.compare.weights import Array
from load_tests.generation.inputs import ARTIFACT
from service.artifact import Artifact
from service.seq2seq.graphs import Seq2SeqGraphs
from service.seq2seq.steps import Steps
from service.text.tokenizer import Encoding, Tokenizer


def graphs() -> Seq2SeqGraphs:
    """The artifact's, each pass on one core."""
    artifact = Artifact(ARTIFACT)
    return Seq2SeqGraphs(artifact, batch_tokens=sys.maxsize, intra_op_threads=1)


def started(loaded: Seq2SeqGraphs, encodings: list[Encoding]) -> Steps:
    """A row a source, before its first token."""
    return loaded.steps(loaded.encoder.run(encodings, exclusive=False), beams=1)


def artifact_logits(texts: Sequence[str], *, steps: int) -> Iterator[tuple[list[int], list[int], Array]]:
    """For each text its token ids, what the decoder was fed with (greedily), and its logits [steps, vocabulary]."""
    artifact = Artifact(ARTIFACT)
    loaded, tokenizer = graphs(), Tokenizer(ARTIFACT)
    for text in texts:
        encoding = tokenizer.encode(text, artifact.max_tokens)
        row, fed, found = started(loaded, [encoding]), [int(artifact.config["decoder_start_token_id"])], []
        for place in range(steps):
            found.append(row.run(fed[-1:], [place])[0].copy())
            fed.append(int(found[-1].argmax()))
        yield encoding.ids.tolist(), fed[:-1], np.stack(found)


def source(tokens: int, number: int) -> Encoding:
    """A row of so many made-up tokens."""
    chance = np.random.default_rng(number)
    ids = [0, *chance.integers(5, 5000, tokens - 2).tolist(), 2]
    return Encoding(array("q", ids), array("q", [0] * tokens))
