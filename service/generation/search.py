"""Greedy and beam search for one text, fed with logits a step at a time.

Both follow transformers 4.57's `generate` (GenerationMixin._sample without sampling, and ._beam_search), so that the
same weights write the same tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from service.generation.options import GenerationOptions, SpecialTokens

Scores = np.ndarray[Any, np.dtype[np.float32]]

_NEVER = np.float32(-np.inf)


def log_softmax(logits: Scores) -> Scores:
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _repeats(sequence: list[int], size: int) -> list[int]:
    """Tokens that would complete an n-gram of `size` which `sequence` already holds."""
    if size <= 0 or len(sequence) + 1 < size:
        return []
    tail = sequence[len(sequence) - size + 1 :]
    return [
        sequence[index + size - 1]
        for index in range(len(sequence) - size + 1)
        if sequence[index : index + size - 1] == tail
    ]


class Search:
    """One text being written. Subclasses keep `beams`, all of one length, each from the start token on.

    The decoder feeds the last token of each beam, hands the logits to `advance`, then reorders its caches by
    `parents`: beam i goes on from what was beam parents[i].
    """

    def __init__(self, options: GenerationOptions, special: SpecialTokens) -> None:
        self._options = options
        self._special = special
        self._ends = list(special.ends)
        self.beams: list[list[int]] = [[special.start]]
        self.parents = [0]
        self.finished = False
        self.written: list[int] = []
        """The result, without the start token and the end token; set when finished."""

    @property
    def steps(self) -> int:
        """Tokens written so far in each beam."""
        return len(self.beams[0]) - 1

    def advance(self, logits: Scores) -> None:
        """Take the next token of every beam; `logits` is [beams, vocabulary] and may be overwritten."""
        raise NotImplementedError

    def _constrain(self, scores: Scores) -> None:
        """Rule out what may not be written next, in place."""
        first, last = self.steps == 0, self.steps == self._options.max_new_tokens - 1
        for row, beam in zip(scores, self.beams, strict=True):
            row[_repeats(beam, self._options.no_repeat_ngram_size)] = _NEVER
            row[list(self._special.banned)] = _NEVER
            if self.steps < self._options.min_new_tokens:
                row[self._ends] = _NEVER
            if first and self._special.forced_first is not None:
                _only(row, self._special.forced_first)
            if last and self._special.forced_last is not None:
                _only(row, self._special.forced_last)

    def _finish(self, sequence: list[int]) -> None:
        self.finished = True
        self.written = sequence[1:-1] if sequence[-1] in self._special.ends else sequence[1:]


def _only(row: Scores, token: int) -> None:
    row[:] = _NEVER
    row[token] = 0.0


class GreedySearch(Search):
    """The likeliest token at each step."""

    def advance(self, logits: Scores) -> None:
        self._constrain(logits)
        token = int(logits[0].argmax())
        beam = self.beams[0]
        beam.append(token)
        if token in self._special.ends or self.steps == self._options.max_new_tokens:
            self._finish(beam)


class BeamSearch(Search):
    """The `num_beams` likeliest texts side by side; the best complete one by length-normalised score wins."""

    def __init__(self, options: GenerationOptions, special: SpecialTokens) -> None:
        super().__init__(options, special)
        self._scores = np.zeros(1, dtype=np.float32)
        self._complete: list[tuple[float, list[int]]] = []

    def advance(self, logits: Scores) -> None:
        scores = log_softmax(logits)
        self._constrain(scores)
        total = (scores + self._scores[:, None]).ravel()
        vocabulary = logits.shape[-1]
        width = self._options.num_beams
        # Enough that `width` beams go on even if each best one ends here.
        wanted = min(max(2, 1 + len(self._ends)) * width, total.size)
        best = np.argpartition(-total, wanted - 1)[:wanted]
        best = best[np.lexsort((best, -total[best]))]
        out_of_room = self.steps + 1 == self._options.max_new_tokens
        going_on: list[tuple[np.float32, int, int]] = []
        completed: list[tuple[float, list[int]]] = []
        for rank, flat in enumerate(best):
            parent, token = divmod(int(flat), vocabulary)
            if token in self._special.ends or out_of_room:
                if rank < width:
                    length = self.steps + 1
                    score = float(total[flat]) / length**self._options.length_penalty
                    completed.append((score, [*self.beams[parent], token]))
            elif len(going_on) < width:
                going_on.append((total[flat], parent, token))
        self._keep(completed)
        if out_of_room or not going_on:
            self._finish(self._complete[0][1])
            return
        self._scores = np.array([score for score, _, _ in going_on], dtype=np.float32)
        self.parents = [parent for _, parent, _ in going_on]
        self.beams = [[*self.beams[parent], token] for _, parent, token in going_on]
        if self._settled():
            self._finish(self._complete[0][1])

    def _keep(self, completed: list[tuple[float, list[int]]]) -> None:
        """Keep the best complete texts; sorting is stable, so of equals the earlier stays ahead."""
        merged = sorted(self._complete + completed, key=lambda entry: entry[0], reverse=True)
        self._complete = merged[: self._options.num_beams]

    def _settled(self) -> bool:
        """Whether enough texts are complete and no running beam looks like beating the worst of them."""
        if len(self._complete) < self._options.num_beams:
            return False
        if self._options.early_stopping:
            return True
        hope = float(self._scores[0]) / self.steps**self._options.length_penalty
        return bool(hope <= self._complete[-1][0])


def new_search(options: GenerationOptions, special: SpecialTokens) -> Search:
    """Greedy for one beam, beam search for more."""
    return (GreedySearch if options.num_beams == 1 else BeamSearch)(options, special)
