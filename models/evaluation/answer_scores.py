"""Exact match and F1 of question answering, with and without leave to decline, and the calibration of scores.

Rajpurkar et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD", and its evaluation script.
"""

from __future__ import annotations

import re
import string
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models.data.rows import Row

Result = dict[str, Any]
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_BINS = 10
_REPORTED_BIN = 8
_FEWEST = 20
"""Shares of fewer answers than this are not reported."""


def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and doubled spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def _f1(given: str, wanted: str) -> float:
    given_words, wanted_words = normalized(given).split(), normalized(wanted).split()
    if not given_words or not wanted_words:
        return float(given_words == wanted_words)
    shared = sum((Counter(given_words) & Counter(wanted_words)).values())
    return 2 * shared / (len(given_words) + len(wanted_words))


def answer_f1(given: str, answers: dict[str, Any]) -> float:
    """Word F1, 0 to 1, against the closest reference; without references "" is right."""
    return max(_f1(given, wanted) for wanted in answers["text"] or [""])


def answer_exact(given: str, answers: dict[str, Any]) -> bool:
    """Whether the answer equals a reference after normalization; without references "" is right."""
    return any(normalized(given) == normalized(wanted) for wanted in answers["text"] or [""])


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question with the answers of a model that may decline, best first."""

    row: Row
    answers: list[Result]

    @property
    def span(self) -> Result:
        """The best answer that is not "no answer", as served by default."""
        return next((each for each in self.answers if each["answer"]), self.answers[0])

    @property
    def answerable(self) -> bool:
        return bool(self.row["answers"]["text"])


def answered_questions(rows: list[Row], results: list[Result]) -> list[AnsweredQuestion]:
    """Pair rows with results that were made with `handle_impossible_answer` and a `top_k` of at least two."""
    return [AnsweredQuestion(row, result["answers"]) for row, result in zip(rows, results, strict=True)]


def squad_scores(asked: list[AnsweredQuestion]) -> dict[str, float]:
    """F1 and exact match, in points, of the best span; as `f1_or_none`, `exact_or_none` with leave to decline.

    Rows are of files (`file`). Those with unanswerable questions count with leave to decline, the others without; if
    there are no others, their answerable ones do. `right_at_0.8`: how many of the spans with a score of 0.8 to 0.9 are
    exactly right.
    """
    files: dict[str, list[AnsweredQuestion]] = defaultdict(list)
    for each in asked:
        files[each.row.get("file", "")].append(each)
    plain = [each for group in files.values() if all(one.answerable for one in group) for each in group]
    mixed = [each for group in files.values() if not all(one.answerable for one in group) for each in group]
    plain = plain or [each for each in mixed if each.answerable]
    scores = {
        "f1": _mean(answer_f1(each.span["answer"], each.row["answers"]) for each in plain),
        "exact_match": _mean(answer_exact(each.span["answer"], each.row["answers"]) for each in plain),
    }
    if mixed:
        scores["f1_or_none"] = _mean(answer_f1(each.answers[0]["answer"], each.row["answers"]) for each in mixed)
        scores["exact_or_none"] = _mean(answer_exact(each.answers[0]["answer"], each.row["answers"]) for each in mixed)
    told = calibration(plain)[_REPORTED_BIN]
    if told.count >= _FEWEST:
        scores["right_at_0.8"] = 100 * told.exact
    return scores


@dataclass(frozen=True)
class Bin:
    """The answers with scores from `low` to `low` + 0.1; all shares are from 0 to 1."""

    low: float
    count: int
    score: float
    exact: float
    f1: float


def calibration(asked: list[AnsweredQuestion]) -> list[Bin]:
    """Ten bins of the best spans by score, each with mean score, share of exact matches, and mean F1."""
    bins = []
    for index in range(_BINS):
        inside = [each for each in asked if min(int(each.span["score"] * _BINS), _BINS - 1) == index]
        bins.append(
            Bin(
                low=index / _BINS,
                count=len(inside),
                score=_mean(each.span["score"] for each in inside) / 100,
                exact=_mean(answer_exact(each.span["answer"], each.row["answers"]) for each in inside) / 100,
                f1=_mean(answer_f1(each.span["answer"], each.row["answers"]) for each in inside) / 100,
            )
        )
    return bins


def calibration_table(bins: list[Bin]) -> str:
    """The bins as a Markdown table."""
    lines = ["| score | answers | mean score | exactly right | F1 |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {each.low:.1f}-{each.low + 1 / _BINS:.1f} | {each.count:,} | {each.score:.3f} | {100 * each.exact:.1f} % "
        f"| {100 * each.f1:.1f} |"
        for each in bins
        if each.count
    ]
    return "\n".join(lines)


def _mean(values: Iterable[float]) -> float:
    """The mean in points; 0 for no values."""
    found = [float(value) for value in values]
    return 100 * sum(found) / len(found) if found else 0.0
