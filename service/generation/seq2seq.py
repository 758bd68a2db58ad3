"""An encoder-decoder's graphs: cross-attention caches from the encoder, and the form that its decoder's steps take."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.artifact import Artifact
from service.conformity import TEXT_INPUTS, TRIAL_ROWS, check_names, check_shape, trial_encodings, tried
from service.encoder import Encoder
from service.encoding import Encoding
from service.errors import ArtifactError
from service.generation.caches import Cache
from service.generation.steps import GrowingSteps, StaticSteps, Steps
from service.model import Array, Graph, Tensor, pad

# With one query, onnxruntime's kernel adds keys in fours and the rest in another order, so that padding would move the
# last bits of a row: 110 of 6,048 decoder steps differed, none with widths that are always multiples of 8.
_SOURCE_MULTIPLE = 8
_CROSS = re.compile(r"present\.(\d+)\.encoder\.(key|value)")
_STATES = "last_hidden_state"
# What a step is given beside caches, in our form and in Optimum's.
_STATIC_INPUTS = ("input_ids", "positions", "source_lengths")
_GROWING_INPUTS = ("input_ids", "encoder_attention_mask", "encoder_hidden_states", "use_cache_branch")


@dataclass(frozen=True, slots=True)
class Sources:
    """What an encoder pass gives: a row for each text, padding zero or ignored."""

    cross: Cache
    """By the decoder's names, [texts, heads, tokens, width]."""
    lengths: list[int]
    states: Array | None
    """The encoder's last hidden states, [texts, tokens, hidden]; None where the graph keeps them to itself."""

    def part(self, texts: list[int]) -> Sources:
        """Those of some of the texts; all of them are not copied."""
        if texts == list(range(len(self.lengths))):
            return self
        arrays = {name: array[texts] for name, array in self.cross.arrays.items()}
        return Sources(Cache(arrays, len(texts)), [self.lengths[text] for text in texts], None)


class Seq2SeqGraphs:
    """Loads our form (encoder.onnx gives the cross-attention caches) and the two forms that Optimum writes.

    In Optimum's forms the caches come from one pass of the first-step decoder, whose logits are dropped: every step,
    the first one too, is then the same graph on a past that starts empty.
    """

    def __init__(self, artifact: Artifact, *, batch_tokens: int, wide_threads: int) -> None:
        """Raises ArtifactError if the graphs do not fit each other, or the folder's configuration."""
        decoders = [Graph(path) for path in artifact.graphs[1:]]
        self._merged = "use_cache_branch" in decoders[0].inputs
        self._first = decoders[0] if len(decoders) == 2 or self._merged else None
        self._step = decoders[-1]
        self._pad_id = int(artifact.config.get("pad_token_id") or 0)
        self._start = int(artifact.generation_config.get("decoder_start_token_id") or 0)
        self._past = [name for name in self._step.inputs if re.fullmatch(r"past_key_values\.\d+\.decoder\.\w+", name)]
        self._cross = [name for name in self._step.inputs if re.fullmatch(r"past_key_values\.\d+\.encoder\.\w+", name)]
        run = self._encode if self._first is None else self._encode_and_project
        self.encoder = Encoder(artifact.graphs[0], artifact, run, batch_tokens=batch_tokens, wide_threads=wide_threads)
        self.gives_states = _STATES in self.encoder.narrow.outputs
        self._check_names()
        self._heads, self._width = self._sizes(artifact)
        self.vocabulary = self._try(artifact, run)
        """Pieces that a step has a logit for."""

    def _check_names(self) -> None:
        """Raises ArtifactError if a graph reads what none gives, or does not give what another reads."""
        if not self._past:
            raise ArtifactError(
                f"{self._step.path}: it keeps no caches; export it with them (text2text-generation-with-past)"
            )
        encoder, crosses = self.encoder.narrow, [name.replace("past_key_values", "present") for name in self._cross]
        check_names(encoder, inputs=TEXT_INPUTS, outputs=crosses if self._first is None else [_STATES])
        given = _STATIC_INPUTS if "positions" in self._step.inputs else _GROWING_INPUTS
        presents = [name.replace("past_key_values", "present") for name in self._past]
        check_names(self._step, inputs=[*given, *self._past, *self._cross], outputs=["logits", *presents])
        if self._first is not None:
            check_names(self._first, inputs=[*_GROWING_INPUTS, *self._past, *self._cross], outputs=crosses)

    def _try(self, artifact: Artifact, run: Callable[[Graph, list[Encoding]], Sources]) -> int:
        """The logits of a first step; raises ArtifactError if it fails, or if they are not for the vocabulary."""
        sources = tried(self.encoder.narrow, lambda: run(self.encoder.narrow, trial_encodings(artifact)))
        first = [self._start] * TRIAL_ROWS
        logits = tried(self._step, lambda: self.steps(sources, 1).run(first, [0] * TRIAL_ROWS))
        sizes = [artifact.config.get(name) for name in ("decoder_vocab_size", "vocab_size")]
        size = next((int(each) for each in sizes if each), "vocabulary")
        check_shape(self._step, "logits of a step", logits, (TRIAL_ROWS, size))
        return int(logits.shape[1])

    def _sizes(self, artifact: Artifact) -> tuple[int, int]:
        """Heads and their size, from the graph where it says, else from the configuration."""
        _, heads, _, size = self._step.shapes[self._past[0]]
        if isinstance(heads, int) and isinstance(size, int):
            return heads, size
        config = artifact.config
        try:
            count = int(config.get("decoder_attention_heads") or config["num_heads"])
            return count, int(config.get("d_kv") or config["d_model"] // count)
        except KeyError as error:
            raise ArtifactError(f"{artifact.folder}: config.json does not say its {error.args[0]}") from error

    def _encode(self, graph: Graph, encodings: list[Encoding]) -> Sources:
        """One encoder pass of our form, its caches written where they stay."""
        inputs = pad(encodings, self._pad_id, multiple=_SOURCE_MULTIPLE)
        rows, tokens = inputs["input_ids"].shape
        outputs = {}
        for name in graph.outputs:
            shape = graph.shapes[name]
            size = (rows, tokens, shape[2]) if len(shape) == 3 else (rows, shape[1], tokens, shape[3])
            outputs[name] = np.empty(size, np.float32)
        graph.bind(inputs, outputs).run()
        states = outputs.pop(_STATES, None)
        cross = {name.replace("present", "past_key_values"): array for name, array in outputs.items()}
        return Sources(Cache(cross, rows), list(map(len, encodings)), states)

    def _encode_and_project(self, graph: Graph, encodings: list[Encoding]) -> Sources:
        """One encoder pass of Optimum's form, and one of its first-step decoder."""
        assert self._first is not None
        inputs = pad(encodings, self._pad_id, multiple=_SOURCE_MULTIPLE)
        states = graph.run(inputs)[_STATES]
        rows = len(encodings)
        feeds: dict[str, Any] = {
            "input_ids": np.full((rows, 1), self._start, dtype=np.int64),
            "encoder_attention_mask": inputs["attention_mask"],
            "encoder_hidden_states": states,
        }
        if self._merged:
            ignored = np.zeros((rows, self._heads, 1, self._width), dtype=np.float32)
            feeds |= {"use_cache_branch": np.array([False]), **dict.fromkeys(self._past + self._cross, ignored)}
        given: dict[str, Tensor] = self._first.run(feeds, [n for n in self._first.outputs if _CROSS.fullmatch(n)])
        cross = {name.replace("present", "past_key_values"): value.numpy() for name, value in given.items()}
        return Sources(Cache(cross, rows), list(map(len, encodings)), states.numpy())

    def steps(self, sources: Sources, beams: int) -> Steps:
        """The steps of texts with so many beams each, from their start; takes the sources over."""
        rows = len(sources.lengths) * beams
        past = Cache.empty(self._past, rows=rows, heads=self._heads, width=self._width)
        form = StaticSteps if "positions" in self._step.inputs else GrowingSteps
        return form(self._step, sources.cross, sources.lengths, past, beams)
