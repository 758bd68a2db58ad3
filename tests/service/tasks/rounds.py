"""A task's rounds on its real model, without a scheduler."""

from __future__ import annotations

from typing import Any

from service.scheduling.job import Job, rows_of
from service.tasks.base import TaskResult


def answered(task: Any, item: Any, parameters: Any) -> TaskResult[Any]:
    """The result of one input; every round is one batch."""
    rounds = task.run(item, parameters)
    inputs = next(rounds)
    while True:
        rows = rows_of(Job(len(inputs)), inputs)
        outputs = {row.index: output for done in task.model.run(rows, exclusive=False) for row, output in done.finished}
        try:
            inputs = rounds.send([outputs[row.index] for row in rows])
        except StopIteration as end:
            result: TaskResult[Any] = end.value
            return result
