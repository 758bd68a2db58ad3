"""Speed is counted in rows, and in tokens as the service counts them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.data.rows import Row
from models.evaluation.throughput import measure_throughput
from service.artifact import Artifact
from service.encoding import Tokenizer
from service.errors import ArtifactError
from tests.models.tiny import SENTENCES, Exported

Export = Callable[[str], Exported]


def test_each_artifact_is_timed_on_its_own_rows(exported: Export) -> None:
    folders = [exported(kind).fp32 for kind in ("bert", "bert-qa")]
    rows: list[list[Row]] = [
        [{"text": text} for text in SENTENCES],
        [{"question": SENTENCES[2], "context": text} for text in SENTENCES],
    ]
    speeds = measure_throughput(dict(zip(map(Artifact, folders), rows, strict=True)), rounds=1)
    tokenizer = Tokenizer(folders[0])
    tokens = sum(len(tokenizer.encode(text, 48)) for text in SENTENCES)
    # One round: both numbers are of the same seconds.
    assert speeds[0].tokens_per_s / speeds[0].texts_per_s == pytest.approx(tokens / len(SENTENCES))
    assert speeds[1].tokens_per_s / speeds[1].texts_per_s > tokens / len(SENTENCES)


def test_a_folder_that_changed_is_not_timed(exported: Export, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported("bert").fp32, tmp_path / "mine"))
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  config.json\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="does not match"):
        measure_throughput({Artifact(folder): [{"text": SENTENCES[0]}]}, rounds=1)
