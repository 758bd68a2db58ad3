"""Tasks: how inputs become rows of a model, and their outputs results. One file a task."""

from service.tasks.base import AnyTask
from service.tasks.classification import Classification
from service.tasks.question_answering import QuestionAnswering
from service.tasks.summarization import Summarization

TASKS: tuple[type[AnyTask], ...] = (Classification, QuestionAnswering, Summarization)
"""Every task that is served."""
