"""The options of a classifier on a user's own rows, the split of the rows, and the recipe that they give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.data.held_out import balance, held_out_rows, without
from models.data.recipe import Evaluation, HeldOut, Recipe, Source, Stage, Training
from models.data.rows import Row
from models.data.table import guess_columns, labelled_rows, read_table
from models.errors import WorkshopError

DEFAULT_BASE = "sentence-transformers/all-MiniLM-L6-v2"
TRAIN, TEST = "train.jsonl", "test.jsonl"
SEED = 13
_SHARE = 0.1
_FEWEST_ROWS = 20
_RARE_ROWS = 10
_LONGEST_TOKENS = 256
# Narrow models take, and need, a higher rate than BERT-base's 3e-5.
_NARROW = 512
_RATES = {True: 1e-4, False: 3e-5}


class TooFewRows(WorkshopError, ValueError):
    """Nothing can be learnt, or nothing can be measured."""


@dataclass(frozen=True)
class ClassifierOptions:
    """Options of `finetune --task classification`."""

    data: Path
    base: str = DEFAULT_BASE
    serve_as: str | None = None
    """What requests will call it; if left out the artifact stays beside the run."""
    test: Path | None = None
    """Rows to score on; a tenth of `data` if left out."""
    text: str | None = None
    label: str | None = None
    """Columns of texts and labels; guessed if left out."""
    epochs: float = 12
    """At most; training stops earlier when the score on held-out rows no longer rises."""
    learning_rate: float | None = None
    """1e-4 for narrow bases such as MiniLM, 3e-5 for wide ones, if left out."""

    @property
    def name(self) -> str:
        """The run's name: the model's, else the data file's."""
        return self.serve_as or self.data.name.partition(".")[0]


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows to score on."""

    train: list[Row]
    test: list[Row]

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels in ascending order: as numbers if all of them are numbers, else as text."""
        names = set(balance(self.train))
        return tuple(sorted(names, key=float if all(name.isdecimal() for name in names) else None))


def split_rows(rows: list[Row], test: list[Row] | None, seed: int) -> Split:
    """Hold out a tenth of every label for the test, unless there is one; no text stands on both sides.

    Raises TooFewRows.
    """
    if len(rows) < _FEWEST_ROWS or len(balance(rows)) <= 1:
        raise TooFewRows(
            f"{len(rows)} rows of {len(balance(rows))} labels: too few to learn from and to measure; "
            f"{_FEWEST_ROWS} rows and 2 labels are the least, hundreds are better"
        )
    plan = HeldOut(rows=max(2, int(len(rows) * _SHARE)), seed=seed)
    scored = held_out_rows(rows, plan) if test is None else test
    if not scored:
        raise TooFewRows(
            f"{len(balance(rows))} labels in {len(rows)} rows: none can be spared for a test; is it the labels' column?"
        )
    split = Split(without(rows, scored, plan), scored)
    unknown = set(balance(scored)) - set(split.labels)
    if unknown:
        raise TooFewRows(f"labels without a row to learn from: {', '.join(sorted(unknown))}")
    return split


def read_split(options: ClassifierOptions) -> Split:
    """The user's rows, split; says what was read and which columns are which. Raises UnclearTable, TooFewRows."""
    rows = read_table(options.data)
    columns = guess_columns(rows, text=options.text, label=options.label)
    usable = labelled_rows(rows, columns)
    print(f"{options.data}: {len(rows):,} rows, {len(usable):,} of them with text and label; {columns}")
    test = labelled_rows(read_table(options.test), columns) if options.test is not None else None
    return split_rows(usable, test, SEED)


def balance_table(split: Split) -> str:
    """How many rows carry each label, most first, with a word on what is rare."""
    train, test = balance(split.train), balance(split.test)
    width = max(map(len, train))
    lines = [f"{'label':<{width}}   train  share   test"]
    for label, count in train.most_common():
        rare = "  rare: hard to learn" if count < _RARE_ROWS else ""
        lines.append(f"{label:<{width}}  {count:6}  {count / len(split.train):5.1%}  {test[label]:5}{rare}")
    return "\n".join(lines)


def _longest_tokens(base: str, rows: list[Row]) -> int:
    """The length in tokens, a multiple of 8, that holds 99 of 100 texts whole."""
    from transformers import AutoTokenizer

    encodings = AutoTokenizer.from_pretrained(base)([row["text"] for row in rows])["input_ids"]
    lengths = sorted(map(len, encodings))
    fits = lengths[int(0.99 * (len(lengths) - 1))]
    return min(-(-fits // 8) * 8, _LONGEST_TOKENS)


def recipe_for(options: ClassifierOptions, split: Split, *, seed: int) -> Recipe:
    """The recipe: one stage, at most `options.epochs`, stopped early by a tenth of the training rows."""
    from transformers import AutoConfig

    base, source = options.base, options.data.name
    shape: Any = AutoConfig.from_pretrained(base)
    training = Training(
        epochs=options.epochs,
        batch_size=16,
        learning_rate=options.learning_rate or _RATES[shape.hidden_size <= _NARROW],
        max_length=_longest_tokens(base, split.train),
        seed=seed,
        attention="eager",
        patience=2,
    )
    data = Source(files=(TRAIN,), home=source, licence="the user's")
    return Recipe(
        name=options.name,
        task="text-classification",
        description=f"One of {len(split.labels)} labels for a text, learnt from {source}.",
        base=base,
        labels=split.labels,
        stages=(Stage(name="custom", sources=(data,), training=training),),
        held_out=HeldOut(rows=max(2, int(len(split.train) * _SHARE)), seed=seed),
        evaluation=Evaluation(files=(TEST,), home=f"{source}, test rows", tolerance={}),
    )
