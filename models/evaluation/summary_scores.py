"""Scores of a summarizer: ROUGE, and how its summaries are worded."""

from __future__ import annotations

from typing import Any

from rouge_score.rouge_scorer import RougeScorer

from models.data.rows import Row, references_of, source_of
from models.data.wording import is_clean, names_in, opens_with_paper, repeats_words

ROUGE = ("rouge1", "rouge2", "rougeL")
PEOPLES = "people_"


def summary_scores(rows: list[Row], results: list[dict[str, Any]]) -> dict[str, float]:
    """Scores in points, more is better.

    ROUGE is the F-measure without stemming, the stricter of the two common settings; of rows whose
    references ("target") people wrote, the best one counts, as `people_rouge1` (Cachola et al. 2020, "TLDR").
    """
    summaries = [result["summary"] for result in results]
    scores: dict[str, float] = {}
    for prefix, peoples in (("", False), (PEOPLES, True)):
        chosen = [(row, text) for row, text in zip(rows, summaries, strict=True) if ("target" in row) is peoples]
        scores |= {prefix + name: value for name, value in _rouge(chosen).items()}
    return {**scores, **_wording(rows, summaries)}


def _rouge(pairs: list[tuple[Row, str]]) -> dict[str, float]:
    if not pairs:
        return {}
    scorer = RougeScorer(list(ROUGE), use_stemmer=False)
    sums = dict.fromkeys(ROUGE, 0.0)
    for row, summary in pairs:
        found = [scorer.score(reference, summary) for reference in references_of(row)]
        for name in ROUGE:
            sums[name] += 100 * max(each[name].fmeasure for each in found)
    return {name: value / len(pairs) for name, value in sums.items()}


def _wording(rows: list[Row], summaries: list[str]) -> dict[str, float]:
    """Shares of the summaries in points; `names_in_source` is a share of their numbers and acronyms."""
    held = [
        name in source_of(row) for row, text in zip(rows, summaries, strict=True) for name in sorted(names_in(text))
    ]
    count = len(summaries)
    return {
        "names_in_source": 100 * sum(held) / len(held) if held else 100.0,
        "opens_without_paper": 100 - 100 * sum(map(opens_with_paper, summaries)) / count,
        "clean": 100 * sum(map(is_clean, summaries)) / count,
        "without_repeats": 100 - 100 * sum(map(repeats_words, summaries)) / count,
    }
