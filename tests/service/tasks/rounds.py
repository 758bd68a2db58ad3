"""A task's rounds on its real model, without a scheduler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from service.scheduling.job import Job, rows_of
from service.tasks.base import Result, Rounds, Task, TaskResult

ResultT = TypeVar("ResultT", bound=Result)


def answered(task: Task[Any, Any, ResultT], item: object, parameters: object) -> TaskResult[ResultT]:
    """The result of one input; every round is one batch."""
    rounds = task.run(item, parameters)
    inputs = next(rounds)
    while True:
        rows = rows_of(Job(len(inputs)), inputs)
        outputs = {row.index: output for done in task.model.run(rows, exclusive=False) for row, output in done.finished}
        try:
            inputs = rounds.send([outputs[row.index] for row in rows])
        except StopIteration as end:
            result: TaskResult[ResultT] = end.value
            return result


def last_result(rounds: Rounds[ResultT], outputs: Sequence[object]) -> TaskResult[ResultT]:
    """The result after these outputs, which must be those of the last round."""
    try:
        rounds.send(outputs)
    except StopIteration as end:
        result: TaskResult[ResultT] = end.value
        return result
    raise AssertionError("there is another round")
