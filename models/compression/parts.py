"""Where an encoder's layer keeps its heads and its feed-forward columns, and how some of them are taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import prune_linear_layer

from models.compression.layers import layers_of
from models.errors import WorkshopError


@dataclass(frozen=True)
class _Names:
    """Of linear layers, below an encoder's layer."""

    mixed: str
    """Joins the heads: [heads * width] -> [hidden]."""
    up: str
    """[hidden] -> [columns]"""
    down: str
    """[columns] -> [hidden]"""
    columns: str
    """What the configuration calls their number."""


_BERT = _Names("attention.output.dense", "intermediate.dense", "output.dense", "intermediate_size")
_BY_TYPE = {
    "bert": _BERT,
    "roberta": _BERT,
    "distilbert": _Names("attention.out_lin", "ffn.lin1", "ffn.lin2", "hidden_dim"),
}


class UnknownArchitecture(WorkshopError, ValueError):
    """Nobody said where this kind of model keeps its heads."""


@dataclass(frozen=True)
class Parts:
    """The linear layers of one of a model's layers that read its heads and its columns."""

    mixed: Any
    down: Any


def _names(model: Any) -> _Names:
    kind = model.config.model_type
    if kind not in _BY_TYPE:
        raise UnknownArchitecture(f"a {kind} cannot be pruned; known are {', '.join(_BY_TYPE)}")
    return _BY_TYPE[kind]


def parts_of(model: Any) -> list[Parts]:
    """By layer; raises UnknownArchitecture."""
    names = _names(model)
    return [Parts(layer.get_submodule(names.mixed), layer.get_submodule(names.down)) for layer in layers_of(model)]


def remove_parts(model: Any, heads: Sequence[Sequence[int]], columns: Sequence[Sequence[int]]) -> None:
    """Take heads and columns out of each layer, the same number everywhere; the matrices get compression.

    The configuration remembers which heads went (`pruned_heads`) and how many columns are left, so that transformers
    loads the model again. Raises UnknownArchitecture.
    """
    names = _names(model)
    if any(heads):
        model.prune_heads({layer: sorted(gone) for layer, gone in enumerate(heads)})
    for layer, gone in zip(layers_of(model), columns, strict=True):
        down = layer.get_submodule(names.down)
        kept = torch.tensor(sorted(set(range(down.in_features)) - set(gone)))
        _replace(layer, names.up, prune_linear_layer(layer.get_submodule(names.up), kept, dim=0))
        _replace(layer, names.down, prune_linear_layer(down, kept, dim=1))
    setattr(model.config, names.columns, getattr(model.config, names.columns) - len(columns[0]))


def _replace(layer: Any, name: str, new: nn.Module) -> None:
    owner, _, attribute = name.rpartition(".")
    setattr(layer.get_submodule(owner), attribute, new)
