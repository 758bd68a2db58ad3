"""Greedy and beam search for one text, a step at a time.

Both follow transformers 4.57's `generate` (GenerationMixin._sample without sampling, and ._beam_search), so that the
same weights give the same tokens.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from service.seq2seq.options import GenerationOptions, SpecialTokens
from service.seq2seq.source_names import LastWord, SourceNameConstraint

Scores = npt.NDArray[np.float32]

_NEVER = np.float32(-np.inf)


def log_softmax(logits: Scores) -> Scores:
    """Log-probabilities over the last axis; the logits are overwritten with them."""
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits


def _top_k(row: Scores, k: int) -> list[tuple[float, int]]:
    """The `k` highest scores with their tokens, best first, equal ones by token; `row` is overwritten.

    For so few of so many, finding the highest k times is faster than a partition.
    """
    found = []
    for _ in range(min(k, row.size)):
        token = int(row.argmax())
        found.append((float(row[token]), token))
        row[token] = _NEVER
    return found


def _repeating_tokens(sequence: list[int], size: int) -> list[int]:
    """Tokens that would complete an n-gram of `size` that `sequence` already holds."""
    if size <= 0 or len(sequence) + 1 < size:
        return []
    tail = sequence[len(sequence) - size + 1 :]
    return [
        sequence[index + size - 1]
        for index in range(len(sequence) - size + 1)
        if sequence[index : index + size - 1] == tail
    ]


class Search:
    """The search for one text. `beams` are its candidates, token ids from the start token on, all of one length.

    After each decoder pass over the last tokens of the beams, the caller gives the scores to `advance`, then reorders
    the caches by `parents`: beam i continues what was beam parents[i].
    """

    def __init__(
        self, options: GenerationOptions, special: SpecialTokens, names: SourceNameConstraint | None = None
    ) -> None:
        """`names` constrains the names that may be written; None allows all."""
        self._options = options
        self._special = special
        self._names = names
        self._last_words = [LastWord()]
        """The last word of each beam, if names are constrained."""
        self._ends = list(special.ends)
        self.beams: list[list[int]] = [[special.start]]
        self.parents = [0]
        self.finished = False
        self.output_ids: list[int] = []
        """The resulting token ids without the start and end tokens; set when finished."""

    @property
    def steps(self) -> int:
        """Tokens written so far in each beam."""
        return len(self.beams[0]) - 1

    @property
    def steps_left(self) -> int:
        """Steps until max_new_tokens is reached."""
        return self._options.max_new_tokens - self.steps

    def advance(self, scores: Scores) -> None:
        """Add a token to every beam.

        `scores` are [num_beams, vocabulary], logits for greedy search and log-probabilities for beam search, and may be
        overwritten. Rows beyond the number of `beams` are ignored.
        """
        raise NotImplementedError

    def stable_prefix(self) -> list[int]:
        """The token ids written so far that the result will begin with, whatever follows."""
        raise NotImplementedError

    def _constrain(self, scores: Scores) -> None:
        """Set the scores of tokens that may not come next to -inf, in place."""
        first, last = self.steps == 0, self.steps == self._options.max_new_tokens - 1
        for index, (row, beam) in enumerate(zip(scores, self.beams, strict=False)):
            # n-gram blocking is suspended inside a name, so that it can be completed.
            if self._names is None or self._names.may_end(self._last_words[index]):
                row[_repeating_tokens(beam, self._options.no_repeat_ngram_size)] = _NEVER
            row[list(self._special.banned)] = _NEVER
            if self.steps < self._options.min_new_tokens:
                row[self._ends] = _NEVER
            if first and self._special.forced_first is not None:
                _force(row, self._special.forced_first)
            if last and self._special.forced_last is not None:
                _force(row, self._special.forced_last)

    def _top_allowed(self, row: Scores, k: int, beam: int) -> list[tuple[float, int]]:
        """The `k` best tokens, as `_top_k`, that the constraint on names allows; fewer, or none, if it allows fewer."""
        if self._names is None:
            return _top_k(row, k)
        word, tokens_left = self._last_words[beam], self.steps_left - 1 - (self._special.forced_last is not None)
        if not self._names.may_end(word):
            found = [(float(row[token]), token) for token in self._names.completions(word, tokens_left)]
            return sorted((each for each in found if each[0] > _NEVER), key=lambda each: (-each[0], each[1]))[:k]
        allowed: list[tuple[float, int]] = []
        refused: list[tuple[float, int]] = []
        while len(allowed) < k:
            best = [each for each in _top_k(row, k - len(allowed)) if each[0] > _NEVER]
            if not best:
                break
            for each in best:
                (allowed if self._names.allows(word, each[1], tokens_left) else refused).append(each)
        if not allowed:
            for score, token in refused:
                row[token] = score
        return allowed

    def _top_unconstrained(self, row: Scores, k: int) -> list[tuple[float, int]]:
        """For where the constraint on names allows no token: the end tokens, or else the best of all."""
        ends = [(float(row[token]), token) for token in sorted(self._special.ends) if row[token] > _NEVER]
        return ends[:k] or _top_k(row, k)

    def _extend(self, parents: list[int], tokens: list[int]) -> None:
        """Make beam i what was beam parents[i], followed by tokens[i]."""
        if self._names is not None:
            next_word, words = self._names.next_word, self._last_words
            self._last_words = [next_word(words[parent], token) for parent, token in zip(parents, tokens, strict=True)]
        self.beams = [[*self.beams[parent], token] for parent, token in zip(parents, tokens, strict=True)]
        self.parents = parents

    def _finish(self, sequence: list[int]) -> None:
        self.finished = True
        self.output_ids = sequence[1:-1] if sequence[-1] in self._special.ends else sequence[1:]


def _force(row: Scores, token: int) -> None:
    row[:] = _NEVER
    row[token] = 0.0


class GreedySearch(Search):
    """Takes the most likely token at each step."""

    def advance(self, scores: Scores) -> None:
        self._constrain(scores)
        ((_, token),) = self._top_allowed(scores[0], 1, 0) or self._top_unconstrained(scores[0], 1)
        self._extend([0], [token])
        if token in self._special.ends or self.steps == self._options.max_new_tokens:
            self._finish(self.beams[0])

    def stable_prefix(self) -> list[int]:
        return self.beams[0][1:]


class BeamSearch(Search):
    """Follows the `num_beams` most likely texts; the complete text with the best length-normalized score is taken."""

    def __init__(
        self, options: GenerationOptions, special: SpecialTokens, names: SourceNameConstraint | None = None
    ) -> None:
        super().__init__(options, special, names)
        self._scores = np.zeros(1, dtype=np.float32)
        self._complete: list[tuple[float, list[int]]] = []

    def _candidates(self, scores: Scores, k: int) -> list[tuple[float, int, int]]:
        """The `k` best continuations: (score, beam, token), best first, equal ones by beam and token."""
        beams = range(len(self.beams))
        best = [self._top_allowed(scores[beam], k, beam) for beam in beams]
        if not any(best):
            best = [self._top_unconstrained(scores[beam], k) for beam in beams]
        # Sums in float32, as in transformers: float64 would order texts that are equal there.
        found = [
            (float(np.float32(score) + so_far), parent, token)
            for parent, so_far in enumerate(self._scores)
            for score, token in best[parent]
        ]
        found.sort(key=lambda each: (-each[0], each[1], each[2]))
        return found[:k]

    def advance(self, scores: Scores) -> None:
        self._constrain(scores)
        width = self._options.num_beams
        # Enough candidates for `width` beams to continue even if every beam's best ones are end tokens.
        candidates = self._candidates(scores, max(2, 1 + len(self._ends)) * width)
        is_last = self.steps + 1 == self._options.max_new_tokens
        continuing: list[tuple[float, int, int]] = []
        completed: list[tuple[float, list[int]]] = []
        for rank, (total, parent, token) in enumerate(candidates):
            if token in self._special.ends or is_last:
                if rank < width:
                    length = self.steps + 1
                    score = total / length**self._options.length_penalty
                    completed.append((score, [*self.beams[parent], token]))
            elif len(continuing) < width:
                continuing.append((total, parent, token))
        self._add_complete(completed)
        if is_last or not continuing:
            self._finish(self._complete[0][1])
            return
        self._scores = np.array([score for score, _, _ in continuing], dtype=np.float32)
        self._extend([parent for _, parent, _ in continuing], [token for _, _, token in continuing])
        if self._is_decided():
            self._finish(self._complete[0][1])

    def stable_prefix(self) -> list[int]:
        first, *others = *self.beams, *(text for _, text in self._complete)
        size = 1
        while size < len(first) and all(other[size : size + 1] == first[size : size + 1] for other in others):
            size += 1
        return first[1:size]

    def _add_complete(self, completed: list[tuple[float, list[int]]]) -> None:
        """Keep the best complete texts. Sorting is stable, so of equal ones the earlier stays ahead."""
        merged = sorted(self._complete + completed, key=lambda entry: entry[0], reverse=True)
        self._complete = merged[: self._options.num_beams]

    def _is_decided(self) -> bool:
        """Whether enough texts are complete, and the best running beam would not beat the worst of them as it is."""
        if len(self._complete) < self._options.num_beams:
            return False
        if self._options.early_stopping:
            return True
        best_running = float(self._scores[0]) / self.steps**self._options.length_penalty
        return bool(best_running <= self._complete[-1][0])


def new_search(options: GenerationOptions, special: SpecialTokens, names: SourceNameConstraint | None = None) -> Search:
    """A greedy search for one beam, a beam search for more."""
    return (GreedySearch if options.num_beams == 1 else BeamSearch)(options, special, names)
