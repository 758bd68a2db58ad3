"""An encoder-decoder's graphs: cross-attention caches from the encoder, one token a row from the decoder."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from service.artifact import Artifact
from service.encoding import Encoding
from service.model import Array, Graph, Tensor, pad, tensor

Caches = dict[str, Tensor]
# With one query, onnxruntime's kernel adds keys in fours and the rest in another order, so that padding would move the
# last bits of a row: 110 of 6,048 decoder steps differed, none with widths that are always multiples of 8.
_SOURCE_MULTIPLE = 8
_CROSS = re.compile(r"present\.(\d+)\.encoder\.(key|value)")


class Seq2SeqGraphs:
    """Loads our form (encoder.onnx gives the cross-attention caches) and the two forms that Optimum writes.

    In Optimum's forms the caches come from one pass of the first-step decoder, whose logits are dropped: every step,
    the first one too, is then the same graph on a past that starts empty.
    """

    def __init__(self, artifact: Artifact) -> None:
        names = [path.name for path in artifact.graphs]
        graphs = [Graph(path) for path in artifact.graphs]
        self._encoder = graphs[0]
        self._merged = "decoder_model_merged.onnx" in names
        self._first = graphs[1] if len(graphs) == 3 or self._merged else None
        self._step = graphs[-1]
        self._pad_id = int(artifact.config.get("pad_token_id") or 0)
        self._start = int(artifact.generation_config.get("decoder_start_token_id") or 0)
        self._past = [name for name in self._step.inputs if re.fullmatch(r"past_key_values\.\d+\.decoder\.\w+", name)]
        self._cross = [name for name in self._step.inputs if re.fullmatch(r"past_key_values\.\d+\.encoder\.\w+", name)]
        self._heads = self._sizes(artifact)

    def _sizes(self, artifact: Artifact) -> tuple[int, int]:
        """Heads and their size, from the graph where it says, else from the configuration."""
        _, heads, _, size = self._step.shapes[self._past[0]]
        if isinstance(heads, int) and isinstance(size, int):
            return heads, size
        config = artifact.config
        count = int(config.get("decoder_attention_heads") or config["num_heads"])
        return count, int(config.get("d_kv") or config["d_model"] // count)

    def encode(self, encodings: list[Encoding]) -> tuple[Caches, Array]:
        """One encoder pass: cross-attention caches [rows, heads, source, size] and the mask [rows, source]."""
        inputs = pad(encodings, self._pad_id, multiple=_SOURCE_MULTIPLE)
        outputs = self._encoder.run(inputs)
        if self._first is not None:
            outputs = self._run_first(self._first, outputs["last_hidden_state"], inputs["attention_mask"])
        caches = {}
        for name, value in outputs.items():
            if match := _CROSS.fullmatch(name):
                caches[f"past_key_values.{match[1]}.encoder.{match[2]}"] = value
        return caches, inputs["attention_mask"]

    def _run_first(self, graph: Graph, hidden: Tensor, mask: Array) -> Caches:
        rows = len(mask)
        feeds: dict[str, Any] = {
            "input_ids": np.full((rows, 1), self._start, dtype=np.int64),
            "encoder_attention_mask": mask,
            "encoder_hidden_states": hidden,
        }
        if self._merged:
            ignored = np.zeros((rows, self._heads[0], 1, self._heads[1]), dtype=np.float32)
            feeds |= {"use_cache_branch": np.array([False]), **dict.fromkeys(self._past + self._cross, ignored)}
        return graph.run(feeds, [name for name in graph.outputs if _CROSS.fullmatch(name)])

    def empty_past(self, rows: int) -> Caches:
        """Self-attention caches of length 0."""
        nothing = np.zeros((rows, self._heads[0], 0, self._heads[1]), dtype=np.float32)
        return {name: tensor(nothing) for name in self._past}

    def step(self, tokens: list[int], mask: Array, cross: Caches, past: Caches) -> tuple[Array, Caches]:
        """One decoder pass: logits [rows, vocabulary] after `tokens`, and the caches one longer."""
        feeds: dict[str, Any] = {
            "input_ids": np.array(tokens, dtype=np.int64)[:, None],
            "encoder_attention_mask": mask,
            **cross,
            **past,
        }
        if self._merged:
            rows, source = mask.shape
            hidden = self._step.shapes["encoder_hidden_states"][-1]
            width = hidden if isinstance(hidden, int) else self._heads[0] * self._heads[1]
            feeds["encoder_hidden_states"] = np.zeros((rows, source, width), dtype=np.float32)
            feeds["use_cache_branch"] = np.array([True])
        presents = [name.replace("past_key_values", "present") for name in self._past]
        outputs = self._step.run(feeds, ["logits", *presents])
        caches = {name: outputs[present] for name, present in zip(self._past, presents, strict=True)}
        return outputs["logits"].numpy()[:, -1], caches
