"""Extractive question answering: rows {"question", "context", "answers": {"text", "answer_start"}}."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForQuestionAnswering, AutoTokenizer

from models.data.passages import crop_rows, join_rows
from models.data.recipe import Recipe, Stage, Training
from models.data.rows import Row, pick_rows
from models.data.unanswerable import hard_unanswerable_rows
from models.data.word_neighbours import WordNeighbours
from models.training.abstention import fit_no_answer, fit_span_temperature, predict_spans
from models.training.calibration import fold
from models.training.teacher_logits import with_teacher
from models.training.trainer import Features, Loss, train_stage

_NO_ANSWER: dict[str, list[Any]] = {"text": [], "answer_start": []}


def unanswerable_rows(rows: list[Row], share: float, seed: int) -> list[Row]:
    """Questions of `share` of the rows, each beside another row's context, which does not hold their answer."""
    chooser = random.Random(seed)
    answered = [row for row in rows if row["answers"]["text"]]
    made = []
    for row in chooser.sample(answered, int(len(answered) * share)):
        other = chooser.choice(answered)["context"]
        if row["answers"]["text"][0].lower() not in other.lower():
            made.append({"question": row["question"], "context": other, "answers": _NO_ANSWER})
    return made


def _span_of(offsets: list[tuple[int, int]], sequence: list[int | None], start: int, end: int) -> tuple[int, int]:
    """First and last token of context[start:end]; (0, 0), the [CLS] token, when the window does not hold all of it."""
    inside = [
        index
        for index, ((left, right), part) in enumerate(zip(offsets, sequence, strict=True))
        if part == 1 and right > start and left < end
    ]
    if not inside or offsets[inside[0]][0] > start or offsets[inside[-1]][1] < end:
        return 0, 0
    return inside[0], inside[-1]


def window_features(rows: list[Row], tokenizer: Any, training: Training) -> list[dict[str, Any]]:
    """Cut every row into overlapping windows with the answer's token positions.

    Windows without the answer of an answerable row are kept only as often as `extra.empty_windows` says.
    """
    chooser = random.Random(training.seed)
    keep = training.extra.get("empty_windows", 0.1)
    batch = tokenizer(
        [row["question"].strip() for row in rows],
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=training.max_length,
        stride=int(training.extra.get("stride", 96)),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    features = []
    for index, owner in enumerate(batch["overflow_to_sample_mapping"]):
        answers = rows[owner]["answers"]
        first = last = 0
        if answers["text"]:
            start = answers["answer_start"][0]
            end = start + len(answers["text"][0])
            first, last = _span_of(batch["offset_mapping"][index], batch.sequence_ids(index), start, end)
            if last == 0 and chooser.random() > keep:
                continue
        inputs = {
            name: batch[name][index] for name in ("input_ids", "token_type_ids", "attention_mask") if name in batch
        }
        features.append({**inputs, "start_positions": first, "end_positions": last})
    return features


def held_out_questions(recipe: Recipe, data: Path) -> list[Row]:
    """Answerable rows that no stage trains on, nor on their contexts: those that the first stage's cap leaves out."""
    plan = recipe.held_out
    if plan is None:
        return []
    first = recipe.stages[0]
    seen = {row["context"] for row in pick_rows(first.sources, data, first.training.seed)}
    whole = first.sources[plan.source].model_copy(update={"cap": None, "repeat": 1})
    rows = [row for row in pick_rows((whole,), data, plan.seed) if row["context"] not in seen]
    answered = [row for row in rows if any(row["answers"]["text"])]
    return random.Random(plan.seed).sample(answered, min(plan.rows, len(answered)))


def training_rows(recipe: Recipe, stage: Stage, words: WordNeighbours, data: Path) -> list[Row]:
    """The stage's rows, their contexts cropped and joined, and the made ones without an answer, as `extra` says."""
    training, extra = stage.training, stage.training.extra
    held = {row["context"] for row in held_out_questions(recipe, data)}
    rows = [row for row in pick_rows(stage.sources, data, training.seed) if row["context"] not in held]
    blind = unanswerable_rows(rows, extra.get("no_answer", 0.0), training.seed)
    rows = join_rows(rows, int(extra.get("join", 0)), training.seed)
    rows = crop_rows(rows, extra.get("crop", 0.0), training.seed)
    shares = {way: extra.get(way, 0.0) for way in ("removed", "alike", "swapped")}
    return rows + blind + hard_unanswerable_rows(rows, words, **shares, seed=training.seed)


def training_features(recipe: Recipe, stage: Stage, start: str, data: Path) -> Features:
    """The stage's rows as windows, for the model in `start`."""
    tokenizer = AutoTokenizer.from_pretrained(start)
    words = WordNeighbours.of(AutoModel.from_pretrained(start), tokenizer)
    return window_features(training_rows(recipe, stage, words, data), tokenizer, stage.training)


def finetune_reader(
    recipe: Recipe,
    stage: Stage,
    *,
    start: str,
    data: Path,
    run: Path,
    loss: Loss | None = None,
    teacher: Path | None = None,
) -> tuple[Any, Any]:
    """Train a span head on `start`, by the stage's `teacher` if it has one; return (model, tokenizer)."""
    training = stage.training
    tokenizer = AutoTokenizer.from_pretrained(start)
    torch.manual_seed(training.seed)
    model = AutoModelForQuestionAnswering.from_pretrained(
        start,
        hidden_dropout_prob=training.hidden_dropout,
        attention_probs_dropout_prob=training.attention_dropout,
        attn_implementation=training.attention,
    )
    features = training_features(recipe, stage, start, data)
    head = AutoModelForQuestionAnswering
    features, collate, loss = with_teacher(features, tokenizer, stage, head=head, run=run, teacher=teacher, loss=loss)
    train_stage(model, tokenizer, features, collate, training, run=run, loss=loss)
    if recipe.held_out is not None and stage is recipe.stages[-1]:
        calibrate_reader(model, tokenizer, held_out_questions(recipe, data), training)
    return model, tokenizer


def calibrate_reader(model: Any, tokenizer: Any, held: list[Row], training: Training) -> None:
    """Fold the temperature that `held` asks for into the head, and put the "no answer" logit's bias into the config.

    The bias is for as many questions without an answer as with one, made from the held-out ones in every way. The
    temperature is multiplied by `extra.sharpen`, for where the held-out questions are harder than those that will come.
    """
    third = 1 / 3
    words = WordNeighbours.of(model, tokenizer)
    rows = held + hard_unanswerable_rows(held, words, removed=third, alike=third, swapped=third, seed=training.seed)
    stride = int(training.extra.get("stride", 96))
    predictions = predict_spans(model, tokenizer, rows, max_length=training.max_length, stride=stride)
    bias, f1 = fit_no_answer(predictions)
    temperature = fit_span_temperature(predictions, bias) * training.extra.get("sharpen", 1.0)
    fold(model, temperature)
    model.config.shoal = {"no_answer_bias": round(bias / temperature, 3)}
    print(f"held out: F1 {100 * f1:.2f} of {len(rows)} rows, half without an answer; temperature {temperature:.3f}")
