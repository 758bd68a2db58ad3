"""Summarization: an encoder-decoder writes a shorter text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from service.answers import Answer
from service.artifact import Artifact
from service.encoding import Encoding, Tokenizer
from service.errors import InvalidInput
from service.generation.decoding import Decoder, Prompt
from service.generation.options import GenerationOptions, default_options, special_tokens
from service.generation.seq2seq import Seq2SeqGraphs
from service.schemas import SummarizeParameters
from service.tasks.rounds import Rounds

_DEFAULT_POSITIONS = 512
_HALF_A_CHARACTER = "\ufffd"  # what some of the bytes of a character are decoded to


class Summarization:
    """Summarizes texts with one model; what a request leaves open is the model's own default."""

    route = "summarize"

    def __init__(self, artifact: Artifact, *, batch_tokens: int, wide_threads: int) -> None:
        config = artifact.generation_config
        self._tokenizer = Tokenizer(artifact.folder)
        self._max_tokens = artifact.max_tokens
        graphs = Seq2SeqGraphs(artifact, batch_tokens=batch_tokens, wide_threads=wide_threads)
        self.model = Decoder(graphs, special_tokens(config))
        self._defaults = default_options(config, artifact.serving)
        self._longest = (
            int(config.get("max_position_embeddings") or config.get("n_positions") or _DEFAULT_POSITIONS) - 1
        )
        own = (config.get("task_specific_params") or {}).get("summarization") or {}
        self._prefix = str(config.get("prefix") or own.get("prefix") or "")

    def options(self, parameters: SummarizeParameters) -> GenerationOptions:
        """The model's defaults with the request's choices; raises InvalidInput for more tokens than it can write."""
        chosen = replace(self._defaults, **parameters.model_dump(exclude_none=True))
        if chosen.max_new_tokens > self._longest:
            raise InvalidInput(f"max_new_tokens is {chosen.max_new_tokens}; this model writes {self._longest} at most.")
        if chosen.min_new_tokens > chosen.max_new_tokens:
            if parameters.min_new_tokens is not None:
                raise InvalidInput(
                    f"min_new_tokens is {chosen.min_new_tokens}, above max_new_tokens, {chosen.max_new_tokens}."
                )
            chosen = replace(chosen, min_new_tokens=chosen.max_new_tokens)
        return chosen

    def prepare(self, text: str, parameters: SummarizeParameters) -> tuple[Prompt, list[tuple[Prompt, int]]]:
        """What `finish` wants back, and the row to run."""
        encoding = self._tokenizer.encode(self._prefix + text, self._max_tokens)
        if encoding.truncated_at is not None:
            at = max(0, encoding.truncated_at - len(self._prefix))
            encoding = Encoding(encoding.ids, encoding.type_ids, at)
        prompt = Prompt(encoding, self.options(parameters))
        return prompt, [(prompt, len(encoding))]

    def finish(self, prompt: Prompt, outputs: list[list[int]], parameters: SummarizeParameters) -> dict[str, Any]:
        """The summary, and whether it ended by itself."""
        del parameters
        return {
            "summary": self._tokenizer.decode(outputs[0]),
            "finish_reason": "length" if len(outputs[0]) >= prompt.options.max_new_tokens else "stop",
            "truncated": prompt.encoding.truncated_at is not None,
            "truncated_at": prompt.encoding.truncated_at,
        }

    def run(self, text: str, parameters: SummarizeParameters) -> Rounds:
        """The summary of one text."""
        prompt, rows = self.prepare(text, parameters)
        outputs = yield rows
        return Answer(self.finish(prompt, outputs, parameters), len(prompt.encoding), len(outputs[0]))

    def text_so_far(self, tokens: list[int]) -> str:
        """What a reader may see of a summary whose beginning these are: no part of a character, no space at the end."""
        return self._tokenizer.decode(tokens).rstrip(_HALF_A_CHARACTER).rstrip()

    def text_of(self, result: dict[str, Any]) -> str:
        """What the pieces of a stream add up to."""
        return str(result["summary"])
