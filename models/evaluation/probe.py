"""What scores leave out.

Of a classifier with two labels: calibration, spelling, bias and its worst errors. Of a model that answers questions:
calibration, how often it declines, and errors.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from models.data.rows import Row
from models.data.spelling import as_people_write
from models.errors import BadOption
from models.evaluation.answer_scores import (
    AnsweredQuestion,
    answer_exact,
    answer_f1,
    answered_questions,
    calibration,
    calibration_table,
    squad_scores,
)
from models.evaluation.calibration_error import calibration_error, chance_error
from models.evaluation.served import scores_by_label, served_results
from service.artifact import Artifact
from service.tasks import task_of

_AROUND_CHARS = 60
_SEED = 5

# Sentences that are no better or worse for whom they are about, and two that are good and bad whoever that is.
TEMPLATES = (
    "My neighbour is {}.",
    "The film is about a family that is {}.",
    "The director, who is {}, lives in Toronto.",
    "Half of the audience was {}.",
    "She told me that her new boss is {}.",
    "A charming comedy about two sisters who are {}.",
    "A dull drama about two brothers who are {}.",
)
TERMS = {
    "religion": ("Christian", "Catholic", "Muslim", "Jewish", "Hindu", "Buddhist", "atheist"),
    "origin": (
        "American",
        "British",
        "French",
        "German",
        "Russian",
        "Chinese",
        "Indian",
        "Mexican",
        "Nigerian",
        "Arab",
    ),
    "skin": ("black", "white", "Asian", "Latino"),
    "gender": ("a man", "a woman", "male", "female", "transgender", "non-binary"),
    "orientation": ("straight", "gay", "lesbian", "bisexual"),
    "age": ("young", "old", "middle-aged", "elderly"),
    "ability": ("blind", "deaf", "disabled", "autistic", "in a wheelchair"),
}


@dataclass(frozen=True)
class Swap:
    """The terms of one group between which a template's score changes most."""

    group: str
    template: str
    low: tuple[str, float]
    high: tuple[str, float]
    turns: bool
    """Whether the label is another one for `low` than for `high`."""

    @property
    def change(self) -> float:
        """Of the second label's score, 0 to 1."""
        return self.high[1] - self.low[1]


def _second_scores(artifact: Artifact, texts: list[str]) -> list[float]:
    results = served_results(artifact, [{"text": text} for text in texts])
    return [scores[1] for scores in scores_by_label(artifact, results)]


def identity_swaps(artifact: Artifact) -> list[Swap]:
    """Every template with every group's terms in it; the largest change of the second label's score first."""
    swaps = []
    for group, terms in TERMS.items():
        texts = [template.format(term) for template in TEMPLATES for term in terms]
        scores = iter(_second_scores(artifact, texts))
        for template in TEMPLATES:
            found = sorted(((term, next(scores)) for term in terms), key=lambda each: each[1])
            low, high = found[0], found[-1]
            swaps.append(Swap(group, template, low, high, turns=low[1] < 0.5 <= high[1]))
    return sorted(swaps, key=lambda swap: swap.change, reverse=True)


def spellings_agree(artifact: Artifact, rows: list[Row]) -> dict[str, float]:
    """Share of texts, 0 to 1, whose label stays when they are written as people write, plainly and otherwise."""
    texts = [as_people_write(row["text"]) for row in rows]
    spellings = {
        "as people write": texts,
        "in capitals": [text.upper() for text in texts],
        "with ’ for '": [text.replace("'", "’") for text in texts],
    }
    before = [result["label"] for result in served_results(artifact, rows)]
    agree = {}
    for name, written in spellings.items():
        after = [result["label"] for result in served_results(artifact, [{"text": text} for text in written])]
        agree[name] = sum(a == b for a, b in zip(before, after, strict=True)) / len(rows)
    return agree


def scored_rows(artifact: Artifact, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores [rows, labels] and the right labels [rows]."""
    names = artifact.label_names()
    right = [row["label"] if isinstance(row["label"], int) else names.index(row["label"]) for row in rows]
    return torch.tensor(scores_by_label(artifact, served_results(artifact, rows))), torch.tensor(right)


def _classifier_report(artifact: Artifact, rows: list[Row], errors: int) -> str:
    """The findings in Markdown; `errors` of the rows that are wrong with the highest scores."""
    scores, right = scored_rows(artifact, rows)
    error, by_chance = calibration_error(scores, right), chance_error(scores)
    sized = f"{len(rows)} rows, 15 bins; by chance, were the scores exactly right: {by_chance:.4f}"
    lines = [f"Expected calibration error: {error:.4f} ({sized})", ""]
    lines += [f"Labels equal, {name}: {share:.4f}" for name, share in spellings_agree(artifact, rows).items()]
    lines += ["", "| group | template | lowest | highest | change |", "| --- | --- | --- | --- | --- |"]
    for swap in identity_swaps(artifact)[:12]:
        (low, least), (high, most) = swap.low, swap.high
        turned = ", another label" if swap.turns else ""
        cells = (swap.group, swap.template, f"{low} {least:.2f}", f"{high} {most:.2f}", f"{swap.change:.2f}{turned}")
        lines.append(f"| {' | '.join(cells)} |")
    given = scores.argmax(-1)
    wrong = sorted((given != right).nonzero().flatten().tolist(), key=lambda row: -float(scores[row, given[row]]))
    lines += ["", f"{len(wrong)} of {len(rows)} rows are wrong; those of the highest scores:", ""]
    for row in wrong[:errors]:
        name = artifact.label_names()[int(given[row])]
        lines.append(f"- given {name} {float(scores[row, given[row]]):.2f}: {rows[row]['text']}")
    return "\n".join(lines)


def _declining(asked: list[AnsweredQuestion]) -> str:
    none = [each for each in asked if not each.answerable]
    some = [each for each in asked if each.answerable]
    if not none or not some:
        return ""
    told = sum(not each.answers[0]["answer"] for each in none) / len(none)
    withheld = sum(not each.answers[0]["answer"] for each in some) / len(some)
    return (
        f'With leave to decline it says "no answer" to {100 * told:.1f} % of the {len(none):,} questions that have '
        f"none and to {100 * withheld:.1f} % of the {len(some):,} that have one."
    )


def _error(each: AnsweredQuestion) -> str:
    said, context = each.span, each.row["context"]
    wanted = each.row["answers"]
    begin = wanted["answer_start"][0]
    around = context[max(0, begin - _AROUND_CHARS) : begin + len(wanted["text"][0]) + _AROUND_CHARS]
    return (
        f"- {each.row['question'].strip()}\n  said {said['answer']!r} ({said['score']:.2f}), "
        f"wanted {' or '.join(repr(text) for text in dict.fromkeys(wanted['text']))}\n  … {' '.join(around.split())} …"
    )


def errors_of(asked: list[AnsweredQuestion], count: int) -> list[AnsweredQuestion]:
    """`count` of the answers that share less than half of their words with the reference, picked by a fixed seed."""
    wrong = [
        each
        for each in asked
        if each.answerable
        and not answer_exact(each.span["answer"], each.row["answers"])
        and answer_f1(each.span["answer"], each.row["answers"]) < 0.5
    ]
    return random.Random(_SEED).sample(wrong, min(count, len(wrong)))


def _answer_report(artifact: Artifact, rows: list[Row], errors: int) -> str:
    """Scores, a table of calibration, how often it declines, and `errors` wrong answers, as Markdown."""
    asked = answered_questions(rows, served_results(artifact, rows))
    scores = ", ".join(f"{name} {value:.2f}" for name, value in squad_scores(asked).items())
    parts = [
        f"{len(rows):,} questions: {scores}",
        calibration_table(calibration([each for each in asked if each.answerable])),
        _declining(asked),
        "\n".join(_error(each) for each in errors_of(asked, errors)),
    ]
    return "\n\n".join(part for part in parts if part)


def probe_report(artifact: Artifact, rows: list[Row], *, errors: int) -> str:
    """What the artifact's scores on `rows` leave out, in Markdown, with at most `errors` wrong answers.

    Raises ArtifactError for a folder that cannot be served, BadOption for a model that is neither of the two kinds.
    """
    if task_of(artifact).name == "question-answering":
        return _answer_report(artifact, rows, errors)
    if task_of(artifact).name == "text-classification" and len(artifact.label_names()) == 2:
        return _classifier_report(artifact, rows, errors)
    raise BadOption(f"{artifact.name}: only classifiers with two labels and models that answer questions are probed")
