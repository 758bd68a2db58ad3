"""What a forward pass costs: t(rows, tokens), measured on this machine and kept current by every pass.

A pass of r rows, padded to L tokens each, takes

    t = a + b r + c rL + d rL² + e (rL)²

for what it costs at all, a row, a token, attention between the tokens of a row, and caches that overflow. The five are
fitted by least squares of relative errors: single measurements are too noisy to tell batches of four rows from batches
of five, and what was never run yet is told by what was.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

_ROWS = (1, 2, 4, 8, 16, 32)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# Before anything is measured: a small int8 encoder on one core. Only the shape matters, and only for a moment.
_PASS_S, _TOKEN_S = 0.8e-3, 0.1e-3
_SCALE = np.array([1, 1 / 8, 1 / 128, 1 / 128**2, 1 / 128**2])
"""Brings the five terms to like size."""
_LEARN_PASSES, _LEARN_S = 64, 0.5
"""Learn when so many passes were seen, or so much of them."""
_DECAY = 0.9 ** (1 / 64)
"""Of what older passes say, with each new one: about 600 are remembered."""
_WARM_UP_WEIGHT, _PRIOR_WEIGHT = 3.0, 1e-3
_LEAST_RATIO, _LARGEST_RATIO = 0.5, 2.0
"""A single pass may differ by so much from what is known; the rest was a disturbance."""
_LEAST_S = 1e-6

Array = np.ndarray[Any, np.dtype[np.float64]]
_Measured = tuple[int, int, float]


class CostModel:
    """Seconds of a pass by rows and padded tokens a row. Thread-safe."""

    def __init__(
        self, *, max_tokens: int, batch_tokens: int, pass_s: float = _PASS_S, token_s: float = _TOKEN_S
    ) -> None:
        """`max_tokens` a row may have; `batch_tokens` a pass may hold, padding included, unless of a single row.

        Until something is measured, a pass costs `pass_s` and `token_s` for each token.
        """
        self.batch_tokens = batch_tokens
        self._max_tokens = max_tokens
        self._set_coefficients(np.array([pass_s, 0.0, token_s, 0.0, 0.0]) / _SCALE)
        # Sums of the least squares: what does not fade (prior, warm-up), and what does.
        self._kept = (_PRIOR_WEIGHT * np.eye(5) / pass_s**2, _PRIOR_WEIGHT * self._factors / pass_s**2)
        self._fading = (np.zeros((5, 5)), np.zeros(5))
        self._seen: list[_Measured] = []
        self._seen_s = 0.0
        self._untold = True
        self._lock = threading.Lock()

    def shapes(self) -> list[tuple[int, int]]:
        """(rows, tokens) that a warm-up measures, cheap ones first."""
        lengths = [tokens for tokens in _TOKENS if tokens < self._max_tokens] + [self._max_tokens]
        points = [(rows, tokens) for tokens in lengths for rows in _ROWS]
        small = [(rows, tokens) for rows, tokens in points if rows * tokens <= self.batch_tokens]
        return sorted(small, key=lambda shape: shape[0] * shape[1])

    def column(self, tokens: int) -> list[float]:
        """Seconds by rows at this length: [r] is a pass of r rows, [0] is 0. As long as the token budget allows."""
        column = self._columns.get(tokens)
        if column is None:
            rows = max(1, min(_ROWS[-1], self.batch_tokens // tokens))
            column = self._columns[tokens] = [0.0, *(self.seconds(each, tokens) for each in range(1, rows + 1))]
        return column

    def seconds(self, rows: int, tokens: int) -> float:
        """One pass."""
        a, b, c, d, e = self._terms
        padded = rows * tokens
        return max(_LEAST_S, a + b * rows + padded * (c + d * tokens + e * padded))

    def amortized_s(self, tokens: int) -> float:
        """A row's part of the cheapest pass at this length."""
        amortized_s = self._amortized_s.get(tokens)
        if amortized_s is None:
            column = self.column(tokens)
            amortized_s = self._amortized_s[tokens] = min(seconds / rows for rows, seconds in enumerate(column[1:], 1))
        return amortized_s

    def measured(self, rows: int, tokens: int, seconds: float) -> None:
        """A warm-up's pass: never forgotten, but outweighed by what the service's own passes say."""
        with self._lock:
            passes = [(rows, tokens, max(seconds, _LEAST_S))]
            self._scale_prior(passes)
            squares, products = self._sums(passes)
            self._kept = (self._kept[0] + _WARM_UP_WEIGHT * squares, self._kept[1] + _WARM_UP_WEIGHT * products)
            self._fit()

    def record(self, rows: int, tokens: int, seconds: float) -> None:
        """A pass of the service."""
        with self._lock:
            self._seen.append((rows, tokens, max(seconds, _LEAST_S)))
            self._seen_s += seconds
            if len(self._seen) < _LEARN_PASSES and self._seen_s < _LEARN_S:
                return
            passes, self._seen, self._seen_s = self._seen, [], 0.0
            self._scale_prior(passes)
            squares, products = self._sums([self._believed(*each) for each in passes])
            decay = _DECAY ** len(passes)
            self._fading = (decay * self._fading[0] + squares, decay * self._fading[1] + products)
            self._fit()

    def _believed(self, rows: int, tokens: int, seconds: float) -> _Measured:
        known_s = self.seconds(rows, tokens)
        return rows, tokens, min(max(seconds, _LEAST_RATIO * known_s), _LARGEST_RATIO * known_s)

    def _scale_prior(self, passes: Sequence[_Measured]) -> None:
        """The first passes say how fast this model is at all; the prior keeps its shape only."""
        if self._untold:
            self._untold = False
            ratio = float(np.median([seconds / self.seconds(rows, tokens) for rows, tokens, seconds in passes]))
            self._set_coefficients(self._factors * ratio)
            self._kept = (self._kept[0] / ratio**2, self._kept[1] / ratio)

    @staticmethod
    def _sums(passes: Sequence[_Measured]) -> tuple[Array, Array]:
        """Normal equations of these passes, each weighted for its relative error."""
        rows, tokens, seconds = np.array(passes).T
        padded = rows * tokens
        terms = np.stack([np.ones_like(rows), rows, padded, padded * tokens, padded * padded], axis=1) * _SCALE
        terms /= seconds[:, None]
        return terms.T @ terms, terms.sum(axis=0)

    def _fit(self) -> None:
        squares, products = self._kept[0] + self._fading[0], self._kept[1] + self._fading[1]
        self._set_coefficients(np.linalg.lstsq(squares, products)[0])  # nearly singular is no error to it

    def _set_coefficients(self, factors: np.ndarray[Any, np.dtype[np.floating[Any]]]) -> None:
        self._factors = factors
        self._terms: list[float] = (factors * _SCALE).tolist()  # numpy's own numbers take ten times as long
        self._columns: dict[int, list[float]] = {}
        self._amortized_s: dict[int, float] = {}
