"""The tasks that are served, and which of them serves a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.artifact import Artifact
from service.errors import ArtifactError
from service.tasks import TASKS, task_for, task_of
from tests.service import doubles


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("DistilBertForSequenceClassification", "text-classification"),
        ("RobertaForQuestionAnswering", "question-answering"),
        ("BartForConditionalGeneration", "summarization"),
        ("T5ForConditionalGeneration", "summarization"),
        ("MarianMTModel", "summarization"),
        ("BertForTokenClassification", "token-classification"),
        ("BertModel", "feature-extraction"),
        ("XLMRobertaModel", "feature-extraction"),
        ("T5EncoderModel", "feature-extraction"),
    ],
)
def test_the_task_is_read_from_the_architecture(architecture: str, task: str) -> None:
    assert task_for({"architectures": [architecture]}, "a model").name == task


def test_an_encoder_decoder_with_a_classification_head_is_a_classifier() -> None:
    config = {"architectures": ["BartForSequenceClassification"], "is_encoder_decoder": True}
    assert task_for(config, "a model").name == "text-classification"


def test_an_encoder_of_a_whole_encoder_decoder_may_say_so_in_its_configuration() -> None:
    config = {"architectures": ["T5EncoderModel"], "is_encoder_decoder": True}
    assert task_for(config, "a model").name == "feature-extraction"


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["T5Model"], "is_encoder_decoder": True},
        {"architectures": ["MarianMTModel"], "is_encoder_decoder": False},
        {"architectures": ["GPT2LMHeadModel"]},
        {"architectures": ["GPT2DoubleHeadsModel"]},
        {"architectures": ["WhisperModel"], "num_mel_bins": 80},
    ],
)
def test_what_ends_in_model_and_is_no_encoder_of_text_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=f"names {config['architectures'][0]}; served are .*without a head"):
        task_for(config, "a model")


def test_a_model_of_sentence_transformers_embeds_whatever_its_architecture_is_called() -> None:
    assert task_for({"architectures": ["MPNetForMaskedLM"]}, "a model", embeds=True).name == "feature-extraction"


@pytest.mark.parametrize("architectures", [["BertForMaskedLM"], [], None])
def test_other_heads_are_refused_by_name(tmp_path: Path, architectures: list[str] | None) -> None:
    found = Artifact(doubles.classifier(tmp_path, architectures=architectures))
    named = "BertForMaskedLM" if architectures else "no architecture"
    with pytest.raises(ArtifactError, match=rf"^{tmp_path}: config\.json names {named}; served are heads For"):
        task_of(found)


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": True, "num_mel_bins": 80},
        {"architectures": ["Speech2TextForConditionalGeneration"], "input_feat_per_channel": 80},
        {"architectures": ["BlipForConditionalGeneration"], "vision_config": {}},
        {"architectures": ["Qwen2AudioForConditionalGeneration"], "audio_config": {}},
        {"architectures": ["ToyForConditionalGeneration"], "is_encoder_decoder": False},
    ],
)
def test_a_model_that_does_not_turn_text_into_text_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match=f"config.json names {config['architectures'][0]}; served are"):
        task_for(config, "a model")


def test_a_refusal_names_the_heads_of_all_tasks() -> None:
    with pytest.raises(ArtifactError) as refused:
        task_for({}, "a model")
    assert all(head in str(refused.value) for task in TASKS for head in task.heads)


@pytest.mark.parametrize("attribute", ["name", "route"])
def test_tasks_are_told_apart_by_name_and_by_route(attribute: str) -> None:
    assert len({getattr(task, attribute) for task in TASKS}) == len(TASKS)


def test_no_architecture_has_the_heads_of_two_tasks() -> None:
    heads = [head for task in TASKS for head in task.heads]
    assert [head for head in heads if sum(head.endswith(other) for other in heads) > 1] == []
