"""A task's rounds on its real model, without a scheduler."""

from __future__ import annotations

from typing import Any

from service.engine.in_flight import TaskResult
from service.scheduling.job import Job


def answered(task: Any, item: Any, parameters: Any) -> TaskResult:
    """The answer to one input; every round is one batch."""
    rounds = task.run(item, parameters)
    rows = next(rounds)
    while True:
        job = Job(rows)
        results = {
            id(row): result for done in task.model.run(job.rows, exclusive=False) for row, result in done.finished
        }
        try:
            rows = rounds.send([results[id(row)] for row in job.rows])
        except StopIteration as end:
            answer: TaskResult = end.value
            return answer
