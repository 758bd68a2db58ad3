"""What F1 does not say of an answering model: whether its scores can be believed, when it declines, its errors."""

from __future__ import annotations

import random

from models.data.rows import Row
from models.evaluation.answer_scores import Asked, calibration, calibration_table, pair, squad_scores
from models.evaluation.served import served_results
from models.evaluation.squad import answer_exact, answer_f1
from service.artifact import Artifact

_AROUND_CHARS = 60
_SEED = 5


def _declining(asked: list[Asked]) -> str:
    none = [each for each in asked if not each.answerable]
    some = [each for each in asked if each.answerable]
    if not none or not some:
        return ""
    told = sum(not each.said[0]["answer"] for each in none) / len(none)
    withheld = sum(not each.said[0]["answer"] for each in some) / len(some)
    return (
        f'With leave to decline it says "no answer" to {100 * told:.1f} % of the {len(none):,} questions that have '
        f"none and to {100 * withheld:.1f} % of the {len(some):,} that have one."
    )


def _error(each: Asked) -> str:
    said, context = each.span, each.row["context"]
    wanted = each.row["answers"]
    begin = wanted["answer_start"][0]
    around = context[max(0, begin - _AROUND_CHARS) : begin + len(wanted["text"][0]) + _AROUND_CHARS]
    return (
        f"- {each.row['question'].strip()}\n  said {said['answer']!r} ({said['score']:.2f}), "
        f"wanted {' or '.join(repr(text) for text in dict.fromkeys(wanted['text']))}\n  … {' '.join(around.split())} …"
    )


def errors_of(asked: list[Asked], count: int) -> list[Asked]:
    """`count` of the answers that share less than half of their words with the reference, picked by a fixed seed."""
    wrong = [
        each
        for each in asked
        if each.answerable
        and not answer_exact(each.span["answer"], each.row["answers"])
        and answer_f1(each.span["answer"], each.row["answers"]) < 0.5
    ]
    return random.Random(_SEED).sample(wrong, min(count, len(wrong)))


def answer_report(artifact: Artifact, rows: list[Row], *, errors: int) -> str:
    """Scores, a table of calibration, how often it declines, and `errors` wrong answers, as Markdown."""
    asked = pair(rows, served_results(artifact, rows))
    scores = ", ".join(f"{name} {value:.2f}" for name, value in squad_scores(asked).items())
    parts = [
        f"{len(rows):,} questions: {scores}",
        calibration_table(calibration([each for each in asked if each.answerable])),
        _declining(asked),
        "\n".join(_error(each) for each in errors_of(asked, errors)),
    ]
    return "\n\n".join(part for part in parts if part)
