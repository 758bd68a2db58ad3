"""Held-out rows, which no stage trains on: for early stopping, score tables and calibration."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

from models.data.recipe import HeldOut
from models.data.rows import Row


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _key(row: Row) -> str:
    return "\0".join(sorted(row["labels"])) if "labels" in row else str(row["label"])


def _by_label(rows: list[Row], wanted: int, chooser: random.Random) -> list[Row]:
    """About `wanted` rows, stratified by label; the only row of a label stays in training."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[_key(row)].append(row)
    share = wanted / len(rows)
    taken: list[Row] = []
    for _, group in sorted(groups.items()):
        exact = share * len(group)
        size = int(exact) + (chooser.random() < exact % 1)
        taken += chooser.sample(group, min(size, len(group) - 1))
    return taken


def _whole(rows: list[Row], min_words: int, wanted: int, chooser: random.Random) -> list[Row]:
    """`wanted` rows of at least `min_words` words whose text is not contained in a longer row."""
    long = [row for row in rows if len(row["text"].split()) >= min_words]
    chooser.shuffle(long)
    texts = "\n".join(_plain(row["text"]) for row in long)
    taken: list[Row] = []
    for row in long:
        if len(taken) == wanted:
            break
        if texts.count(_plain(row["text"])) == 1:
            taken.append(row)
    return taken


def held_out_rows(rows: list[Row], plan: HeldOut) -> list[Row]:
    """Choose the rows to hold out of `rows`, by the plan's seed."""
    chooser = random.Random(plan.seed)
    if plan.whole_texts:
        return _whole(rows, plan.min_words, plan.rows, chooser)
    return _by_label(rows, plan.rows, chooser)


def without(rows: list[Row], held: list[Row], plan: HeldOut) -> list[Row]:
    """`rows` without the held-out ones and their duplicates; with `whole_texts` also without parts of them.

    Parts of one or two words ("a film") stay: they reveal nothing about the text that they come from.
    """
    texts = {_plain(row["text"]) for row in held}
    together = "\n".join(sorted(texts))
    return [
        row
        for row in rows
        if (plain := _plain(row["text"])) not in texts
        and not (plan.whole_texts and plain.count(" ") >= 2 and plain in together)
    ]


def balance(rows: list[Row]) -> Counter[str]:
    """How many rows carry each label."""
    return Counter(label for row in rows for label in (row["labels"] if "labels" in row else [str(row["label"])]))
