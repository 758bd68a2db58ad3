"""Entities are those of transformers' pipeline, one by one, for all strategies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pytest
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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """A tagger by kind: as transformers saved it, and as Optimum exported it."""
    done: dict[str, tuple[Path, Path]] = {}

    def make(kind: str) -> tuple[Path, Path]:
        if kind not in done:
            folder = tmp_path_factory.mktemp(kind)
            source = make_tagger(kind, folder / "source")
            main_export(str(source), folder / kind, framework="pt", task="token-classification", do_validation=False)
            done[kind] = source, folder / kind
        return done[kind]

    return make


def _served(folder: Path) -> TokenClassification:
    return TokenClassification(Artifact(folder), batch_tokens=256, intra_op_threads=1)


def _entities(task: TokenClassification, text: str, **parameters: Any) -> list[dict[str, Any]]:
    result = answered(task, text, EntitiesParameters(**parameters)).result
    return [asdict(each) for each in result.entities]


def _same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    scores = pytest.approx([float(each.pop("score")) for each in wanted], abs=1e-5)
    return [each.pop("score") for each in found] == scores and found == wanted


@pytest.mark.parametrize("kind", TAGGERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ignore_labels", [["O"], [], ["PER", "B-LOC", "MISC"]])
def test_entities_are_those_of_transformers(
    made: Callable[[str], tuple[Path, Path]], kind: str, strategy: str, ignore_labels: list[str]
) -> None:
    source, folder = made(kind)
    pipeline = transformers.pipeline("token-classification", model=str(source), device="cpu")
    task, count = _served(folder), 0
    for name, text in TEXTS.items():
        wanted = pipeline(text, aggregation_strategy=strategy, ignore_labels=ignore_labels)
        parameters = {"aggregation_strategy": strategy, "ignore_labels": ignore_labels, "long_text": "truncate"}
        found = _entities(task, text, **parameters)
        assert _same(found, wanted), (name, found, wanted)
        count += len(wanted)
    assert count > 2 * len(TEXTS), "they must find something"


@pytest.mark.parametrize("kind", TAGGERS)
def test_a_text_that_is_read_at_once_is_read_the_same_by_every_policy(
    made: Callable[[str], tuple[Path, Path]], kind: str
) -> None:
    task = _served(made(kind)[1])
    for text in TEXTS.values():
        if answered(task, text, EntitiesParameters()).result.windows == 1:
            found = [_entities(task, text, long_text=policy) for policy in ("window", "truncate", "error")]
            assert found[0] == found[1] == found[2]
