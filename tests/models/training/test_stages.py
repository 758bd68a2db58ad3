"""Fine-tuning on tiny data: it learns, it resumes, and what it leaves can be exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from models.data.recipe import HeldOut, Recipe, Seq2Seq, Source, Stage, Training
from models.training.question_answering import held_out_questions, training_rows, unanswerable_rows, window_features
from models.training.seq2seq import build_seq2seq, train_tokenizer
from models.training.stages import finetune_recipe
from models.training.summarization import supporting_sentences
from tests.models.doubles import NONE_ALIKE, TRAINING, question_rows, recipe, write_rows
from tests.models.tiny import SENTENCES, make_model

pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    make_model("bert", tmp_path / "base")
    return tmp_path / "base"


def test_a_classifier_learns_and_a_second_run_trains_nothing(base: Path, tmp_path: Path) -> None:
    rows = [{"text": SENTENCES[index % 2], "label": index % 2} for index in range(16)]
    data = write_rows(tmp_path / "data", rows)
    plan = recipe("text-classification", labels=("bad", "good"))
    final = finetune_recipe(plan, base=str(base), data=data, runs=tmp_path / "runs")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(final).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(final)
    with torch.no_grad():
        logits = model(**tokenizer(SENTENCES[:2], return_tensors="pt", padding=True)).logits
    assert logits.argmax(-1).tolist() == [0, 1]
    assert model.config.id2label == {0: "bad", 1: "good"}
    before = (final / "model.safetensors").stat().st_mtime_ns
    assert finetune_recipe(plan, base=str(base), data=data, runs=tmp_path / "runs") == final
    assert (final / "model.safetensors").stat().st_mtime_ns == before


def test_a_run_that_was_cut_off_goes_on_from_its_checkpoint(base: Path, tmp_path: Path) -> None:
    """Cut off after the last step: the second run has nothing left to do, whatever it would have trained itself."""
    rows = [{"text": SENTENCES[index % 2], "label": index % 2} for index in range(16)]
    data, runs = write_rows(tmp_path / "data", rows), tmp_path / "runs"
    short = TRAINING.model_copy(update={"epochs": 1.0, "save_steps": 4})
    plan = recipe("text-classification", short, labels=("bad", "good"))
    final = finetune_recipe(plan, base=str(base), data=data, runs=runs)
    trained = (final / "model.safetensors").read_bytes()
    for left in final.iterdir():
        left.unlink()
    other = recipe("text-classification", short.model_copy(update={"seed": 99}), labels=("bad", "good"))
    assert finetune_recipe(other, base=str(base), data=data, runs=runs) == final
    assert (final / "model.safetensors").read_bytes() == trained
    fresh = finetune_recipe(other, base=str(base), data=data, runs=tmp_path / "fresh")
    assert (fresh / "model.safetensors").read_bytes() != trained


def test_the_recipes_base_is_checked(base: Path, tmp_path: Path) -> None:
    plan = recipe("text-classification", labels=("bad", "good"), base_sha256="0" * 64)
    with pytest.raises(ValueError, match="sha256"):
        finetune_recipe(plan, base=str(base), data=tmp_path, runs=tmp_path)


def test_windows_hold_the_answers_tokens(base: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    context = " ".join(SENTENCES)
    answer = "herring"
    row = {
        "question": SENTENCES[2],
        "context": context,
        "answers": {"text": [answer], "answer_start": [context.index(answer)]},
    }
    training = TRAINING.model_copy(update={"extra": {"stride": 4, "empty_windows": 1.0}})
    features = window_features([row], tokenizer, training)
    found = [feature for feature in features if feature["start_positions"]]
    assert len(features) > 1
    assert found
    for feature in found:
        span = feature["input_ids"][feature["start_positions"] : feature["end_positions"] + 1]
        assert tokenizer.decode(span) == answer
    empty = window_features(
        [row], tokenizer, training.model_copy(update={"extra": {"stride": 4, "empty_windows": 0.0}})
    )
    assert len(empty) == len(found)


def test_unanswerable_rows_hold_no_answer() -> None:
    rows: list[dict[str, Any]] = [
        {"question": f"q{n}", "context": f"the word {n} here", "answers": {"text": [f"word {n}"], "answer_start": [4]}}
        for n in range(10)
    ]
    made = unanswerable_rows(rows, 0.5, seed=1)
    assert made
    for row in made:
        wanted = next(each["answers"]["text"][0] for each in rows if each["question"] == row["question"])
        assert wanted not in row["context"]
        assert row["answers"]["text"] == []


def reader_plan(training: Training) -> Recipe:
    source = Source(files=("rows.jsonl",), home="", licence="")
    first = Stage(name="first", sources=(source.model_copy(update={"cap": 20}),), training=training)
    second = Stage(name="second", sources=(source,), training=training)
    plan = recipe("question-answering", held_out=HeldOut(rows=8))
    return plan.model_copy(update={"stages": (first, second)})


def test_held_out_questions_are_those_that_no_stage_sees(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data", question_rows(40))
    plan = reader_plan(TRAINING)
    held = {row["context"] for row in held_out_questions(plan, data)}
    seen = [{row["context"] for row in training_rows(plan, stage, NONE_ALIKE, data)} for stage in plan.stages]
    assert [len(held), len(seen[0]), len(seen[1])] == [8, 20, 32]
    assert not held & (seen[0] | seen[1])


def test_a_reader_learns_its_temperature_and_when_to_decline(base: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data", question_rows(40))
    extra = {"stride": 8.0, "crop": 0.5, "removed": 0.2, "swapped": 0.5}
    training = TRAINING.model_copy(update={"epochs": 1.0, "extra": extra, "decay_from": 0.5})
    final = finetune_recipe(reader_plan(training), base=str(base), data=data, runs=tmp_path / "runs")
    assert isinstance(json.loads((final / "config.json").read_text())["shoal"]["no_answer_bias"], float)
    # Between stages nothing is fitted.
    assert "shoal" not in json.loads((final.parents[1] / "first" / "final" / "config.json").read_text())


def test_the_learning_rate_stays_and_then_falls(base: Path, tmp_path: Path) -> None:
    rows = [{"text": SENTENCES[index % 2], "label": index % 2} for index in range(16)]
    data = write_rows(tmp_path / "data", rows)
    # 4 batches an epoch; 2 epochs and a half
    training = TRAINING.model_copy(update={"epochs": 2.5, "decay_from": 0.6, "save_steps": 1})
    rates = []
    keep = torch.optim.AdamW.step

    def noting(self: Any, *given: Any, **named: Any) -> Any:
        rates.append(self.param_groups[0]["lr"] / training.learning_rate)
        return keep(self, *given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", noting)
        plan = recipe("text-classification", training, labels=("bad", "good"))
        finetune_recipe(plan, base=str(base), data=data, runs=tmp_path / "runs")
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_a_stage_may_keep_some_of_the_weights_of_earlier_ones(base: Path, tmp_path: Path) -> None:
    rows = [{"text": SENTENCES[index % 2], "label": index % 2} for index in range(8)]
    data = write_rows(tmp_path / "data", rows)
    plan = recipe("text-classification", TRAINING.model_copy(update={"epochs": 1.0}), labels=("bad", "good"))
    (first,) = plan.stages
    second = first.model_copy(update={"name": "second"})
    weights = {}
    for name, keep in (("none", {}), ("some", {"only": 0.5, "second": 0.25})):
        training = first.training.model_copy(update={"keep": keep, "learning_rate": 1e-3})
        third = first.model_copy(update={"name": "third", "training": training, "begins": "only"})
        stages = (first, second, third)
        runs = tmp_path / name
        finetune_recipe(plan.model_copy(update={"stages": stages}), base=str(base), data=data, runs=runs)
        for stage in stages:
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                runs / "tiny" / stage.name / "final"
            )
            weights[name, stage.name] = model.bert.encoder.layer[0].output.dense.weight.detach()
    whole, only, second_weights = (weights["none", stage] for stage in ("third", "only", "second"))
    assert not torch.equal(whole, only)
    assert (whole - only).abs().max() < (second_weights - only).abs().max(), "it begins at the first"
    torch.testing.assert_close(weights["some", "third"], 0.25 * whole + 0.5 * only + 0.25 * second_weights)


def test_a_stage_can_only_build_on_earlier_ones() -> None:
    plan = recipe("text-classification", labels=("bad", "good"))
    (only,) = plan.stages
    for stage in (
        only.model_copy(update={"begins": "later"}),
        only.model_copy(update={"training": only.training.model_copy(update={"keep": {"only": 0.5}})}),
    ):
        with pytest.raises(ValueError, match="no earlier stage"):
            Recipe.model_validate({**plan.model_dump(), "stages": [stage.model_dump()]})


def test_supporting_sentences_keep_their_order_and_their_budget() -> None:
    source = "Nothing to see here at all. We train a small model. It is fast. The weather is fine today."
    assert supporting_sentences(source, "a small model that is fast", 9) == "We train a small model. It is fast."


def test_a_seq2seq_encodes_as_its_base_does(base: Path, tmp_path: Path) -> None:
    """With the base's own pieces the encoder is the base, weight for weight."""
    pieces = transformers.AutoTokenizer.from_pretrained(base)
    encoder = transformers.AutoModel.from_pretrained(base).eval()
    model = build_seq2seq(str(base), pieces, decoder_layers=1).eval()
    with torch.no_grad():
        model.model.shared.weight.copy_(encoder.embeddings.word_embeddings.weight[: len(pieces)])
        inputs = pieces(SENTENCES[0], return_tensors="pt")
        inputs.pop("token_type_ids", None)
        wanted = encoder(**inputs).last_hidden_state
        found = model.model.encoder(**inputs).last_hidden_state
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


def test_the_cased_tokenizer_gives_texts_back() -> None:
    tokenizer = train_tokenizer(SENTENCES, 400, 64)
    for text in [*SENTENCES, "Größe 12.5 🐟 漢字 (BERT-base)"]:
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True).strip() == text
    assert tokenizer.tokenize("2026") == ["Ġ", "2", "0", "2", "6"]


def test_a_summarizer_is_made_and_trained(base: Path, tmp_path: Path) -> None:
    rows = [{"abstract": text, "tldr": text.split(",")[0]} for text in SENTENCES] * 2
    data = write_rows(tmp_path / "data", rows)
    training = TRAINING.model_copy(update={"epochs": 1.0})
    plan = recipe("summarization", training, seq2seq=Seq2Seq(vocabulary=300, decoder_layers=1))
    final = finetune_recipe(plan, base=str(base), data=data, runs=tmp_path / "runs")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(final)
    assert (model.config.encoder_layers, model.config.decoder_layers) == (2, 1)
