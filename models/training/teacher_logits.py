"""What a larger model makes of a stage's rows, worked out once, and the loss of a model that learns from it.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network". The teacher may be of another family, as long as it
knows the student's word pieces: it reads the same pieces between its own special tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoTokenizer, DataCollatorWithPadding

from models.data.recipe import Stage, Teaching
from models.training.batches import run_by_length
from models.training.trainer import Features, Loss, bf16_pays
from service.frame import Frame

_TOLD_ROWS = 1600
"""A line of the log every so many."""
_TAUGHT = "taught"
_SPANS = ("start_logits", "end_logits")
NEVER = -1e4
"""Logit of what stands in the padding."""


@dataclass(frozen=True)
class Taught:
    """A stage's features with the teacher's logits, and what training makes of them."""

    features: Features
    collate: Callable[[list[dict[str, Any]]], dict[str, Tensor]]
    loss: Loss


def soft_loss(taught: Tensor, given: Tensor, *, temperature: float, several: bool = False) -> Tensor:
    """Divergence from the teacher's scores, times the temperature's square, which keeps its gradients' size.

    Logits [rows, choices]; with `several` each choice is one of its own.
    """
    taught, given = taught / temperature, given / temperature
    if several:
        return temperature**2 * functional.binary_cross_entropy_with_logits(given, taught.sigmoid())
    wanted, found = functional.log_softmax(taught, -1), functional.log_softmax(given, -1)
    return temperature**2 * functional.kl_div(found, wanted, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class Translated:
    """A row as the teacher reads it."""

    ids: list[int]
    types: list[int]
    places: list[int]
    """Where in it each of the student's tokens stands."""


class Translation:
    """Rows of a student's tokens as its teacher's tokenizer would make them of the same word pieces."""

    def __init__(self, student: Any, teacher: Any) -> None:
        self._student = student
        sample = "a"
        self._single = Frame(teacher.backend_tokenizer.encode(sample))
        self._pair = Frame(teacher.backend_tokenizer.encode(sample, sample))
        pieces = student.convert_ids_to_tokens(range(len(student)))
        unknown = teacher.unk_token_id
        self._ids = [
            None if found == unknown and piece != student.unk_token else found
            for piece, found in zip(pieces, teacher.convert_tokens_to_ids(pieces), strict=True)
        ]

    def _pieces(self, ids: list[int]) -> list[int]:
        found = [self._ids[number] for number in ids]
        if None in found:
            piece = self._student.convert_ids_to_tokens(ids[found.index(None)])
            raise ValueError(f"the teacher does not know the piece {piece!r}")
        return found  # type: ignore[return-value]

    def row(self, ids: list[int]) -> Translated:
        """Of a row [CLS] a [SEP] or [CLS] a [SEP] b [SEP].

        Raises ValueError for a piece that the teacher does not know.
        """
        border = ids.index(self._student.sep_token_id)
        first, second = self._pieces(ids[1:border]), self._pieces(ids[border + 1 : -1])
        if border == len(ids) - 1:
            row, types = self._single.row(first)
            return Translated(list(row), list(types), list(range(len(row))))
        row, types = self._pair.row(first, second)
        begin = self._pair.second(first)
        return Translated(list(row), list(types), [*range(border + 1), *range(begin, begin + len(second) + 1)])


@torch.no_grad()
def _logits_of(model: Any, rows: list[Translated], padding: int) -> list[Any]:
    """Of each row [labels], or [tokens of the student, 2] of a model that finds spans; float16."""
    types = getattr(model.config, "type_vocab_size", 0) > 1
    done = 0

    def run(part: list[int]) -> list[Any]:
        nonlocal done
        chosen = [rows[index] for index in part]
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16_pays()):
            out = model(**_padded(chosen, padding, types=types))
        before, done = done, done + len(part)
        if before // _TOLD_ROWS < done // _TOLD_ROWS:
            print(f"taught: {done} of {len(rows)} rows", flush=True)
        if "start_logits" not in out:
            return list(_halves(out.logits))
        logits = _halves(torch.stack([out[name] for name in _SPANS], -1))
        return [values[row.places] for row, values in zip(chosen, logits, strict=True)]

    return run_by_length([len(row.ids) for row in rows], run)


def _halves(logits: Tensor) -> Any:
    """As float16: half of the memory, and more exact than a teacher is."""
    return logits.float().numpy().astype(np.float16)


def _padded(rows: list[Translated], padding: int, *, types: bool) -> dict[str, Tensor]:
    """Inputs [rows, tokens]; the width is a multiple of 8, so that there are few shapes to get ready for."""
    width = -(-max(len(row.ids) for row in rows) // 8) * 8
    inputs = {
        "input_ids": torch.full((len(rows), width), padding),
        "attention_mask": torch.zeros((len(rows), width), dtype=torch.long),
    }
    if types:
        inputs["token_type_ids"] = torch.zeros((len(rows), width), dtype=torch.long)
    for index, row in enumerate(rows):
        size = len(row.ids)
        inputs["input_ids"][index, :size] = torch.tensor(row.ids)
        inputs["attention_mask"][index, :size] = 1
        if types:
            inputs["token_type_ids"][index, :size] = torch.tensor(row.types)
    return inputs


def _kept(path: Path, sizes: list[int], make: Callable[[], list[Any]]) -> list[Any]:
    """Arrays of so many rows each, from a file that is made when it is missing."""
    if not path.is_file():
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.save(file, np.concatenate(made))
    return np.split(np.load(path), np.cumsum(sizes)[:-1])


def taught_by(folder: Path, head: Any, features: Features, tokenizer: Any, teaching: Teaching, *, run: Path) -> Taught:
    """Let the model in `folder`, of the class `head`, teach the rows of `features`; its logits are kept in `run`."""
    teacher = AutoTokenizer.from_pretrained(folder)
    spans = "start_positions" in features[0]

    def make() -> list[Any]:
        translation = Translation(tokenizer, teacher)
        rows = [translation.row(list(feature["input_ids"])) for feature in features]
        model = head.from_pretrained(folder).eval()
        found = _logits_of(model, rows, teacher.pad_token_id)
        return found if spans else [row[None] for row in found]

    read = "\n".join(" ".join(map(str, feature["input_ids"])) for feature in features)
    digest = hashlib.sha256(f"{folder}\n{read}".encode()).hexdigest()[:16]
    sizes = [len(feature["input_ids"]) if spans else 1 for feature in features]
    logits = _kept(run / f"taught-{digest}.npy", sizes, make)
    rows = [{**feature, _TAUGHT: each} for feature, each in zip(features, logits, strict=True)]
    return Taught(rows, _collate(DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)), _loss(teaching))


def lessons(
    features: Features, tokenizer: Any, stage: Stage, *, head: Any, run: Path, teacher: Path | None, loss: Loss | None
) -> tuple[Features, Any, Loss | None]:
    """Features, collator and loss of a stage that `teacher`, a folder, teaches; without one `features` and `loss` as
    they are."""
    if teacher is None or stage.teacher is None:
        return features, DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8), loss
    taught = taught_by(teacher, head, features, tokenizer, stage.teacher, run=run)
    return taught.features, taught.collate, taught.loss


def _collate(plain: Any) -> Callable[[list[dict[str, Any]]], dict[str, Tensor]]:
    """`plain`, with the teacher's logits beside: [rows, labels], or [rows, tokens, 2]. Rows may come without."""

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        bare = [{name: value for name, value in row.items() if name != _TAUGHT} for row in rows]
        batch = dict(plain(bare))
        if _TAUGHT in rows[0]:
            width = batch["input_ids"].shape[1]
            parts = [torch.from_numpy(row[_TAUGHT].astype(np.float32)) for row in rows]
            if "start_positions" in rows[0]:
                parts = [functional.pad(part, (0, 0, 0, width - len(part)), value=NEVER) for part in parts]
                batch[_TAUGHT] = torch.stack(parts)
            else:
                batch[_TAUGHT] = torch.cat(parts)
        return batch

    return collate


def _loss(teaching: Teaching) -> Loss:
    """`teaching.logits` times the divergence from the teacher, `teaching.labels` times the loss of the rows' own."""

    def loss(student: Any, batch: dict[str, Tensor]) -> Tensor:
        batch = dict(batch)
        taught = batch.pop(_TAUGHT)
        given = student(**batch)
        heat = teaching.temperature
        if "start_logits" in given:
            padding = ~batch["attention_mask"].bool()
            found = torch.stack([given[name] for name in _SPANS], -1).masked_fill(padding[..., None], NEVER)
            if teaching.recipe is None:
                # A row without an answer, whose answer is [CLS], learns from itself: nothing.
                taught = taught.where((batch["start_positions"] > 0)[:, None, None], found.detach())
            sides = zip(taught.unbind(-1), found.unbind(-1), strict=True)
            soft = torch.stack([soft_loss(wanted, side, temperature=heat) for wanted, side in sides]).mean()
        else:
            several = student.config.problem_type == "multi_label_classification"
            soft = soft_loss(taught, given.logits, temperature=heat, several=several)
        return teaching.logits * soft + teaching.labels * given.loss

    return loss
