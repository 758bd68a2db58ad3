"""Texts of a summarizer's domain, abstracts of papers, and general ones: to tell the two apart and to be scored on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.data.rows import Row, read_rows, source_of
from service.sentences import sentence_spans

_ABSTRACTS, _EACH = 12_000, 2_500
_IN_PART = 0.4  # of the abstracts: people send a paragraph of one, too
_MOST_SENTENCES = 12
_LONGEST_CHARS = 20_000
_SENTENCE_CHARS = 200  # sets whose texts are shorter on average are single sentences, which are joined
_JOINED = 5
_HELD_OUT_BOOKS = ("Astronomy 2e", "Psychology 2e", "Introduction to Business")
_HELD_OUT_POSTS = 5  # one in so many


@dataclass(frozen=True)
class General:
    """A set of general texts."""

    train: str
    held_out: str | None
    """File to be scored on; None where that is a part of `train`."""
    text_of: Callable[[Row], str]
    is_held_out: Callable[[int, Row], bool] = lambda _number, _row: False
    """Whether a row of `train`, by its number and content, is not learnt from."""


GENERAL = {
    "news": General("wikinews/2019.jsonl", "wikinews/2020.jsonl", lambda row: row["text"]),
    "textbooks": General(
        "openstax/train.jsonl.xz", None, lambda row: row["text"], lambda _, row: row["book"] in _HELD_OUT_BOOKS
    ),
    "posts": General(
        "us_gov_posts/train.jsonl.xz", None, lambda row: row["text"], lambda number, _: number % _HELD_OUT_POSTS == 0
    ),
    "paragraphs": General("squad_train/train.jsonl.xz", "qa/squad_v1_dev.jsonl.xz", lambda row: row["context"]),
    "contexts": General(
        "qa/train.jsonl.xz", None, lambda row: row["context"], lambda _, row: row["src"] == "tydiqa_en"
    ),
    "meetings": General("qmsum/train.jsonl.xz", "qmsum/dev.jsonl.xz", lambda row: row["text"]),
    "visits": General("mts_dialog/train.jsonl.xz", "mts_dialog/dev.jsonl", lambda row: row["dialogue"]),
    "plays": General("crd3/train.jsonl.xz", "crd3/dev.jsonl.xz", lambda row: row["dialogue"]),
    "medicine": General("medquad/train.jsonl.xz", "medquad/dev.jsonl.xz", lambda row: row["answer"]),
    "remarks": General("goemotions/train.jsonl", "goemotions/dev.jsonl", lambda row: row["text"]),
    "requests": General("banking77/train.jsonl", "banking77/test.jsonl", lambda row: row["text"]),
    "french": General("tatoeba_en_fr/train.jsonl.xz", "tatoeba_en_fr/dev.jsonl.xz", lambda row: row["fr"]),
}


def abstracts(data: Path, chooser: random.Random) -> Iterator[str]:
    """Abstracts to learn from, some of them in part."""
    papers = [row["abstract"] for row in read_rows(data / "arxiv_tldr" / "train-0.jsonl.xz")]
    people = [source_of(row) for row in read_rows(data / "scitldr" / "train.jsonl")]
    for text in (*chooser.sample(papers, min(_ABSTRACTS, len(papers))), *people):
        yield _stretch(text, chooser, least=3) if chooser.random() < _IN_PART else text


def general_texts(data: Path, chooser: random.Random) -> Iterator[str]:
    """General texts to learn from: stretches of long ones, single sentences joined."""
    for general in GENERAL.values():
        distinct = list(dict.fromkeys(_texts(data, general, held_out=False)))
        texts = chooser.sample(distinct, min(_EACH, len(distinct)))
        if _are_sentences(texts):
            yield from _joined(texts)
        else:
            often = max(1, min(3, _EACH // len(texts)))
            yield from (_stretch(text, chooser, least=1) for text in texts * often)


def held_out_texts(data: Path) -> dict[str, list[str]]:
    """Texts that nothing was learnt from: abstracts by "arxiv" and "scitldr", then general ones by kind."""
    found = {
        "arxiv": [source_of(row) for row in read_rows(data / "arxiv_tldr" / "val.jsonl.xz")],
        "scitldr": [source_of(row) for row in read_rows(data / "scitldr" / "dev.jsonl")],
    }
    for name, general in GENERAL.items():
        texts = list(dict.fromkeys(_texts(data, general, held_out=True)))
        found[name] = list(_joined(texts)) if _are_sentences(texts) else texts
    return found


def _texts(data: Path, general: General, *, held_out: bool) -> Iterator[str]:
    file = general.held_out if held_out and general.held_out is not None else general.train
    for number, row in enumerate(read_rows(data / file)):
        if file != general.train or general.is_held_out(number, row) is held_out:
            yield general.text_of(row)[:_LONGEST_CHARS]


def _are_sentences(texts: list[str]) -> bool:
    return sum(map(len, texts)) < _SENTENCE_CHARS * len(texts)


def _joined(texts: list[str]) -> Iterable[str]:
    return (" ".join(texts[begin : begin + _JOINED]) for begin in range(0, len(texts), _JOINED))


def _stretch(text: str, chooser: random.Random, *, least: int) -> str:
    """Some consecutive sentences of a text, `least` or more, or all of it."""
    spans = sentence_spans(text)
    count = chooser.randint(least, _MOST_SENTENCES)
    if len(spans) <= count:
        return text
    first = chooser.randrange(len(spans) - count + 1)
    return text[spans[first][0] : spans[first + count - 1][1]]
