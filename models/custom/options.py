"""What a user says of a classifier of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OWN_BASE = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Options:
    """The command line of `finetune --task classification`."""

    data: Path
    base: str = OWN_BASE
    serve_as: str | None = None
    """What requests will call it; if left out the artifact stays beside the run."""
    test: Path | None = None
    """Rows to score on; a tenth of `data` if left out."""
    text: str | None = None
    label: str | None = None
    """Columns of texts and labels; guessed if left out."""
    epochs: float = 12
    """At most; it stops earlier when held-out rows gain no more."""

    learning_rate: float | None = None
    """1e-4 for narrow bases such as MiniLM, 3e-5 for wide ones, if left out."""

    @property
    def name(self) -> str:
        """The run's name: the model's, else the data file's."""
        return self.serve_as or self.data.name.partition(".")[0]
