"""The logits of a larger model on a stage's rows, computed once, and the loss of a model that learns from them.

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

from models.data.recipe import Stage, TeacherSettings
from models.training.batches import run_by_length
from models.training.trainer import Features, Loss, bf16_pays
from service.text.special_tokens import SpecialTokensTemplate

_LOG_EVERY_ROWS = 1600
"""Rows between two lines of the log."""
_TEACHER_LOGITS = "teacher_logits"
_SPANS = ("start_logits", "end_logits")
NEVER = -1e4
"""Logit of padding positions."""


@dataclass(frozen=True)
class DistillationInputs:
    """What training with a teacher needs: features with the teacher's logits, their collator, and the loss."""

    features: Features
    collate: Callable[[list[dict[str, Any]]], dict[str, Tensor]]
    loss: Loss


def soft_loss(target: Tensor, output: Tensor, *, temperature: float, multi_label: bool = False) -> Tensor:
    """Divergence of `output` from the teacher's `target`, both logits [rows, choices].

    Multiplied by the square of the temperature, so that the size of the gradients does not depend on it. With
    `multi_label` every choice is a decision of its own.
    """
    target, output = target / temperature, output / temperature
    if multi_label:
        return temperature**2 * functional.binary_cross_entropy_with_logits(output, target.sigmoid())
    goal, own = functional.log_softmax(target, -1), functional.log_softmax(output, -1)
    return temperature**2 * functional.kl_div(own, goal, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class TeacherRow:
    """A row in the teacher's tokens."""

    ids: list[int]
    types: list[int]
    places: list[int]
    """For each of the student's tokens its position in this row."""


class TeacherTokens:
    """Translates rows of the student's tokens into those of a teacher that knows the same word pieces."""

    def __init__(self, student: Any, teacher: Any) -> None:
        self._student = student
        sample = "a"
        self._single = SpecialTokensTemplate(teacher.backend_tokenizer.encode(sample))
        self._pair = SpecialTokensTemplate(teacher.backend_tokenizer.encode(sample, sample))
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

    def row(self, ids: list[int]) -> TeacherRow:
        """Translate a row [CLS] a [SEP] or [CLS] a [SEP] b [SEP].

        Raises ValueError for a piece that the teacher does not know.
        """
        border = ids.index(self._student.sep_token_id)
        first, second = self._pieces(ids[1:border]), self._pieces(ids[border + 1 : -1])
        if border == len(ids) - 1:
            row, types = self._single.apply(first)
            return TeacherRow(list(row), list(types), list(range(len(row))))
        row, types = self._pair.apply(first, second)
        begin = self._pair.second_start(first)
        return TeacherRow(list(row), list(types), [*range(border + 1), *range(begin, begin + len(second) + 1)])


@torch.no_grad()
def _logits_of(model: Any, rows: list[TeacherRow], padding: int) -> list[Any]:
    """The model's logits in float16: for each row [labels], or [tokens of the student, 2] where it finds spans."""
    types = getattr(model.config, "type_vocab_size", 0) > 1
    done = 0

    def run(part: list[int]) -> list[Any]:
        nonlocal done
        chosen = [rows[index] for index in part]
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16_pays()):
            out = model(**_padded(chosen, padding, types=types))
        before, done = done, done + len(part)
        if before // _LOG_EVERY_ROWS < done // _LOG_EVERY_ROWS:
            print(f"teacher: {done} of {len(rows)} rows", flush=True)
        if "start_logits" not in out:
            return list(_halves(out.logits))
        logits = _halves(torch.stack([out[name] for name in _SPANS], -1))
        return [values[row.places] for row, values in zip(chosen, logits, strict=True)]

    return run_by_length([len(row.ids) for row in rows], run)


def _halves(logits: Tensor) -> Any:
    """As float16, which halves the memory and loses less than bf16 inference already did."""
    return logits.float().numpy().astype(np.float16)


def _padded(rows: list[TeacherRow], padding: int, *, types: bool) -> dict[str, Tensor]:
    """Inputs [rows, tokens]; the width is a multiple of 8, so that few shapes have to be prepared."""
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
    """Arrays of `sizes` rows each, read from `path`, or made by `make` and written there."""
    if not path.is_file():
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.save(file, np.concatenate(made))
    return np.split(np.load(path), np.cumsum(sizes)[:-1])


def distillation_inputs(
    folder: Path, head: Any, features: Features, tokenizer: Any, settings: TeacherSettings, *, run: Path
) -> DistillationInputs:
    """Compute the logits of the model in `folder`, of the class `head`, on `features`; they are cached in `run`."""
    teacher = AutoTokenizer.from_pretrained(folder)
    spans = "start_positions" in features[0]

    def make() -> list[Any]:
        translation = TeacherTokens(tokenizer, teacher)
        rows = [translation.row(list(feature["input_ids"])) for feature in features]
        model = head.from_pretrained(folder).eval()
        found = _logits_of(model, rows, teacher.pad_token_id)
        return found if spans else [row[None] for row in found]

    read = "\n".join(" ".join(map(str, feature["input_ids"])) for feature in features)
    digest = hashlib.sha256(f"{folder}\n{read}".encode()).hexdigest()[:16]
    sizes = [len(feature["input_ids"]) if spans else 1 for feature in features]
    logits = _kept(run / f"teacher-logits-{digest}.npy", sizes, make)
    rows = [{**feature, _TEACHER_LOGITS: each} for feature, each in zip(features, logits, strict=True)]
    return DistillationInputs(rows, _collate(DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)), _loss(settings))


def with_teacher(
    features: Features, tokenizer: Any, stage: Stage, *, head: Any, run: Path, teacher: Path | None, loss: Loss | None
) -> tuple[Features, Any, Loss | None]:
    """Features, collator and loss of a stage; without `teacher`, a folder, `features` and `loss` stay as they are."""
    if teacher is None or stage.teacher is None:
        return features, DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8), loss
    inputs = distillation_inputs(teacher, head, features, tokenizer, stage.teacher, run=run)
    return inputs.features, inputs.collate, inputs.loss


def _collate(plain: Any) -> Callable[[list[dict[str, Any]]], dict[str, Tensor]]:
    """Extend the collator `plain` by the teacher's logits: [rows, labels] or [rows, tokens, 2].

    Rows without logits, as in validation, are collated by `plain` alone.
    """

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        bare = [{name: value for name, value in row.items() if name != _TEACHER_LOGITS} for row in rows]
        batch = dict(plain(bare))
        if _TEACHER_LOGITS in rows[0]:
            width = batch["input_ids"].shape[1]
            parts = [torch.from_numpy(row[_TEACHER_LOGITS].astype(np.float32)) for row in rows]
            if "start_positions" in rows[0]:
                parts = [functional.pad(part, (0, 0, 0, width - len(part)), value=NEVER) for part in parts]
                batch[_TEACHER_LOGITS] = torch.stack(parts)
            else:
                batch[_TEACHER_LOGITS] = torch.cat(parts)
        return batch

    return collate


def _loss(settings: TeacherSettings) -> Loss:
    """The weighted sum of the divergence from the teacher and the loss on the rows' own labels."""

    def loss(student: Any, batch: dict[str, Tensor]) -> Tensor:
        batch = dict(batch)
        target = batch.pop(_TEACHER_LOGITS)
        output = student(**batch)
        temperature = settings.temperature
        if "start_logits" in output:
            padding = ~batch["attention_mask"].bool()
            own = torch.stack([output[name] for name in _SPANS], -1).masked_fill(padding[..., None], NEVER)
            if settings.recipe is None:
                # The teacher never learnt to decline: rows without an answer, whose span is [CLS], get no gradient.
                target = target.where((batch["start_positions"] > 0)[:, None, None], own.detach())
            sides = zip(target.unbind(-1), own.unbind(-1), strict=True)
            soft = torch.stack([soft_loss(*side, temperature=temperature) for side in sides]).mean()
        else:
            multi_label = student.config.problem_type == "multi_label_classification"
            soft = soft_loss(target, output.logits, temperature=temperature, multi_label=multi_label)
        return settings.logits * soft + settings.labels * output.loss

    return loss
