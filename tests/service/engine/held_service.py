"""`python -m service`, whose classifiers' passes wait while the file that HOLD names exists."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from service.__main__ import main
from service.engine import engine
from service.scheduling.job import Passes, Row
from service.scheduling.model_batches import Run
from service.scheduling.scheduler import Scheduler

HOLD = Path(os.environ["HOLD"])


def held(run: Run) -> Run:
    def run_when_let(rows: list[Row], *, exclusive: bool) -> Passes:
        while HOLD.exists():
            time.sleep(0.005)
        return run(rows, exclusive=exclusive)

    return run_when_let


class HeldScheduler(Scheduler):
    def add(self, name: str, run: Run, *queue: Any, **options: Any) -> None:
        super().add(name, held(run) if name == "moods" else run, *queue, **options)


if __name__ == "__main__":
    vars(engine)["Scheduler"] = HeldScheduler
    main()
