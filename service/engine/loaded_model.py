"""A model that is being served."""

from __future__ import annotations

from dataclasses import dataclass

from service.artifact import Artifact
from service.metrics import PassMetrics
from service.tasks.base import AnyTask


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An artifact, the task it is served for, and where its figures go."""

    artifact: Artifact
    task: AnyTask
    metrics: PassMetrics

    @property
    def name(self) -> str:
        return self.artifact.name
