"""How sentence-transformers makes one vector of a text: pooling, what follows it, and prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.artifact import Artifact, read_json
from service.errors import ArtifactError
from service.runtime.session import Array

_LEGACY_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Modes by their keys in 1_Pooling/config.json, in the order in which the vectors of several are joined."""
_NO_CHANGE = "Dropout"
_SMALLEST_LENGTH = 1e-12  # as torch's normalize(): a vector of zeros stays one


def unit(vector: Array) -> Array:
    """The vector scaled to length 1."""
    return np.asarray(vector / max(math.sqrt(vector @ vector), _SMALLEST_LENGTH))


def _weighted_mean(states: Array, begin: int) -> Array:
    weights = np.arange(begin + 1, begin + len(states) + 1, dtype=states.dtype)
    return np.asarray(np.add.reduce(states * weights[:, None]) / np.add.reduce(weights))


_POOLINGS: dict[str, Callable[[Array, int], Array]] = {
    "cls": lambda states, _: states[0],
    "max": lambda states, _: np.maximum.reduce(states),
    "mean": lambda states, _: np.add.reduce(states) / len(states),
    "mean_sqrt_len_tokens": lambda states, _: np.add.reduce(states) / math.sqrt(len(states)),
    "weightedmean": _weighted_mean,
    "lasttoken": lambda states, _: states[-1],
}
"""A vector from the states of tokens, [tokens, hidden], of which the first is at this position of its row."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """Makes one vector of the states of a row's tokens."""

    modes: tuple[str, ...] = ("mean",)
    """Of several the vectors are joined."""
    include_prompt: bool = True
    """Whether the states of a prompt's tokens count."""

    def __call__(self, states: Array, prompt_tokens: int) -> Array:
        """The vector of states [tokens, hidden] in float32, of which so many are of the prompt."""
        begin = 0 if self.include_prompt else prompt_tokens
        counted = states[begin:]
        if len(self.modes) == 1:
            return _POOLINGS[self.modes[0]](counted, begin)
        return np.concatenate([_POOLINGS[mode](counted, begin) for mode in self.modes])


@dataclass(frozen=True, slots=True)
class SentenceModules:
    """What follows the encoder, and what is put before texts. A folder that says nothing has its states averaged."""

    pooling: Pooling
    dense: tuple[Path, ...]
    """Folders of the dense layers behind it, in order."""
    normalize: bool
    prompts: Mapping[str, str]
    """By name; queries and documents have none where the folder names none."""
    default_prompt: str


def sentence_modules(artifact: Artifact) -> SentenceModules:
    """What the folder's modules.json and config_sentence_transformers.json say.

    Raises ArtifactError for modules that are not served, or that cannot be read.
    """
    pooling, dense, normalize = Pooling(), [], False
    for module in artifact.sentence_modules[1:]:
        kind = str(module.get("type")).rpartition(".")[2]
        folder = artifact.folder / str(module.get("path", ""))
        if normalize and kind != _NO_CHANGE:
            raise ArtifactError(f"{artifact.folder}: modules.json has {kind} behind Normalize, which is not served")
        if kind == "Pooling":
            pooling = _pooling(folder)
        elif kind == "Dense":
            dense.append(folder)
        elif kind == "Normalize":
            normalize = True
        elif kind != _NO_CHANGE:
            raise ArtifactError(
                f"{artifact.folder}: modules.json has {kind}; served are Pooling, Dense, Normalize and {_NO_CHANGE}"
            )
    config = read_json(artifact.folder / "config_sentence_transformers.json")
    named = {name: prompt for name, prompt in (config.get("prompts") or {}).items() if prompt is not None}
    prompts = {"query": "", "document": "", **named}
    default = config.get("default_prompt_name")
    if default is not None and default not in prompts:
        raise ArtifactError(f"{artifact.folder}: config_sentence_transformers.json has no prompt named {default!r}")
    return SentenceModules(pooling, tuple(dense), normalize, prompts, prompts[default] if default is not None else "")


def _pooling(folder: Path) -> Pooling:
    config = read_json(folder / "config.json")
    modes = config.get("pooling_mode") or [mode for key, mode in _LEGACY_MODES.items() if config.get(key)] or "mean"
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    unknown = [str(mode) for mode in modes if mode not in _POOLINGS]
    if unknown:
        raise ArtifactError(
            f"{folder / 'config.json'}: no pooling is called {', '.join(unknown)}; there are {', '.join(_POOLINGS)}"
        )
    return Pooling(modes, bool(config.get("include_prompt", True)))
