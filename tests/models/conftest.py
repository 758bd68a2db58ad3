"""The tiny models, exported once a session."""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

from models.graphs.export import export_model
from tests.models.tiny import SEQ2SEQ, Exported, make_model


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Export a model by kind, once a session."""
    torch.set_num_threads(1)
    done: dict[str, Exported] = {}

    def export(kind: str) -> Exported:
        if kind not in done:
            source = tmp_path_factory.mktemp("models") / kind
            make_model(kind, source)
            task = "summarization" if kind in SEQ2SEQ else "text-classification"
            task = "question-answering" if kind == "bert-qa" else task
            done[kind] = Exported(kind, source, export_model(str(source), source.parent / "fp32" / kind, task))
        return done[kind]

    return export
