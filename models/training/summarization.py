"""Summarization: rows {"abstract", "tldr"} (or "title" as the target), an encoder-decoder made from the base."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, DataCollatorForSeq2Seq
from transformers.trainer_utils import get_last_checkpoint

from models.data.recipe import Recipe, Stage
from models.data.rows import Row, pick_rows
from models.data.wording import about_its_subject, opens_with_paper, without_paper, worth_learning
from models.training.seq2seq import build_seq2seq, train_tokenizer
from models.training.trainer import train_stage

_BORDER = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_TEXTS_FOR_TOKENIZER = 30_000


def supporting_sentences(source: str, target: str, words: int) -> str:
    """The sentences of `source` that share most words with `target`, in order, up to about `words` words.

    Sources cut so cost a third of the whole ones, and teach a new decoder to copy and compress first;
    a later stage on whole sources teaches it to choose.
    """
    wanted = set(target.lower().split())
    sentences = _BORDER.split(source)

    def gain(index: int) -> float:
        own = set(sentences[index].lower().split())
        return len(own & wanted) / (len(own) + 8)

    kept: list[int] = []
    length = 0
    for index in sorted(range(len(sentences)), key=gain, reverse=True):
        size = len(sentences[index].split())
        if kept and length + size > words:
            continue
        kept.append(index)
        length += size
    return " ".join(sentences[index] for index in sorted(kept))


def _clean(text: str) -> str:
    return " ".join(text.split())


def _worded(pairs: list[tuple[str, str]], acting: float, seed: int) -> list[tuple[str, str]]:
    """The pairs whose target can be said without its paper and is worth learning; of those that then begin with a
    verb ("Compares …") this share."""
    chooser = random.Random(seed)
    made = []
    for source, target in pairs:
        said = about_its_subject(target)
        if opens_with_paper(said) and chooser.random() < acting:
            said = without_paper(said)
        if worth_learning(said, source):
            made.append((source, said))
    return made


def _pairs(rows: list[Row], stage: Stage) -> list[tuple[str, str]]:
    extra = stage.training.extra
    words = int(extra.get("supporting_words", 0))
    pairs = [(_clean(row["abstract"]), _clean(row.get("tldr") or row["title"])) for row in rows]
    if "acting" in extra:
        pairs = _worded(pairs, extra["acting"], stage.training.seed)
    if words:
        pairs = [(supporting_sentences(source, target, words), target) for source, target in pairs]
    return pairs


def _tokenizer_of(run: Path) -> Any:
    """The tokenizer of a run's last checkpoint, None if it has none: a run that goes on must keep its pieces."""
    last = get_last_checkpoint(str(run)) if run.is_dir() else None
    return AutoTokenizer.from_pretrained(last) if last and (Path(last) / "tokenizer.json").is_file() else None


def finetune_summarizer(recipe: Recipe, stage: Stage, *, start: str, data: Path, run: Path) -> tuple[Any, Any]:
    """Train an encoder-decoder; the first stage makes it from the base, a later one goes on from `start`."""
    training = stage.training
    if recipe.seq2seq is None:
        raise ValueError(f"recipe {recipe.name}: summarization needs a [seq2seq] section")
    pairs = _pairs(pick_rows(stage.sources, data, training.seed), stage)
    torch.manual_seed(training.seed)
    if stage is recipe.stages[0]:
        tokenizer = _tokenizer_of(run) or train_tokenizer(
            (text for pair in pairs[:_TEXTS_FOR_TOKENIZER] for text in pair),
            recipe.seq2seq.vocabulary,
            training.max_length,
        )
        model = build_seq2seq(start, tokenizer, recipe.seq2seq.decoder_layers)
    else:
        tokenizer = AutoTokenizer.from_pretrained(start)
        model = AutoModelForSeq2SeqLM.from_pretrained(start, attn_implementation="eager")
    model.config.dropout = training.hidden_dropout
    features = []
    for begin in range(0, len(pairs), 1024):
        part = pairs[begin : begin + 1024]
        sources = tokenizer([source for source, _ in part], truncation=True, max_length=training.max_length)[
            "input_ids"
        ]
        targets = tokenizer([target for _, target in part], truncation=True, max_length=96)["input_ids"]
        # BART's decoder starts from </s>, so the target's own <s> is left out: a step less for every summary.
        features += [{"input_ids": a, "labels": b[1:]} for a, b in zip(sources, targets, strict=True)]
    collate = DataCollatorForSeq2Seq(tokenizer, model=model, pad_to_multiple_of=8)
    return train_stage(model, tokenizer, features, collate, training, run=run), tokenizer
