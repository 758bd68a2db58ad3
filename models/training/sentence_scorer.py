"""Trains the sentence scorer of extractive summaries, a small head on a summarizer's encoder (sentences.onnx).

The target of a sentence is its ROUGE against the summary of an abstract, or the title of a news article.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from rouge_score.rouge_scorer import RougeScorer
from torch import nn
from tqdm import tqdm

from models.data.rows import Row, read_rows
from models.evaluation.sentence_vectors import Document, SentenceReader
from models.graphs.graph import Array
from service.extraction import FEATURES, features

GRAPH = "sentences.onnx"
_WIDTH = 128
_EPOCHS, _BATCH, _RATE, _SEED = 5, 64, 1e-3, 21
_SOFTNESS = 0.08  # of the target: how much of it goes to sentences that are nearly the best
_JOINED = 0.3  # share of texts that are several one after another: long, and with news in the middle
_LONGEST = 80  # sentences; longer texts are interviews and lists, which their title does not sum up


@dataclass(frozen=True)
class Example:
    """A text with the target of each sentence: ROUGE-1 + ROUGE-2 against the summary, in [0, 2]."""

    document: Document
    worth: Array


def scored_rows(data: Path) -> list[tuple[Row, int]]:
    """Rows of "text" and "summary" to learn from, and how often an epoch sees each."""
    papers = list(read_rows(data / "arxiv_tldr" / "train-0.jsonl.xz"))
    papers = random.Random(_SEED).sample(papers, min(3000, len(papers)))
    people = read_rows(data / "scitldr" / "train.jsonl")
    news = read_rows(data / "wikinews" / "2019.jsonl")
    return [
        *(({"text": row["abstract"], "summary": row["tldr"]}, 1) for row in papers),
        *(({"text": " ".join(row["source"]), "summary": _first(row["target"])}, 1) for row in people),
        *(({"text": row["text"], "summary": row["title"]}, 4) for row in news),
    ]


def _first(target: str | list[str]) -> str:
    return target if isinstance(target, str) else target[0]


def _worth(document: Document, summary: str, scorer: RougeScorer) -> Array:
    scores = (scorer.score(summary, sentence) for sentence in document.sentences)
    return np.array([each["rouge1"].fmeasure + each["rouge2"].fmeasure for each in scores], np.float32)


def read_examples(reader: SentenceReader, rows: Iterable[tuple[Row, int]]) -> list[Example]:
    """The rows read and labelled, repeated as they say; too long texts and those of one sentence are left out."""
    scorer = RougeScorer(["rouge1", "rouge2"], use_stemmer=False)
    examples = []
    for row, repeat in tqdm(list(rows), desc="reading sentences", unit="text", mininterval=5):
        document = reader.read(row["text"])
        if 1 < len(document.sentences) <= _LONGEST:
            examples += [Example(document, _worth(document, row["summary"], scorer))] * repeat
    return examples


class Scorer(nn.Module):
    """A sentence's vector, place and length to its score."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.narrow = nn.Linear(hidden, _WIDTH)
        self.mix = nn.Linear(_WIDTH + FEATURES, _WIDTH)
        self.score = nn.Linear(_WIDTH, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, vectors: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
        """Scores [sentences] of `vectors` [sentences, hidden] and their features."""
        narrow = self.narrow(self.dropout(self.norm(vectors)))
        mixed = torch.relu(self.mix(torch.cat([narrow, placed], -1)))
        return self.score(self.dropout(mixed))[:, 0]


def _texts(examples: list[Example], chooser: random.Random) -> Iterable[tuple[Array, list[int], Array]]:
    """Vectors, lengths and worths of an epoch's texts, in random order, some joined."""
    waiting = chooser.sample(examples, len(examples))
    while waiting:
        count = chooser.randint(2, 6) if chooser.random() < _JOINED else 1
        part, waiting = waiting[:count], waiting[count:]
        yield (
            np.concatenate([each.document.vectors for each in part]),
            [length for each in part for length in each.document.lengths],
            np.concatenate([each.worth for each in part]),
        )


def _loss(model: Scorer, texts: list[tuple[Array, list[int], Array]]) -> torch.Tensor:
    """Cross-entropy of each text's softmax over its sentences with a softmax over their worths."""
    vectors = torch.from_numpy(np.concatenate([vectors for vectors, _, _ in texts]))
    placed = torch.from_numpy(np.concatenate([features(lengths) for _, lengths, _ in texts]))
    scores = model(vectors, placed).split([len(worth) for _, _, worth in texts])
    losses = [
        -(torch.softmax(torch.from_numpy(worth) / _SOFTNESS, 0) * torch.log_softmax(own, 0)).sum()
        for own, (_, _, worth) in zip(scores, texts, strict=True)
    ]
    return torch.stack(losses).mean()


def train_scorer(examples: list[Example]) -> Scorer:
    """Train a head; a minute of one core for 5,000 texts."""
    torch.manual_seed(_SEED)
    model = Scorer(examples[0].document.vectors.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.1)
    chooser = random.Random(_SEED)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS)
    model.train()
    for _ in range(_EPOCHS):
        texts = list(_texts(examples, chooser))
        for begin in range(0, len(texts), _BATCH):
            optimizer.zero_grad()
            _loss(model, texts[begin : begin + _BATCH]).backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def whitening(vectors: Array) -> tuple[Array, Array]:
    """Mean [hidden] and projection [hidden, width] that give the vectors' main directions equal weight.

    An encoder's raw vectors all point one way: their cosines tell nothing (Su et al., 2021, arXiv 2103.15316).
    """
    mean = vectors.mean(axis=0)
    directions, variances, _ = np.linalg.svd(np.cov((vectors - mean).T))
    width = min(_WIDTH, len(mean))
    scale = np.sqrt(variances[:width] + 1e-6)
    return mean.astype(np.float32), (directions[:, :width] / scale).astype(np.float32)


def save_graph(model: Scorer, mean: Array, projection: Array, path: Path) -> None:
    """Write sentences.onnx: vectors [sentences, hidden], features [sentences, FEATURES] -> scores [sentences],
    units [sentences, width], unit vectors whose products are cosines.
    """
    weights = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    weights |= {"mean": mean, "projection": projection, "last": np.array([1]), "tiny": np.array([1e-6], np.float32)}
    node = helper.make_node
    nodes = [
        node("LayerNormalization", ["vectors", "norm.weight", "norm.bias"], ["normed"], epsilon=model.norm.eps),
        node("Gemm", ["normed", "narrow.weight", "narrow.bias"], ["narrow"], transB=1),
        node("Concat", ["narrow", "features"], ["placed"], axis=1),
        node("Gemm", ["placed", "mix.weight", "mix.bias"], ["mixed"], transB=1),
        node("Relu", ["mixed"], ["kept"]),
        node("Gemm", ["kept", "score.weight", "score.bias"], ["column"], transB=1),
        node("Squeeze", ["column", "last"], ["scores"]),
        node("Sub", ["vectors", "mean"], ["centred"]),
        node("MatMul", ["centred", "projection"], ["white"]),
        node("ReduceL2", ["white", "last"], ["length"]),
        node("Max", ["length", "tiny"], ["positive"]),
        node("Div", ["white", "positive"], ["units"]),
    ]
    hidden, width = projection.shape

    def value(name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["sentences", *shape])

    graph = helper.make_graph(
        nodes,
        "sentences",
        [value("vectors", hidden), value("features", FEATURES)],
        [value("scores"), value("units", width)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    written = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(written, full_check=True)
    onnx.save(written, path)


def finetune_sentences(folder: Path, data: Path) -> Path:
    """Make sentences.onnx in an artifact's folder from its encoder and the data; return its path."""
    examples = read_examples(SentenceReader(folder), scored_rows(data))
    model = train_scorer(examples)
    mean, projection = whitening(np.concatenate([each.document.vectors for each in examples]))
    save_graph(model, mean, projection, folder / GRAPH)
    return folder / GRAPH
