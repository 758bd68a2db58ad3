"""Tasks: how inputs become rows of a model, and the rows' outputs a result. One file a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.artifact import Artifact
from service.errors import ArtifactError
from service.tasks.base import AnyTask
from service.tasks.classification import Classification
from service.tasks.embedding import Embedding
from service.tasks.question_answering import QuestionAnswering
from service.tasks.summarization import Summarization
from service.tasks.token_classification import TokenClassification

TASKS: tuple[type[AnyTask], ...] = (Classification, QuestionAnswering, Summarization, TokenClassification, Embedding)
"""Every task that is served."""

# Keys in the configurations of models that read sounds or pictures, whose heads have the names of BART's and T5's.
_NOT_TEXT = ("num_mel_bins", "input_feat_per_channel", "audio_config", "vision_config")
# Endings of the names of architectures that have a head although they end in "Model", as encoders without one do.
_HEAD_MODELS = ("MTModel", "HeadModel", "HeadsModel")


def task_of(artifact: Artifact) -> type[AnyTask]:
    """The task that serves an artifact; raises ArtifactError if none does."""
    return task_for(artifact.config, str(artifact.folder), embeds=artifact.embeds)


def task_for(config: Mapping[str, Any], source: str, *, embeds: bool = False) -> type[AnyTask]:
    """The task that serves models with this config.json, by the head that the architecture's name ends in.

    `embeds`: sentence-transformers makes vectors with it, and does not read its head. Raises ArtifactError, which names
    `source` and what is served, if no task serves it.
    """
    architecture = str((config.get("architectures") or [""])[0])
    if embeds or _is_encoder_without_head(architecture, config):
        return Embedding
    for task in TASKS:
        if architecture.endswith(task.heads) and (not task.encoder_decoder or _turns_text_into_text(config)):
            return task
    raise ArtifactError(f"{source}: config.json names {architecture or 'no architecture'}; served are {_heads()}")


def _turns_text_into_text(config: Mapping[str, Any]) -> bool:
    """Whether it has an encoder and a decoder of text, unlike Whisper (sounds), BLIP (pictures) and Gemma 3."""
    return config.get("is_encoder_decoder") is not False and not any(key in config for key in _NOT_TEXT)


def _is_encoder_without_head(architecture: str, config: Mapping[str, Any]) -> bool:
    """Whether it gives the states of a text's tokens, such as BertModel and T5EncoderModel, unlike BartModel."""
    if not architecture.endswith("Model") or architecture.endswith(_HEAD_MODELS):
        return False
    encodes = not config.get("is_encoder_decoder") or architecture.endswith("EncoderModel")
    return encodes and not any(key in config for key in _NOT_TEXT)


def _heads() -> str:
    encoders = [head for task in TASKS if not task.encoder_decoder for head in task.heads]
    encoder_decoders = [head for task in TASKS if task.encoder_decoder for head in task.heads]
    return (
        f"heads {', '.join(encoders)}, encoders of text without a head, and of encoder-decoders of text "
        f"{', '.join(encoder_decoders)}"
    )
