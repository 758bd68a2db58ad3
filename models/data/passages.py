"""Contexts cropped and joined, so that answers stand in contexts of many lengths."""

from __future__ import annotations

import random
import re

from models.data.rows import Row

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])")
_SHORT_CHARS = 250
_NEIGHBOURS = 2


def sentences(context: str) -> list[tuple[int, int]]:
    """Start and end of each sentence of `context`, trailing space included; together they cover all of it."""
    starts = [0, *(found.end() for found in _SENTENCE_END.finditer(context))]
    return list(zip(starts, [*starts[1:], len(context)], strict=True))


def _moved(row: Row, context: str, by: int) -> Row:
    answers = {"text": row["answers"]["text"][:1], "answer_start": [row["answers"]["answer_start"][0] + by]}
    return {**row, "context": context, "answers": answers}


def _cropped(row: Row, chooser: random.Random) -> Row:
    begin = row["answers"]["answer_start"][0]
    end = begin + len(row["answers"]["text"][0])
    parts = sentences(row["context"])
    inside = [index for index, (left, right) in enumerate(parts) if left < end and right > begin]
    if not inside:
        return row
    first = max(0, inside[0] - chooser.randint(0, _NEIGHBOURS))
    last = min(len(parts) - 1, inside[-1] + chooser.randint(0, _NEIGHBOURS))
    left, right = parts[first][0], parts[last][1]
    return _moved(row, row["context"][left:right], -left)


def crop_rows(rows: list[Row], share: float, seed: int) -> list[Row]:
    """Crop the contexts of `share` of the answerable rows to the answer's sentence and up to two on either side."""
    chooser = random.Random(seed)
    return [_cropped(row, chooser) if row["answers"]["text"] and chooser.random() < share else row for row in rows]


def join_rows(rows: list[Row], most: int, seed: int) -> list[Row]:
    """Put up to `most` other short contexts, without the answer in them, around each short context."""
    chooser = random.Random(seed)
    short = sorted({row["context"] for row in rows if len(row["context"]) < _SHORT_CHARS})
    if not short or not most:
        return rows
    made = []
    for row in rows:
        if len(row["context"]) >= _SHORT_CHARS or not row["answers"]["text"]:
            made.append(row)
            continue
        answer = row["answers"]["text"][0].lower()
        others = [text for text in chooser.choices(short, k=chooser.randint(0, most)) if answer not in text.lower()]
        place = chooser.randint(0, len(others))
        before = "".join(f"{text} " for text in others[:place])
        after = "".join(f" {text}" for text in others[place:])
        made.append(_moved(row, before + row["context"] + after, len(before)))
    return made
