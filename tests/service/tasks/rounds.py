"""A task's rounds on its real model, without a scheduler."""

from __future__ import annotations

from typing import Any

from service.answers import Answer
from service.job import Job


def answered(task: Any, item: Any, parameters: Any) -> Answer:
    """The answer to one input; every round is one batch."""
    rounds = task.run(item, parameters)
    rows = next(rounds)
    while True:
        job = Job(rows)
        results = {id(row): result for done in task.model.run(job.rows, alone=False) for row, result in done.finished}
        try:
            rows = rounds.send([results[id(row)] for row in job.rows])
        except StopIteration as end:
            answer: Answer = end.value
            return answer
