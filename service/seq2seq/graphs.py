"""An encoder-decoder's graphs: the encoder pass that gives the cross-attention caches, and the decoder's steps."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from service.artifact import Artifact
from service.errors import ArtifactError
from service.runtime.conformity import TEXT_INPUTS, TRIAL_ROWS, check_names, check_shape, trial_encodings, tried
from service.runtime.encoder import Encoder
from service.runtime.session import Array, Session, Tensor, pad
from service.seq2seq.kv_cache import KVCache
from service.seq2seq.steps import GrowingSteps, StaticSteps, Steps
from service.text.tokenizer import Encoding

# Sources are padded to a multiple of this. With one query, onnxruntime's kernel adds keys in fours and the rest in
# another order, so that padding would change the last bits of a row: 110 of 6,048 decoder steps of a float32 model
# differed, none with multiples of 8. The bits were measured, because they depend on the kernel; a test holds the width.
_SOURCE_MULTIPLE = 8
_CROSS = re.compile(r"present\.(\d+)\.encoder\.(key|value)")
_STATES = "last_hidden_state"
# The inputs of a step beside caches, in our form and in Optimum's.
_STATIC_INPUTS = ("input_ids", "positions", "source_lengths")
_GROWING_INPUTS = ("input_ids", "encoder_attention_mask", "encoder_hidden_states", "use_cache_branch")


@dataclass(frozen=True, slots=True)
class EncoderOutput:
    """The outputs of an encoder pass, a row for each text. Padding is zero or masked."""

    cross: KVCache
    """Cross-attention caches by the decoder's input names, [texts, heads, tokens, width]."""
    lengths: list[int]
    """Tokens of each text."""
    states: Array | None
    """The encoder's last hidden states, [texts, tokens, hidden]; None if they are no output of the graph."""

    def select(self, texts: list[int]) -> EncoderOutput:
        """The rows of some of the texts, without hidden states; the object itself, uncopied, for all of them."""
        if texts == list(range(len(self.lengths))):
            return self
        arrays = {name: array[texts] for name, array in self.cross.arrays.items()}
        return EncoderOutput(KVCache(arrays, len(texts)), [self.lengths[text] for text in texts], None)


class Seq2SeqGraphs:
    """The graphs of a model, in our form or in one of the two forms that Optimum exports.

    In our form encoder.onnx gives the cross-attention caches. In Optimum's they come from one pass of the first step's
    decoder, whose logits are dropped: every step, the first too, then runs the same graph on a past that starts empty.
    """

    def __init__(self, artifact: Artifact, *, batch_tokens: int, intra_op_threads: int) -> None:
        """Raises ArtifactError if the graphs do not fit each other or the folder's configuration."""
        encoder, *decoders = artifact.seq2seq_graphs
        sessions = [Session(path) for path in decoders]
        self._merged = "use_cache_branch" in sessions[0].inputs
        self._first = sessions[0] if len(sessions) == 2 or self._merged else None
        self._step = sessions[-1]
        self._pad_id = int(artifact.config.get("pad_token_id") or 0)
        self._start = int(artifact.generation_config.get("decoder_start_token_id") or 0)
        self._past = [name for name in self._step.inputs if re.fullmatch(r"past_key_values\.\d+\.decoder\.\w+", name)]
        self._cross = [name for name in self._step.inputs if re.fullmatch(r"past_key_values\.\d+\.encoder\.\w+", name)]
        run = self._encode if self._first is None else self._encode_and_project
        self.encoder = Encoder(encoder, artifact, run, batch_tokens=batch_tokens, intra_op_threads=intra_op_threads)
        self.gives_states = _STATES in self.encoder.single_thread.outputs
        self._check_names()
        self._heads, self._width = self._sizes(artifact)
        self.vocabulary = self._try(artifact, run)
        """Number of tokens that a step gives logits for."""

    def _check_names(self) -> None:
        """Raise ArtifactError if a graph has an input that no other gives, or lacks an output that another reads."""
        if not self._past:
            raise ArtifactError(
                f"{self._step.path}: it has no caches; export it with them (text2text-generation-with-past)"
            )
        encoder, crosses = (
            self.encoder.single_thread,
            [name.replace("past_key_values", "present") for name in self._cross],
        )
        check_names(encoder, inputs=TEXT_INPUTS, outputs=crosses if self._first is None else [_STATES])
        given = _STATIC_INPUTS if "positions" in self._step.inputs else _GROWING_INPUTS
        presents = [name.replace("past_key_values", "present") for name in self._past]
        check_names(self._step, inputs=[*given, *self._past, *self._cross], outputs=["logits", *presents])
        if self._first is not None:
            check_names(self._first, inputs=[*_GROWING_INPUTS, *self._past, *self._cross], outputs=crosses)

    def _try(self, artifact: Artifact, run: Callable[[Session, list[Encoding]], EncoderOutput]) -> int:
        """Run a first step and return the number of its logits; raises ArtifactError if it fails or does not fit."""
        encoded = tried(self.encoder.single_thread, lambda: run(self.encoder.single_thread, trial_encodings(artifact)))
        first = [self._start] * TRIAL_ROWS
        logits = tried(self._step, lambda: self.steps(encoded, 1).run(first, [0] * TRIAL_ROWS))
        sizes = [artifact.config.get(name) for name in ("decoder_vocab_size", "vocab_size")]
        size = next((int(each) for each in sizes if each), "vocabulary")
        check_shape(self._step, "logits of a step", logits, (TRIAL_ROWS, size))
        return int(logits.shape[1])

    def _sizes(self, artifact: Artifact) -> tuple[int, int]:
        """The number of heads and their width, from the graph's shapes if they are fixed, else from config.json."""
        _, heads, _, size = self._step.shapes[self._past[0]]
        if isinstance(heads, int) and isinstance(size, int):
            return heads, size
        config = artifact.config
        try:
            count = int(config.get("decoder_attention_heads") or config["num_heads"])
            return count, int(config.get("d_kv") or config["d_model"] // count)
        except KeyError as error:
            raise ArtifactError(f"{artifact.folder}: config.json does not say its {error.args[0]}") from error

    def _encode(self, graph: Session, encodings: list[Encoding]) -> EncoderOutput:
        """One encoder pass of our form, which writes the caches into the arrays that the steps read."""
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
        return EncoderOutput(KVCache(cross, rows), list(map(len, encodings)), states)

    def _encode_and_project(self, graph: Session, encodings: list[Encoding]) -> EncoderOutput:
        """One encoder pass of Optimum's form, and one pass of its first step's decoder for the caches."""
        assert self._first is not None
        inputs = pad(encodings, self._pad_id, multiple=_SOURCE_MULTIPLE)
        states = graph.run(inputs)[_STATES]
        rows = len(encodings)
        feeds: dict[str, Array | Tensor] = {
            "input_ids": np.full((rows, 1), self._start, dtype=np.int64),
            "encoder_attention_mask": inputs["attention_mask"],
            "encoder_hidden_states": states,
        }
        if self._merged:
            ignored = np.zeros((rows, self._heads, 1, self._width), dtype=np.float32)
            feeds |= {"use_cache_branch": np.array([False]), **dict.fromkeys(self._past + self._cross, ignored)}
        given: dict[str, Tensor] = self._first.run(feeds, [n for n in self._first.outputs if _CROSS.fullmatch(n)])
        cross = {name.replace("present", "past_key_values"): value.numpy() for name, value in given.items()}
        return EncoderOutput(KVCache(cross, rows), list(map(len, encodings)), states.numpy())

    def steps(self, encoded: EncoderOutput, beams: int) -> Steps:
        """The steps of the encoded texts with `beams` beams each, from the first. Takes the caches over."""
        rows = len(encoded.lengths) * beams
        past = KVCache.empty(self._past, rows=rows, heads=self._heads, width=self._width)
        form = StaticSteps if "positions" in self._step.inputs else GrowingSteps
        return form(self._step, encoded.cross, encoded.lengths, past, beams)
