"""Requests, seeded, so that every system gets the same ones. Standard library only, unless texts are to be made."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from load_tests.compare.contender import ROOT

ARTIFACT = ROOT / "models" / "artifacts" / "summarizer"
ABSTRACTS = ROOT.parent / "shared" / "data" / "arxiv_tldr"
"""Real texts, where a checkout of the project's data lies beside this one; others are made up."""
TEXTS = 600
SOURCE_TOKENS, WRITTEN_TOKENS = (50, 400), (10, 60)
THINK_S = 0.01
"""Between an answer and the next text, on average: as good as at once."""


@dataclass(frozen=True)
class Request:
    """A text and how it is to be summarized; `tokens` are written exactly, or with 0 as many as the model wants."""

    text: str
    tokens: int = 0
    num_beams: int = 1
    no_repeat_ngram_size: int = 0


LONGEST = 64
"""Tokens written at most where the model decides: the artifact's own default."""
FIXED, SERVED = "fixed", "served"
LOADS = {
    FIXED: "greedy, exactly 10 to 60 tokens each",
    SERVED: "as served: 2 beams, no 3-gram twice, as long as the model wants",
}


def _abstracts(folder: Path) -> list[str]:
    files = sorted(folder.glob("val*.jsonl*"))
    if not files:
        return []
    with lzma.open(files[0], "rt", encoding="utf-8") if files[0].suffix == ".xz" else files[0].open() as file:
        return [json.loads(line)["abstract"] for line in file.read().split("\n") if line]


def texts(count: int = TEXTS, folder: Path = ABSTRACTS) -> list[str]:
    """Of 50 to 400 tokens, special ones included: the abstracts in a folder, cut or joined to that."""
    import tokenizers

    from load_tests.texts import long_texts

    chance = random.Random("summaries")
    tokenizer = tokenizers.Tokenizer.from_file(str(ARTIFACT / "tokenizer.json"))
    tokenizer.no_truncation()
    found = _abstracts(folder) or long_texts(count)
    chance.shuffle(found)
    made = []
    for number in range(count):
        wanted = chance.randint(*SOURCE_TOKENS) - 2
        text = found[number % len(found)]
        offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        while len(offsets) < wanted:
            text += " " + chance.choice(found)
            offsets = tokenizer.encode(text, add_special_tokens=False).offsets
        made.append(text[: offsets[wanted - 1][1]])
    return made


@dataclass(frozen=True)
class Crowd:
    """Clients who ask, wait, think and ask again."""

    clients: int
    load: str
    think_s: float = THINK_S
    """Mean of exponential times: much of it makes arrivals random, and fewer than the engine could answer."""

    def __str__(self) -> str:
        thinking = "" if self.think_s == THINK_S else f" that think for {self.think_s:g} s"
        return f"{LOADS[self.load]}; {self.clients} clients{thinking}"


def plan(pool: Sequence[str], crowd: Crowd, *, client: int, seed: int) -> Iterator[tuple[float, Request]]:
    """What a client does, for ever: seconds to think, then a request. No two clients ask for the same text."""
    pool = pool[client :: crowd.clients]
    chance = random.Random(f"{seed}/{client}")
    while True:
        text, tokens, think_s = (
            chance.choice(pool),
            chance.randint(*WRITTEN_TOKENS),
            chance.expovariate(1 / crowd.think_s),
        )
        if crowd.load == FIXED:
            yield think_s, Request(text, tokens)
        else:
            yield think_s, Request(text, 0, num_beams=2, no_repeat_ngram_size=3)
