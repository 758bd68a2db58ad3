"""A stage that another recipe's model teaches: rows translated for it, its logits kept, and the loss of the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import processors

from models.data.model_card import model_card
from models.data.recipe import Recipe, TeacherSettings, load_recipe
from models.training import stages
from models.training.stages import finetune_recipe
from models.training.teacher_logits import TeacherTokens, distillation_inputs
from tests.models.doubles import TRAINING, question_rows, recipe, write_rows
from tests.models.tiny import SENTENCES, Exported, make_model

HEADS = {
    "bert": transformers.AutoModelForSequenceClassification,
    "bert-qa": transformers.AutoModelForQuestionAnswering,
}
TEACHING = TeacherSettings(recipe="teacher", temperature=2.0, logits=1.0, labels=0.0)


def tokenizer_of(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


def other_family(folder: Path) -> Any:
    """The same pieces under other numbers and other frames: <s> a </s> and <s> a </s></s> b </s>, as MPNet has them."""
    tokenizer = tokenizer_of(folder).backend_tokenizer
    names = {"[CLS]": "<s>", "[SEP]": "</s>"}
    pieces = sorted(tokenizer.get_vocab(), reverse=True)
    vocabulary = {names.get(piece, piece): number for number, piece in enumerate(pieces)}
    tokenizer.model = type(tokenizer.model)(vocabulary, unk_token="[UNK]")
    start, end = vocabulary["<s>"], vocabulary["</s>"]
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", end), ("<s>", start), add_prefix_space=False)

    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", cls_token="<s>", sep_token="</s>", pad_token="[PAD]"
    )


@pytest.mark.parametrize("pair", [False, True])
def test_a_row_is_what_the_teachers_tokenizer_makes_of_the_texts(tmp_path: Path, pair: bool) -> None:
    make_model("bert", tmp_path / "m")
    student, teacher = tokenizer_of(tmp_path / "m"), other_family(tmp_path / "m")
    teacher.backend_tokenizer.enable_padding(length=128)  # as in the folder of a sentence-transformers model
    texts = SENTENCES[:2] if pair else SENTENCES[:1]
    ids = student(*texts)["input_ids"]
    row = TeacherTokens(student, teacher).row(ids)
    assert row.ids == teacher(*texts)["input_ids"]
    names = {"[CLS]": "<s>", "[SEP]": "</s>"}
    pieces = [names.get(piece, piece) for piece in student.convert_ids_to_tokens(ids)]
    assert teacher.convert_ids_to_tokens([row.ids[place] for place in row.places]) == pieces
    assert (row.places[0], row.places[-1]) == (0, len(row.ids) - 1)


def test_a_teacher_of_the_same_family_reads_the_same_row(tmp_path: Path) -> None:
    make_model("bert-qa", tmp_path / "m")
    tokenizer = tokenizer_of(tmp_path / "m")
    pair = tokenizer(*SENTENCES[:2])
    row = TeacherTokens(tokenizer, tokenizer).row(pair["input_ids"])
    assert (row.ids, row.types) == (pair["input_ids"], pair["token_type_ids"])
    assert row.places == list(range(len(row.ids)))


def test_a_piece_that_the_teacher_does_not_know_is_told(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "m")
    student, teacher = tokenizer_of(tmp_path / "m"), other_family(tmp_path / "m")
    student.add_tokens(["herringbone"])
    translation = TeacherTokens(student, teacher)
    with pytest.raises(ValueError, match="herringbone"):
        translation.row(student("herringbone")["input_ids"])


def features_of(tokenizer: Any, kind: str) -> list[dict[str, Any]]:
    if kind == "bert":
        return [{"input_ids": tokenizer(text)["input_ids"], "labels": 0} for text in SENTENCES]
    return [{**tokenizer(SENTENCES[2], text), "start_positions": 1, "end_positions": 2} for text in SENTENCES]


@pytest.mark.parametrize("kind", HEADS)
def test_who_is_taught_by_itself_has_nothing_to_learn_and_another_has(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a row is padded to: the batch has the longest and the shortest."""
    monkeypatch.setattr("models.training.teacher_logits.bf16_pays", lambda: False)
    make_model(kind, tmp_path / "m")
    tokenizer = tokenizer_of(tmp_path / "m")
    taught = distillation_inputs(
        tmp_path / "m", HEADS[kind], features_of(tokenizer, kind), tokenizer, TEACHING, run=tmp_path
    )
    batch = taught.collate([dict(each) for each in taught.features])
    itself = HEADS[kind].from_pretrained(tmp_path / "m").eval()
    assert taught.loss(itself, batch).item() == pytest.approx(0, abs=1e-3), "logits are kept in 16 bits"
    torch.manual_seed(1)
    other = HEADS[kind].from_config(itself.config).eval()
    loss = taught.loss(other, batch)
    assert loss.item() > 5e-3
    loss.backward()
    assert other.get_input_embeddings().weight.grad is not None


def test_what_a_stage_begins_with_teaches_no_row_without_an_answer(tmp_path: Path) -> None:
    make_model("bert-qa", tmp_path / "m")
    tokenizer, head = tokenizer_of(tmp_path / "m"), HEADS["bert-qa"]
    own = TeacherSettings(logits=1.0, labels=0.0)
    answered = features_of(tokenizer, "bert-qa")
    nothing = [{**row, "start_positions": 0, "end_positions": 0} for row in answered]
    other = head.from_config(head.from_pretrained(tmp_path / "m").config).eval()
    losses = []
    for rows in (nothing, answered, answered[:1] + nothing[1:]):
        taught = distillation_inputs(tmp_path / "m", head, rows, tokenizer, own, run=tmp_path)
        losses.append(taught.loss(other, taught.collate([dict(each) for each in taught.features])).item())
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert 0 < losses[2] < losses[1]


def test_the_rows_own_labels_count_as_much_as_is_said(tmp_path: Path) -> None:
    make_model("bert", tmp_path / "m")
    tokenizer = tokenizer_of(tmp_path / "m")
    own = TEACHING.model_copy(update={"logits": 0.0, "labels": 0.25})
    taught = distillation_inputs(
        tmp_path / "m", HEADS["bert"], features_of(tokenizer, "bert"), tokenizer, own, run=tmp_path
    )
    model = HEADS["bert"].from_pretrained(tmp_path / "m").eval()
    batch = taught.collate([dict(each) for each in taught.features])
    inputs = {name: values for name, values in batch.items() if name != "teacher_logits"}
    assert taught.loss(model, batch).item() == pytest.approx(0.25 * model(**inputs).loss.item())


def test_what_was_taught_is_kept_for_the_same_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model("bert-qa", tmp_path / "m")
    tokenizer = tokenizer_of(tmp_path / "m")
    features = features_of(tokenizer, "bert-qa")
    head = HEADS["bert-qa"]
    first = distillation_inputs(tmp_path / "m", head, features, tokenizer, TEACHING, run=tmp_path / "run")

    class Missing:
        @staticmethod
        def from_pretrained(folder: Path) -> None:
            raise LookupError("asked again")

    again = distillation_inputs(tmp_path / "m", Missing, features, tokenizer, TEACHING, run=tmp_path / "run")
    for one, other in zip(first.features, again.features, strict=True):
        assert len(one["teacher_logits"]) == len(one["input_ids"])
        np.testing.assert_array_equal(one["teacher_logits"], other["teacher_logits"])
    with pytest.raises(LookupError):
        distillation_inputs(tmp_path / "m", Missing, features[1:], tokenizer, TEACHING, run=tmp_path / "run")


def plans(kind: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> tuple[Recipe, Recipe]:
    """A teacher's recipe and a student's."""
    teacher = recipe(kind, **more).model_copy(update={"name": "teacher"})
    student = recipe(kind, **more)
    stage = student.stages[0].model_copy(update={"teacher": TEACHING})
    monkeypatch.setattr(stages, "load_recipe", lambda name: {"teacher": teacher}[name])
    return teacher, student.model_copy(update={"stages": (stage,)})


@pytest.mark.parametrize("kind", ["text-classification", "question-answering"])
def test_a_recipes_teacher_is_trained_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    classifier = kind == "text-classification"
    make_model("bert" if classifier else "bert-qa", tmp_path / "base")
    rows = [{"text": SENTENCES[n % 2], "label": n % 2} for n in range(16)] if classifier else question_rows(12)
    data = write_rows(tmp_path / "data", rows)
    short = TRAINING.model_copy(update={"epochs": 2.0, "extra": {} if classifier else {"stride": 8.0}})
    more: dict[str, Any] = {"training": short, "base": str(tmp_path / "base"), "labels": ("bad", "good")}
    teacher, student = plans(kind, monkeypatch, **more)
    final = finetune_recipe(student, base=None, data=data, runs=tmp_path / "runs")
    assert final == tmp_path / "runs" / "tiny" / "only" / "final"
    assert (tmp_path / "runs" / teacher.name / "only" / "final" / "config.json").is_file()
    assert len(list(final.parent.glob("teacher-logits-*.npy"))) == 1


def test_a_stage_that_keeps_what_it_knew_is_taught_by_the_stage_before_it(tmp_path: Path) -> None:
    make_model("bert-qa", tmp_path / "base")
    data = write_rows(tmp_path / "data", question_rows(12))
    training = TRAINING.model_copy(update={"epochs": 1.0, "extra": {"stride": 8.0, "swapped": 0.5}})
    plan = recipe("question-answering", training=training)
    (first,) = plan.stages
    second = first.model_copy(update={"name": "second", "teacher": TeacherSettings()})
    runs = tmp_path / "runs"
    final = finetune_recipe(
        plan.model_copy(update={"stages": (first, second)}), base=str(tmp_path / "base"), data=data, runs=runs
    )
    assert final == runs / "tiny" / "second" / "final"
    assert len(list(final.parent.glob("teacher-logits-*.npy"))) == 1
    assert not list((runs / "tiny" / "only").glob("teacher-logits-*.npy"))


def test_a_card_names_the_teacher_and_its_base(exported: Callable[[str], Exported]) -> None:
    plan = load_recipe("sentiment")
    card = model_card(exported("bert").fp32, plan, {"score": {"accuracy": 1.0}, "data": "", "rows": 1})
    assert "- Taught by: `sentiment-teacher`, made from sentence-transformers/all-mpnet-base-v2\n" in card
