"""Greedy and beam search for one text, fed with logits a step at a time.

Both follow transformers 4.57's `generate` (GenerationMixin._sample without sampling, and ._beam_search), so that the
same weights write the same tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from service.seq2seq.options import GenerationOptions, SpecialTokens
from service.seq2seq.source_names import SourceNameConstraint, Word

Scores = np.ndarray[Any, np.dtype[np.float32]]

_NEVER = np.float32(-np.inf)


def log_softmax(logits: Scores) -> Scores:
    """Log-probabilities over the last axis, in the place of the logits."""
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits


def _best(row: Scores, count: int) -> list[tuple[float, int]]:
    """The `count` highest with their places, best first, of equals the first; `row` is overwritten.

    To look for the highest so many times is faster than a partition, for so few of so many.
    """
    found = []
    for _ in range(min(count, row.size)):
        place = int(row.argmax())
        found.append((float(row[place]), place))
        row[place] = _NEVER
    return found


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

    The decoder feeds the last token of each beam, hands what comes out to `advance`, then reorders its caches by
    `parents`: beam i goes on from what was beam parents[i].
    """

    def __init__(
        self, options: GenerationOptions, special: SpecialTokens, names: SourceNameConstraint | None = None
    ) -> None:
        """`names`: the rule for names, if it is to be kept."""
        self._options = options
        self._special = special
        self._names = names
        self._words = [Word()]  # that each beam ends in; kept where the rule is
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

    @property
    def left(self) -> int:
        """Steps that it may still take."""
        return self._options.max_new_tokens - self.steps

    def advance(self, scores: Scores) -> None:
        """Take the next token of every beam.

        `scores` is [num_beams, vocabulary] and may be overwritten: logits for greedy search, log-probabilities for
        beams; rows beyond those of `beams` mean nothing.
        """
        raise NotImplementedError

    def stable_prefix(self) -> list[int]:
        """The tokens written so far that every outcome will begin with."""
        raise NotImplementedError

    def _constrain(self, scores: Scores) -> None:
        """Rule out what may not be written next, in place."""
        first, last = self.steps == 0, self.steps == self._options.max_new_tokens - 1
        for index, (row, beam) in enumerate(zip(scores, self.beams, strict=False)):
            # A name that was begun is ended, though it was written before.
            if self._names is None or self._names.may_end(self._words[index]):
                row[_repeats(beam, self._options.no_repeat_ngram_size)] = _NEVER
            row[list(self._special.banned)] = _NEVER
            if self.steps < self._options.min_new_tokens:
                row[self._ends] = _NEVER
            if first and self._special.forced_first is not None:
                _only(row, self._special.forced_first)
            if last and self._special.forced_last is not None:
                _only(row, self._special.forced_last)

    def _likeliest(self, row: Scores, count: int, beam: int) -> list[tuple[float, int]]:
        """As `_best`, of what the rule for names allows; fewer, or none, where it allows no more."""
        if self._names is None:
            return _best(row, count)
        word, left = self._words[beam], self.left - 1 - (self._special.forced_last is not None)
        if not self._names.may_end(word):
            going_on = [(float(row[token]), token) for token in self._names.completing(word, left)]
            return sorted((each for each in going_on if each[0] > _NEVER), key=lambda each: (-each[0], each[1]))[:count]
        found: list[tuple[float, int]] = []
        refused: list[tuple[float, int]] = []
        while len(found) < count:
            best = [each for each in _best(row, count - len(found)) if each[0] > _NEVER]
            if not best:
                break
            for each in best:
                (found if self._names.allows(word, each[1], left) else refused).append(each)
        if not found:
            for score, token in refused:
                row[token] = score
        return found

    def _despite(self, row: Scores, count: int) -> list[tuple[float, int]]:
        """Where the rule for names allows nothing: the end, or whatever there is."""
        ends = [(float(row[token]), token) for token in sorted(self._special.ends) if row[token] > _NEVER]
        return ends[:count] or _best(row, count)

    def _go_on(self, parents: list[int], tokens: list[int]) -> None:
        """Let beam i be what was beam parents[i], with a token more."""
        if self._names is not None:
            after = self._names.after
            self._words = [after(self._words[parent], token) for parent, token in zip(parents, tokens, strict=True)]
        self.beams = [[*self.beams[parent], token] for parent, token in zip(parents, tokens, strict=True)]
        self.parents = parents

    def _finish(self, sequence: list[int]) -> None:
        self.finished = True
        self.written = sequence[1:-1] if sequence[-1] in self._special.ends else sequence[1:]


def _only(row: Scores, token: int) -> None:
    row[:] = _NEVER
    row[token] = 0.0


class GreedySearch(Search):
    """The likeliest token at each step."""

    def advance(self, scores: Scores) -> None:
        self._constrain(scores)
        ((_, token),) = self._likeliest(scores[0], 1, 0) or self._despite(scores[0], 1)
        self._go_on([0], [token])
        if token in self._special.ends or self.steps == self._options.max_new_tokens:
            self._finish(self.beams[0])

    def stable_prefix(self) -> list[int]:
        return self.beams[0][1:]


class BeamSearch(Search):
    """The `num_beams` likeliest texts side by side; the best complete one by length-normalised score wins."""

    def __init__(
        self, options: GenerationOptions, special: SpecialTokens, names: SourceNameConstraint | None = None
    ) -> None:
        super().__init__(options, special, names)
        self._scores = np.zeros(1, dtype=np.float32)
        self._complete: list[tuple[float, list[int]]] = []

    def _candidates(self, scores: Scores, wanted: int) -> list[tuple[float, int, int]]:
        """The best continuations of all beams: score, beam and token, best first, of equals the first."""
        beams = range(len(self.beams))
        best = [self._likeliest(scores[beam], wanted, beam) for beam in beams]
        if not any(best):
            best = [self._despite(scores[beam], wanted) for beam in beams]
        # float32 as the weights are, or sums would tell apart what transformers' do not.
        found = [
            (float(np.float32(score) + so_far), parent, token)
            for parent, so_far in enumerate(self._scores)
            for score, token in best[parent]
        ]
        found.sort(key=lambda each: (-each[0], each[1], each[2]))
        return found[:wanted]

    def advance(self, scores: Scores) -> None:
        self._constrain(scores)
        width = self._options.num_beams
        # Enough that `width` beams go on even if each best one ends here.
        candidates = self._candidates(scores, max(2, 1 + len(self._ends)) * width)
        out_of_room = self.steps + 1 == self._options.max_new_tokens
        going_on: list[tuple[float, int, int]] = []
        completed: list[tuple[float, list[int]]] = []
        for rank, (total, parent, token) in enumerate(candidates):
            if token in self._special.ends or out_of_room:
                if rank < width:
                    length = self.steps + 1
                    score = total / length**self._options.length_penalty
                    completed.append((score, [*self.beams[parent], token]))
            elif len(going_on) < width:
                going_on.append((total, parent, token))
        self._keep(completed)
        if out_of_room or not going_on:
            self._finish(self._complete[0][1])
            return
        self._scores = np.array([score for score, _, _ in going_on], dtype=np.float32)
        self._go_on([parent for _, parent, _ in going_on], [token for _, _, token in going_on])
        if self._decided():
            self._finish(self._complete[0][1])

    def stable_prefix(self) -> list[int]:
        first, *others = *self.beams, *(text for _, text in self._complete)
        size = 1
        while size < len(first) and all(other[size : size + 1] == first[size : size + 1] for other in others):
            size += 1
        return first[1:size]

    def _keep(self, completed: list[tuple[float, list[int]]]) -> None:
        """Keep the best complete texts; sorting is stable, so of equals the earlier stays ahead."""
        merged = sorted(self._complete + completed, key=lambda entry: entry[0], reverse=True)
        self._complete = merged[: self._options.num_beams]

    def _decided(self) -> bool:
        """Whether enough texts are complete and no running beam looks like beating the worst of them."""
        if len(self._complete) < self._options.num_beams:
            return False
        if self._options.early_stopping:
            return True
        hope = float(self._scores[0]) / self.steps**self._options.length_penalty
        return bool(hope <= self._complete[-1][0])


def new_search(options: GenerationOptions, special: SpecialTokens, names: SourceNameConstraint | None = None) -> Search:
    """Greedy for one beam, beam search for more."""
    return (GreedySearch if options.num_beams == 1 else BeamSearch)(options, special, names)
