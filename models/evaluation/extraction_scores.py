"""How good extractive summaries are: ROUGE of the sentences chosen, beside the lead and the best possible."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from tqdm import tqdm

from models.data.rows import Row
from models.errors import Missing
from models.evaluation.sentence_vectors import SentenceReader
from service.artifact import Artifact
from service.runtime.session import Session
from service.text.extractive import choose, features, fragment_penalties

_MEASURES = ("rouge1", "rouge2", "rougeL")


def score_extraction(folder: Path, rows: Iterable[Row], *, count: int = 1) -> dict[str, dict[str, float]]:
    """ROUGE F-measures in points, without stemming, of `count` sentences against each row's "summary".

    By how they were chosen: "chosen" by sentences.onnx, "lead" the first ones, and for one sentence "best", the one
    with the highest ROUGE-1. Raises Missing for a folder without a scorer.
    """
    scorer_path = Artifact(folder).sentence_scorer
    if scorer_path is None:
        raise Missing(f"{folder} holds no scorer of sentences: python -m models sentences makes it")
    reader, graph = SentenceReader(folder), Session(scorer_path)
    scorer = RougeScorer(list(_MEASURES), use_stemmer=False)
    found: dict[str, list[list[float]]] = {"chosen": [], "lead": [], "best": []}
    for row in tqdm(list(rows), desc="choosing sentences", unit="text", mininterval=5):
        document = reader.read(row["text"])
        scored = graph.run_arrays({"vectors": document.vectors, "features": features(document.lengths)})
        picks = {
            "chosen": choose(scored["scores"] - fragment_penalties(document.sentences), scored["units"], count),
            "lead": list(range(min(count, len(document.sentences)))),
        }

        def rouge(sentences: list[str], summary: str = row["summary"]) -> list[float]:
            scores = scorer.score(summary, " ".join(sentences))
            return [100 * scores[name].fmeasure for name in _MEASURES]

        for name, indexes in picks.items():
            found[name].append(rouge([document.sentences[index] for index in indexes]))
        if count == 1:
            found["best"].append(max(rouge([sentence]) for sentence in document.sentences))
    return {
        name: dict(zip(_MEASURES, (round(float(mean), 2) for mean in np.mean(values, axis=0)), strict=True))
        for name, values in found.items()
        if values
    }
