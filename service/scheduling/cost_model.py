"""What a forward pass costs: t(rows, tokens), measured on this machine and kept current by every pass.

A pass of r rows, padded to L tokens each, takes

    t = a + b r + c rL + d rL² + e (rL)²

for the pass itself, each row, each token, attention between the tokens of a row, and CPU caches that overflow. The five
coefficients are fitted by least squares of relative errors: single measurements are too noisy to distinguish batches of
four rows from batches of five, and shapes that were never run are estimated from those that were.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_ROWS = (1, 2, 4, 8, 16, 32)
_TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
# The prior, before anything is measured: a small int8 encoder on one core. Soon only its shape matters.
_PASS_S, _TOKEN_S = 0.8e-3, 0.1e-3
_SCALE = np.array([1, 1 / 8, 1 / 128, 1 / 128**2, 1 / 128**2])
"""Brings the five terms to similar magnitudes."""
_LEARN_PASSES, _LEARN_S = 64, 0.5
"""The coefficients are fitted again after this many passes, or this many seconds of passes."""
_DECAY = 0.9 ** (1 / 64)
"""Factor on the weight of older passes with each new one: about 600 passes count."""
_WARM_UP_WEIGHT, _PRIOR_WEIGHT = 3.0, 1e-3
_MIN_RATIO, _MAX_RATIO = 0.5, 2.0
"""Bounds of a single pass's seconds over the estimate; what lies beyond is a disturbance and cut off."""
_MIN_S = 1e-6

Array = npt.NDArray[np.float64]
_Measured = tuple[int, int, float]


class CostModel:
    """Estimates the seconds of a pass from its rows and the padded tokens of each. Thread-safe."""

    def __init__(
        self, *, max_tokens: int, batch_tokens: int, pass_s: float = _PASS_S, token_s: float = _TOKEN_S
    ) -> None:
        """`max_tokens` of a row; `batch_tokens` of a pass of several rows, padding included.

        Until something is measured, a pass is estimated at `pass_s` plus `token_s` for each token.
        """
        self.batch_tokens = batch_tokens
        self._max_tokens = max_tokens
        self._set_coefficients(np.array([pass_s, 0.0, token_s, 0.0, 0.0]) / _SCALE)
        # Sums of the least squares: what does not fade (prior, warm-up), and what does.
        self._kept = (_PRIOR_WEIGHT * np.eye(5) / pass_s**2, _PRIOR_WEIGHT * self._factors / pass_s**2)
        self._fading = (np.zeros((5, 5)), np.zeros(5))
        self._seen: list[_Measured] = []
        self._seen_s = 0.0
        self._is_prior = True
        self._lock = threading.Lock()

    def shapes(self) -> list[tuple[int, int]]:
        """The shapes (rows, tokens) that a warm-up measures, cheap ones first."""
        lengths = [tokens for tokens in _TOKENS if tokens < self._max_tokens] + [self._max_tokens]
        points = [(rows, tokens) for tokens in lengths for rows in _ROWS]
        small = [(rows, tokens) for rows, tokens in points if rows * tokens <= self.batch_tokens]
        return sorted(small, key=lambda shape: shape[0] * shape[1])

    def column(self, tokens: int) -> list[float]:
        """Seconds of passes at this length: element r is for r rows, element 0 is 0. Ends where `batch_tokens` does."""
        column = self._columns.get(tokens)
        if column is None:
            rows = max(1, min(_ROWS[-1], self.batch_tokens // tokens))
            column = self._columns[tokens] = [0.0, *(self.seconds(each, tokens) for each in range(1, rows + 1))]
        return column

    def seconds(self, rows: int, tokens: int) -> float:
        """Estimated seconds of one pass over `rows` rows, padded to `tokens` each."""
        a, b, c, d, e = self._terms
        padded = rows * tokens
        return max(_MIN_S, a + b * rows + padded * (c + d * tokens + e * padded))

    def amortized_s(self, tokens: int) -> float:
        """A row's share of the cheapest pass at this length, in seconds."""
        amortized_s = self._amortized_s.get(tokens)
        if amortized_s is None:
            column = self.column(tokens)
            amortized_s = self._amortized_s[tokens] = min(seconds / rows for rows, seconds in enumerate(column[1:], 1))
        return amortized_s

    def measured(self, rows: int, tokens: int, seconds: float) -> None:
        """Record a pass of the warm-up. It is never forgotten, but the passes of real requests soon outweigh it."""
        with self._lock:
            passes = [(rows, tokens, max(seconds, _MIN_S))]
            self._scale_prior(passes)
            squares, products = self._sums(passes)
            self._kept = (self._kept[0] + _WARM_UP_WEIGHT * squares, self._kept[1] + _WARM_UP_WEIGHT * products)
            self._fit()

    def record(self, rows: int, tokens: int, seconds: float) -> None:
        """Record a pass of real requests."""
        with self._lock:
            self._seen.append((rows, tokens, max(seconds, _MIN_S)))
            self._seen_s += seconds
            if len(self._seen) < _LEARN_PASSES and self._seen_s < _LEARN_S:
                return
            passes, self._seen, self._seen_s = self._seen, [], 0.0
            self._scale_prior(passes)
            squares, products = self._sums([self._clipped(*each) for each in passes])
            decay = _DECAY ** len(passes)
            self._fading = (decay * self._fading[0] + squares, decay * self._fading[1] + products)
            self._fit()

    def _clipped(self, rows: int, tokens: int, seconds: float) -> _Measured:
        estimated_s = self.seconds(rows, tokens)
        return rows, tokens, min(max(seconds, _MIN_RATIO * estimated_s), _MAX_RATIO * estimated_s)

    def _scale_prior(self, passes: Sequence[_Measured]) -> None:
        """Scale the prior to the first passes measured: only its shape is kept."""
        if self._is_prior:
            self._is_prior = False
            ratio = float(np.median([seconds / self.seconds(rows, tokens) for rows, tokens, seconds in passes]))
            self._set_coefficients(self._factors * ratio)
            self._kept = (self._kept[0] / ratio**2, self._kept[1] / ratio)

    @staticmethod
    def _sums(passes: Sequence[_Measured]) -> tuple[Array, Array]:
        """Normal equations of these passes, weighted so that relative errors are minimized."""
        rows, tokens, seconds = np.array(passes).T
        padded = rows * tokens
        terms = np.stack([np.ones_like(rows), rows, padded, padded * tokens, padded * padded], axis=1) * _SCALE
        terms /= seconds[:, None]
        return terms.T @ terms, terms.sum(axis=0)

    def _fit(self) -> None:
        squares, products = self._kept[0] + self._fading[0], self._kept[1] + self._fading[1]
        self._set_coefficients(np.linalg.lstsq(squares, products)[0])  # unlike solve(), it accepts nearly singular ones

    def _set_coefficients(self, factors: npt.NDArray[np.floating]) -> None:
        self._factors = factors
        self._terms: list[float] = (factors * _SCALE).tolist()  # numpy's own numbers take ten times as long
        self._columns: dict[int, list[float]] = {}
        self._amortized_s: dict[int, float] = {}
