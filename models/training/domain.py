"""The classifier of a summarizer's domain, domain.json: of which texts it writes a summary, and of which sentences are
chosen instead. A linear model over the distinct tokens of a text, of abstracts against general texts.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from models.data.domain_texts import abstracts, general_texts, held_out_texts
from models.data.rows import read_rows
from models.graphs.graph import Array
from service.artifact import Artifact
from service.domain import DomainClassifier, domain_ids
from service.encoding import Tokenizer

FILE = "domain.json"
_TEXTS = "abstracts of papers in computer science"
_KEPT = 800  # tokens with a weight of their own; all 12,000 tell the held-out texts apart no better
_EPOCHS, _BATCH, _RATE, _DECAY, _SEED = 6, 256, 0.02, 0.05, 31
_SCALE = 100  # weights are whole hundredths
_PASSED = 0.99  # share of whole abstracts that the threshold lets pass, measured on some that were not learnt from
_CALIBRATION = 1_000


class _Bags:
    """Texts by their distinct tokens, each number of which stands for one weight."""

    def __init__(self, bags: list[Array]) -> None:
        self._bags = [torch.from_numpy(bag) for bag in bags]

    def __len__(self) -> int:
        return len(self._bags)

    def batch(self, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The tokens of all rows, [tokens]; where each row's begin, [rows]; roots of how many they are, [rows]."""
        chosen = [self._bags[row] for row in rows]
        sizes = torch.tensor([len(bag) for bag in chosen])
        return torch.cat(chosen), torch.cumsum(sizes, 0) - sizes, sizes.sqrt()


def _fit(bags: list[Array], labels: Array, size: int) -> Array:
    """Weights [size] of the logistic regression on sum(weights) / sqrt(tokens); both classes count alike."""
    torch.manual_seed(_SEED)
    chooser = random.Random(_SEED)
    held, wanted = _Bags(bags), torch.from_numpy(labels)
    share = (1 - wanted).sum() / wanted.sum()
    weights, threshold = nn.EmbeddingBag(size, 1, mode="sum"), nn.Parameter(torch.zeros(()))
    nn.init.zeros_(weights.weight)
    optimizer = torch.optim.AdamW([*weights.parameters(), threshold], lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS)
    for _ in range(_EPOCHS):
        order = chooser.sample(range(len(held)), len(held))
        for begin in range(0, len(order), _BATCH):
            rows = order[begin : begin + _BATCH]
            tokens, begins, roots = held.batch(rows)
            logits = weights(tokens, begins)[:, 0] / roots - threshold
            counts = torch.where(wanted[rows] > 0, share, 1.0)
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(logits, wanted[rows], counts).backward()
            optimizer.step()
        schedule.step()
    return np.asarray(weights.weight.detach()[:, 0].numpy())


def train_domain(bags: list[Array], labels: Array, vocabulary: int, *, kept: int = _KEPT) -> tuple[Array, Array, int]:
    """The `kept` tokens that tell most, their weights [kept] in whole hundredths, and the weight of all other tokens.

    `bags` are the distinct token ids of each text, `labels` [texts] float32, 1 for the domain. Deterministic.
    """
    weights = _fit(bags, labels, vocabulary)
    often = np.bincount(np.concatenate(bags), minlength=vocabulary)
    telling = np.abs(weights - np.average(weights, weights=often)) * np.sqrt(often)
    tokens = np.sort(np.argsort(-telling, kind="stable")[:kept])
    numbers = np.zeros(vocabulary, np.int64)  # 0 is the number of all tokens that are not kept
    numbers[tokens] = 1 + np.arange(len(tokens))
    fitted = _fit([numbers[bag] for bag in bags], labels, 1 + len(tokens))
    whole = np.rint(_SCALE * fitted).astype(np.int64)
    return tokens, whole[1:], int(whole[0])


def finetune_domain(folder: Path, data: Path) -> Path:
    """Make domain.json in an artifact's folder from its tokenizer and the data; return its path."""
    artifact, chooser = Artifact(folder), random.Random(_SEED)
    tokenizer, path = Tokenizer(folder), folder / FILE

    def bag(text: str) -> Array:
        return np.unique(np.array(domain_ids(tokenizer, text, artifact.max_tokens), np.int64))

    inside, outside = list(abstracts(data, chooser)), list(general_texts(data, chooser))
    bags = [bag(text) for text in tqdm([*inside, *outside], desc="reading texts", unit="text", mininterval=5)]
    labels = np.repeat(np.array([1, 0], np.float32), [len(inside), len(outside)])
    vocabulary = int(artifact.config["vocab_size"])
    tokens, weights, other = train_domain(bags, labels, vocabulary)
    content = {"texts": _TEXTS, "threshold": 0, "other": other}
    content |= {"tokens": tokens.tolist(), "weights": weights.tolist()}

    def write() -> None:
        path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")

    write()
    classifier = DomainClassifier(path, vocabulary=vocabulary)
    unseen = [row["abstract"] for row in read_rows(data / "arxiv_tldr" / "train-1.jsonl.xz")][:_CALIBRATION]
    scores = [classifier.score(domain_ids(tokenizer, text, artifact.max_tokens)) for text in unseen]
    content["threshold"] = int(np.quantile(scores, 1 - _PASSED))
    write()
    return path


def score_domain(folder: Path, data: Path) -> dict[str, float]:
    """Of each kind of held-out texts, the share in points that is given a written summary."""
    artifact, tokenizer = Artifact(folder), Tokenizer(folder)
    classifier = DomainClassifier(folder / FILE, vocabulary=int(artifact.config["vocab_size"]))
    found = {}
    for name, texts in tqdm(held_out_texts(data).items(), desc="scoring", unit="set"):
        accepted = [classifier.accepts(domain_ids(tokenizer, text, artifact.max_tokens)) for text in texts]
        found[name] = round(100 * sum(accepted) / len(texts), 2)
    return found
