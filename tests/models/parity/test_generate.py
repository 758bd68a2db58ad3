"""The service writes what `generate` of transformers does, token for token, over a grid of options; alone or not.

The models are random, so the test looks at what they write too: it must be varied, and end early now and then.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import transformers

from models.graphs.export import export_model
from models.graphs.quantize import quantize_artifact
from service.config import Settings
from service.engine.registry import Registry
from service.scheduling.job import Job, Passes, Row
from service.scheduling.queue import Queue, Urgency
from service.scheduling.scheduler import Scheduler
from service.seq2seq.model import ROWS_A_STEP, GenerateInput, Seq2SeqModel
from service.seq2seq.options import GenerationOptions
from service.text.tokenizer import Encoding
from tests.models.tiny import make_model
from tests.service.scheduling.doubles import SubmittedJob

KINDS = ("bart", "marian", "t5")
STATIC = ("bart", "marian")
TEXTS_AN_OPTION = 4
SHORTEST, LONGEST = 8, 40
PATIENCE_S = 60
# Of an encoder's pass. Small where texts join, so that batches begin with one or two and grow.
BATCH_TOKENS = {"bart": 24, "marian": 24, "t5": 128}

# What Optimum and torch have to say about each other.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "torch.jit.TracerWarning")
]


def grid() -> list[GenerationOptions]:
    """Searches, blocked n-grams, length penalties (which greedy search has none of) and limits, each with each."""
    searches = [(1, 1.0), *product((2, 4), (0.5, 1.0, 2.0))]
    limits = [(0, 20), (6, 14), (9, 9)]
    return [
        GenerationOptions(
            num_beams=beams,
            length_penalty=penalty,
            no_repeat_ngram_size=size,
            min_new_tokens=least,
            max_new_tokens=max_batch_rows,
        )
        for (beams, penalty), size, (least, max_batch_rows) in product(searches, (0, 2, 3), limits)
    ]


OPTIONS = grid()


@dataclass(frozen=True)
class Model:
    """One that was made for this; beside its source are fp32 and int8 artifacts."""

    kind: str
    source: Path
    sources: list[list[list[int]]]
    """For each of OPTIONS texts of one length, as token ids."""

    def prompts(self) -> list[GenerateInput]:
        """Of all texts."""
        return [
            GenerateInput(Encoding(array("q", ids), array("q", [0]) * len(ids)), options)
            for options, texts in zip(OPTIONS, self.sources, strict=True)
            for ids in texts
        ]


# Of the end token's logit, so that some texts end early and some do not.
_END_BIAS = {"bart": 1.0, "marian": 2.5}


def _sharpen(kind: str, model: Any) -> None:
    """Let sources matter, few words be likely, and the end be one of them now and then."""
    with torch.no_grad():
        if kind == "t5":
            for block in model.decoder.block:
                block.layer[1].EncDecAttention.o.weight *= 4.0
            model.shared.weight *= 4.0
            model.shared.weight[model.config.eos_token_id] *= 3.0
            return
        for layer in model.model.decoder.layers:
            layer.encoder_attn.out_proj.weight *= 8.0
        model.final_logits_bias[0, model.config.eos_token_id] += _END_BIAS[kind]


def _sources(config: Any) -> list[list[list[int]]]:
    chance = np.random.default_rng(11)
    words = sorted(set(range(4, config.vocab_size)) - {config.pad_token_id, config.eos_token_id})
    lengths = chance.integers(SHORTEST, LONGEST, len(OPTIONS)).tolist()
    return [
        [[*chance.choice(words, length).tolist(), config.eos_token_id] for _ in range(TEXTS_AN_OPTION)]
        for length in lengths
    ]


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("written")
    source = folder / "source"
    make_model(request.param, source)
    sharper = transformers.AutoModelForSeq2SeqLM.from_pretrained(source).eval()
    _sharpen(request.param, sharper)
    sharper.save_pretrained(source)
    fp32 = export_model(str(source), folder / "fp32", "summarization")
    quantize_artifact(fp32, folder / "int8")
    return Model(request.param, source, _sources(sharper.config))


def _own(options: GenerationOptions) -> dict[str, Any]:
    """What `generate` knows of them."""
    return {name: value for name, value in asdict(options).items() if name != "names_from_source"}


def generated(model: Model) -> list[list[int]]:
    """What transformers writes, start and end left out. Texts of one length share a call, so that nothing is padded."""
    reference = transformers.AutoModelForSeq2SeqLM.from_pretrained(model.source).eval()
    end = reference.config.eos_token_id
    written = []
    for options, texts in zip(OPTIONS, model.sources, strict=True):
        ids = torch.tensor(texts)
        with torch.no_grad():
            rows = reference.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, **_own(options)
            )
        for _, *tokens in rows.tolist():
            written.append(tokens[: tokens.index(end)] if end in tokens else tokens)
    return written


def loaded(model: Model, precision: str) -> Seq2SeqModel:
    folder, batch_tokens = model.source.parent / precision, BATCH_TOKENS[model.kind]
    registry = Registry(
        Settings(models_dir=folder.parent, models=folder.name, workers=1, max_batch_tokens=batch_tokens)
    )
    decoder = registry.models[folder.name].task.model
    assert isinstance(decoder, Seq2SeqModel)
    return decoder


def alone(decoder: Seq2SeqModel, prompts: list[GenerateInput]) -> list[list[int]]:
    written = []
    for prompt in prompts:
        (row,) = SubmittedJob([(prompt, len(prompt.encoding))]).rows
        ((finished, tokens),) = [each for done in decoder.run([row], exclusive=True) for each in done.finished]
        assert finished is row
        written.append(cast("list[int]", tokens))
    return written


def beams(row: Row) -> int:
    assert isinstance(row.inputs, GenerateInput)
    return row.inputs.options.num_beams


class Watcher:
    """Sees how many decoder rows batches began with and came to."""

    def __init__(self) -> None:
        self.begun = 0
        self.largest = 0
        self.failures = 0

    def started(self, waits_s: list[float]) -> None:
        del waits_s

    def ran(self, *, rows: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        del padded_tokens, seconds
        if rows == tokens:  # a step
            self.largest = max(self.largest, rows)

    def saved(self, passes: int) -> None:
        raise AssertionError(f"{passes} passes saved, and nobody left")

    def failed(self, rows: int) -> None:
        self.failures += rows


def in_company(decoder: Seq2SeqModel, prompts: list[GenerateInput], watcher: Watcher) -> list[list[int]]:
    """All at once, each a request of its own, on two workers: batches form, and join each other between steps."""
    answered = threading.Semaphore(0)

    def deliver(jobs: list[Job]) -> None:
        answered.release(len(jobs))

    def run(rows: list[Row], *, exclusive: bool) -> Passes:
        watcher.begun = max(
            watcher.begun,
            sum(prompt.options.num_beams for prompt in cast("list[GenerateInput]", [row.inputs for row in rows])),
        )
        return decoder.run(rows, exclusive=exclusive)

    scheduler = Scheduler(threads=2, deliver=deliver)
    queue = Queue(limit=len(prompts), cost=decoder.cost, urgency=Urgency(), remaining_s=decoder.remaining_s)
    scheduler.add("model", run, queue, watcher, max_batch_rows=decoder.max_batch_rows)
    jobs = [SubmittedJob([(prompt, len(prompt.encoding))]) for prompt in prompts]
    for job in jobs:
        scheduler.submit("model", job.rows)
    scheduler.start()
    try:
        for _ in jobs:
            assert answered.acquire(timeout=PATIENCE_S)
    finally:
        scheduler.close()
    return cast("list[list[int]]", [job.results()[0] for job in jobs])


def check_variety(written: list[list[int]]) -> None:
    """Else equality would prove little."""
    limits = [options.max_new_tokens for options in OPTIONS for _ in range(TEXTS_AN_OPTION)]
    early = sum(len(tokens) < limit for tokens, limit in zip(written, limits, strict=True))
    assert len(written) / 10 < early < len(written) / 2
    assert len(set(map(tuple, written))) > len(written) / 2
    words = Counter(token for tokens in written for token in tokens)
    assert len(words) > 20
    assert words.most_common(1)[0][1] < words.total() / 2


def test_each_text_is_what_generate_writes(model: Model) -> None:
    wanted = generated(model)
    assert len(wanted) >= 200
    check_variety(wanted)
    assert alone(loaded(model, "fp32"), model.prompts()) == wanted


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_text_in_company_is_the_text_alone(model: Model, precision: str) -> None:
    decoder, prompts, watcher = loaded(model, precision), model.prompts(), Watcher()
    wanted = alone(decoder, prompts)
    check_variety(wanted)
    assert in_company(decoder, prompts, watcher) == wanted
    assert watcher.failures == 0
    assert watcher.largest > 4, "nothing shared a step"
    if model.kind in STATIC:
        assert watcher.begun < watcher.largest <= ROWS_A_STEP, "nobody joined a batch under way"
