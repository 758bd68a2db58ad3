"""What is asked of a smaller model beside its size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lesson:
    """How much of the loss comes from what; 0 leaves a part out."""

    temperature: float = 2.0
    """Divides both logits, so that what the teacher thinks of the labels that it does not give is seen too."""
    logits: float = 1.0
    """Of the teacher."""
    states: float = 1.0
    """Behind the teacher's layers."""
    labels: float = 0.5
    """Of the rows themselves."""


@dataclass(frozen=True)
class Options:
    """The command line of `distil` and `prune`; None leaves a setting as the recipe has it."""

    name: str
    """What requests will call the smaller model."""
    epochs: float | None = None
    learning_rate: float | None = None
    dropout: float | None = None
    """Of hidden states."""
    tolerance: float | None = None
    """Points that int8 may lose on each score that the recipe watches."""
    lesson: Lesson = Lesson()

    @property
    def flags(self) -> str:
        """What of it was asked for otherwise than it comes, as the command line has it."""
        lesson, plain = self.lesson, Lesson()
        weights = (lesson.logits, lesson.states, lesson.labels)
        asked = {
            "epochs": self.epochs,
            "learning-rate": self.learning_rate,
            "dropout": self.dropout,
            "temperature": None if lesson.temperature == plain.temperature else lesson.temperature,
        }
        said = [f" --{name} {value:g}" for name, value in asked.items() if value is not None]
        if weights != (plain.logits, plain.states, plain.labels):
            said.append(" --weights {:g} {:g} {:g}".format(*weights))
        return "".join(said)
