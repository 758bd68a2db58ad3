"""A batch of texts that are written together, one token of each at every step."""

from __future__ import annotations

from service.runtime.session import Array
from service.scheduling.job import Pass, Row
from service.seq2seq.search import Search, log_softmax
from service.seq2seq.steps import Steps


class DecodeBatch:
    """Texts with the same number of beams. Its length is the number of texts; each has `beams` rows of a pass."""

    def __init__(self, steps: Steps, searches: list[tuple[Row, Search]], beams: int) -> None:
        """`searches` stand in the order of the texts in `steps`."""
        self.beams = beams
        self._steps = steps
        self._searches = searches

    def __len__(self) -> int:
        return len(self._searches)

    @property
    def rows(self) -> int:
        """Rows of a decoder pass."""
        return len(self._searches) * self.beams

    @property
    def max_source_tokens(self) -> int:
        """Tokens of the longest source; the other sources are padded to them."""
        return max(self._steps.source_lengths)

    def merge(self, other: DecodeBatch) -> bool:
        """Take over the texts of `other`; returns False if the two cannot share a pass."""
        if other.beams != self.beams or not self._steps.merge(other._steps):
            return False
        self._searches += other._searches
        return True

    def step(self) -> Pass:
        """Remove cancelled texts, run one decoder pass, and remove the texts that it ends.

        Outputs of ended texts are their token ids, those of cancelled ones None.
        """
        done = Pass([], 0, 0, 0)
        self._drop_cancelled(done)
        if not self._searches:
            return done
        scores = self._scores()
        done.rows = done.tokens = done.padded_tokens = self.rows
        kept: list[int] = []
        for index, (row, search) in enumerate(self._searches):
            first = index * self.beams
            search.advance(scores[first : first + self.beams])
            if search.finished:
                done.finished.append((row, search.output_ids))
                continue
            kept.append(index)
            if row.streaming:
                done.partial_outputs.append((row, search.stable_prefix()))
        self._keep(kept, [_parents(search, self.beams) for _, search in self._searches])
        return done

    def _drop_cancelled(self, done: Pass) -> None:
        cancelled = [(row, search) for row, search in self._searches if row.job.cancelled]
        if cancelled:
            done.finished += [(row, None) for row, _ in cancelled]
            done.saved = sum(search.steps_left for _, search in cancelled)
            kept = [index for index, (row, _) in enumerate(self._searches) if not row.job.cancelled]
            self._keep(kept, [list(range(self.beams))] * len(self._searches))

    def _scores(self) -> Array:
        """One pass: logits for greedy search, log-probabilities for beam search; [rows, vocabulary]."""
        tokens, positions = [], []
        for _, search in self._searches:
            last = [beam[-1] for beam in search.beams]
            tokens += last + last[:1] * (self.beams - len(last))
            positions += [search.steps] * self.beams
        logits = self._steps.run(tokens, positions)
        return logits if self.beams == 1 else log_softmax(logits)

    def _keep(self, kept: list[int], parents: list[list[int]]) -> None:
        """Keep the texts `kept`; `parents` has those of every text, by its index before.

        Texts from the end take the places of those that leave, so that few caches are copied.
        """
        staying = set(kept)
        order = list(range(len(kept)))
        from_end = [index for index in kept if index >= len(kept)]
        for place in order:
            if place not in staying:
                order[place] = from_end.pop()
        self._searches = [self._searches[index] for index in order]
        if order:
            self._steps.keep(order, [parents[index] for index in order])


def _parents(search: Search, beams: int) -> list[int]:
    """The parents of all of a text's rows; a search has fewer beams than rows at its first step."""
    return search.parents + [0] * (beams - len(search.parents))
