"""Texts that are written together, a token each at every step."""

from __future__ import annotations

from service.runtime.session import Array
from service.scheduling.job import Pass, Row
from service.seq2seq.search import Search, log_softmax
from service.seq2seq.steps import Steps


class DecodeBatch:
    """Rows of Prompts with as many beams each; those of a text live and die together."""

    def __init__(self, steps: Steps, writing: list[tuple[Row, Search]], beams: int) -> None:
        self.beams = beams
        self._steps = steps
        self._writing = writing

    def __len__(self) -> int:
        return len(self._writing)

    @property
    def rows(self) -> int:
        """Of a decoder pass."""
        return len(self._writing) * self.beams

    @property
    def source_tokens(self) -> int:
        """Of the longest source: what the others are padded to."""
        return max(self._steps.lengths)

    def merge(self, other: DecodeBatch) -> bool:
        """Let them write on together; False where the graph cannot do that."""
        if other.beams != self.beams or not self._steps.merge(other._steps):
            return False
        self._writing += other._writing
        return True

    def step(self) -> Pass:
        """One decoder pass, for which texts that nobody waits for stay no longer; those that end with it leave."""
        done = Pass([], 0, 0, 0)
        self._drop_cancelled(done)
        if not self._writing:
            return done
        scores = self._scores()
        done.rows = done.tokens = done.padded_tokens = self.rows
        kept: list[int] = []
        for index, (row, search) in enumerate(self._writing):
            first = index * self.beams
            search.advance(scores[first : first + self.beams])
            if search.finished:
                done.finished.append((row, search.written))
                continue
            kept.append(index)
            if row.streaming:
                done.partial_outputs.append((row, search.stable_prefix()))
        self._keep(kept, [_parents(search, self.beams) for _, search in self._writing])
        return done

    def _drop_cancelled(self, done: Pass) -> None:
        gone = [(row, search) for row, search in self._writing if row.job.cancelled]
        if gone:
            done.finished += [(row, None) for row, _ in gone]
            done.saved = sum(search.left for _, search in gone)
            kept = [index for index, (row, _) in enumerate(self._writing) if not row.job.cancelled]
            self._keep(kept, [list(range(self.beams))] * len(self._writing))

    def _scores(self) -> Array:
        """Logits for greedy search, log-probabilities for beams; [rows, vocabulary]."""
        tokens, places = [], []
        for _, search in self._writing:
            last = [beam[-1] for beam in search.beams]
            tokens += last + last[:1] * (self.beams - len(last))
            places += [search.steps] * self.beams
        logits = self._steps.run(tokens, places)
        return logits if self.beams == 1 else log_softmax(logits)

    def _keep(self, kept: list[int], parents: list[list[int]]) -> None:
        """Fill the places of those that leave from the end, so that few caches move; `parents` by text, as it was."""
        staying = set(kept)
        order = list(range(len(kept)))
        late = [index for index in kept if index >= len(kept)]
        for place in order:
            if place not in staying:
                order[place] = late.pop()
        self._writing = [self._writing[index] for index in order]
        if order:
            self._steps.keep(order, [parents[index] for index in order])


def _parents(search: Search, beams: int) -> list[int]:
    """Of as many beams as the text has rows; it has fewer before its first step."""
    return search.parents + [0] * (beams - len(search.parents))
