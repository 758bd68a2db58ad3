"""Checks that a graph fits its folder's configuration and its task, made at loading instead of by the first request."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from typing import TypeVar

from service.artifact import Artifact
from service.errors import ArtifactError
from service.runtime.session import Array, Session
from service.text.tokenizer import Encoding

Outputs = TypeVar("Outputs")

TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Inputs that are made from a padded text."""
TRIAL_ROWS = 2
TRIAL_TOKENS = 6


def check_names(graph: Session, *, inputs: Collection[str], outputs: Collection[str]) -> None:
    """Raise ArtifactError if the graph has other inputs than `inputs`, or lacks one of `outputs`."""
    unknown = [name for name in graph.inputs if name not in inputs]
    if unknown:
        raise ArtifactError(f"{graph.path}: it has the inputs {_list(unknown)}, which this task does not have")
    lacking = [name for name in outputs if name not in graph.outputs]
    if lacking:
        raise ArtifactError(f"{graph.path}: it has the outputs {_list(graph.outputs)}, but not {_list(lacking)}")


def _list(names: Collection[str]) -> str:
    """The first few names and the number of the others, because decoders have dozens."""
    few = list(names)[:4]
    return ", ".join(few) + (f" and {len(names) - len(few)} more" if len(names) > len(few) else "")


def trial_encodings(artifact: Artifact) -> list[Encoding]:
    """TRIAL_ROWS equal rows of TRIAL_TOKENS tokens. The last one ends the sequence, because some heads look for it."""
    vocabulary = int(artifact.config.get("vocab_size") or 2)
    ids = array("q", (number % vocabulary for number in range(TRIAL_TOKENS)))
    end = artifact.config.get("eos_token_id")
    if isinstance(end, int) and 0 <= end < vocabulary:
        ids[-1] = end
    return [Encoding(ids, array("q", [0]) * len(ids))] * TRIAL_ROWS


def tried(graph: Session, run: Callable[[], Outputs]) -> Outputs:
    """The outputs of `run`, a first pass of `graph`; raises ArtifactError if it fails."""
    try:
        return run()
    except ArtifactError:
        raise
    except Exception as error:  # the binding's exceptions have no common base
        raise ArtifactError(f"{graph.path}: a first pass fails ({type(error).__name__}: {error})") from error


def check_shape(graph: Session, name: str, array: Array, wanted: tuple[int | str, ...]) -> None:
    """Raise ArtifactError if an output's shape in a first pass is not `wanted`, in which a name stands for any size."""
    sizes = array.shape
    if len(sizes) == len(wanted) and all(
        isinstance(want, str) or size == want for size, want in zip(sizes, wanted, strict=True)
    ):
        return
    shown = [each if isinstance(each, str) else str(each) for each in wanted]
    raise ArtifactError(
        f"{graph.path}: {name} has the shape {list(sizes)} after a first pass, instead of [{', '.join(shown)}]"
    )
