"""Entities are those of transformers' pipeline, one by one, for all strategies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, get_args

import pytest
import torch
import transformers
from optimum.exporters.onnx import main_export

from service.artifact import Artifact
from service.tasks.parameters import AggregationStrategy, EntitiesParameters
from service.tasks.token_classification import TokenClassification
from tests.models.taggers import TAGGERS, make_tagger
from tests.service.tasks.rounds import answered

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "torch.jit.TracerWarning", "UserWarning")
]

STRATEGIES = get_args(AggregationStrategy)
TEXTS = {
    "short": "Zoë Müller moved from Aberdeen to São Paulo.",
    "one stop": ".",
    "long": "Who wrote the letters that were found in Aberdeen by Zoë Müller? " * 12,
    "CJK": "東京都の天気は晴れです。大阪の天気は？",
    "emoji with joiners": "Zoë 👩🏽‍🚀🎉 moved 👨‍👩‍👧 to Paulo🏴󠁧󠁢󠁳󠁣󠁴󠁿",
    "decomposed accents": "Zoe\u0308 Mu\u0308ller na\u0131\u0308ve cafe\u0301 \u0301x",
    "white space": " \t Zoë\u00a0Müller \n\n  moved\r\n\u3000to   São\u200bPaulo  ",
    "digits and addresses": "221B Baker Street, 12/03/2021; a.b+c@example.org https://x.org/?q=1&r=%20 £1,234.50",
    "special tokens": "[CLS] Zoë [SEP] <s>Müller</s> <mask> [MASK] <unk> [UNK] <pad> moved",
    "mixed scripts": "Москва, Київ и שלום עולם مرحبا नमस्ते Aberdeen ﬁne Ⅷ",
    "unknown characters": "Zoë ☃☃ ☃snow ⌘ Müller\ufffd",
}


Pair = tuple[transformers.TokenClassificationPipeline, TokenClassification]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    """A tagger by kind: transformers' pipeline, and the task on what Optimum exported."""
    torch.set_num_threads(1)
    done: dict[str, Pair] = {}

    def make(kind: str) -> Pair:
        if kind not in done:
            folder = tmp_path_factory.mktemp("taggers") / kind
            source = make_tagger(kind, folder / "source")
            main_export(str(source), folder, framework="pt", task="token-classification", do_validation=False)
            pipeline = transformers.pipeline("token-classification", model=str(source), device="cpu")
            done[kind] = pipeline, TokenClassification(Artifact(folder), batch_tokens=256, intra_op_threads=1)
        return done[kind]

    return make


def _entities(task: TokenClassification, text: str, **parameters: Any) -> list[dict[str, Any]]:
    result = answered(task, text, EntitiesParameters(**parameters)).result
    return [asdict(each) for each in result.entities]


def _same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    scores = pytest.approx([float(each.pop("score")) for each in wanted], abs=1e-5)
    return [each.pop("score") for each in found] == scores and found == wanted


@pytest.mark.parametrize("kind", TAGGERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_entities_are_those_of_transformers(pair: Callable[[str], Pair], kind: str, strategy: str) -> None:
    (pipeline, task), names = pair(kind), set[str]()
    for number, (name, text) in enumerate(TEXTS.items()):
        for ignore_labels in ([], (["O"], ["PER", "B-LOC", "MISC"])[number % 2]):
            wanted = pipeline(text, aggregation_strategy=strategy, ignore_labels=ignore_labels)
            parameters = {"aggregation_strategy": strategy, "ignore_labels": ignore_labels}
            found = _entities(task, text, **parameters, long_text="truncate")
            assert _same(found, wanted), (name, found, wanted)
            names.update(each.get("entity") or each["entity_group"] for each in wanted)
    assert len(names) >= 3, "labels of several kinds are found"


@pytest.mark.parametrize("kind", TAGGERS)
def test_a_text_that_is_read_at_once_is_read_the_same_by_every_policy(pair: Callable[[str], Pair], kind: str) -> None:
    task = pair(kind)[1]
    texts = [text for text in TEXTS.values() if answered(task, text, EntitiesParameters()).result.windows == 1]
    assert len(texts) > 3
    for text in texts:
        found = [_entities(task, text, long_text=policy) for policy in ("window", "truncate", "error")]
        assert found[0] == found[1] == found[2]
