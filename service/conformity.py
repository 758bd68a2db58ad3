"""Whether a graph is what its folder says: found when it is loaded, instead of by the first request."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection
from typing import TypeVar

from service.artifact import Artifact
from service.encoding import Encoding
from service.errors import ArtifactError
from service.model import Array, Graph

Outputs = TypeVar("Outputs")

TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""What a padded text gives."""
TRIAL_ROWS = 2
TRIAL_TOKENS = 6


def check_names(graph: Graph, *, inputs: Collection[str], outputs: Collection[str]) -> None:
    """Raises ArtifactError if the graph reads more than `inputs`, or does not give all of `outputs`."""
    foreign = [name for name in graph.inputs if name not in inputs]
    if foreign:
        raise ArtifactError(f"{graph.path}: it reads {_list(foreign)}, which this task does not give")
    lacking = [name for name in outputs if name not in graph.outputs]
    if lacking:
        raise ArtifactError(f"{graph.path}: it gives {_list(graph.outputs)}, but not {_list(lacking)}")


def _list(names: Collection[str]) -> str:
    """The first of them: decoders have dozens."""
    few = list(names)[:4]
    return ", ".join(few) + (f" and {len(names) - len(few)} more" if len(names) > len(few) else "")


def trial_encodings(artifact: Artifact) -> list[Encoding]:
    """TRIAL_ROWS equal rows of a few tokens; an end of sequence is the last, which some heads look for."""
    vocabulary = int(artifact.config.get("vocab_size") or 2)
    ids = array("q", (number % vocabulary for number in range(TRIAL_TOKENS)))
    end = artifact.config.get("eos_token_id")
    if isinstance(end, int) and 0 <= end < vocabulary:
        ids[-1] = end
    return [Encoding(ids, array("q", [0]) * len(ids))] * TRIAL_ROWS


def tried(graph: Graph, run: Callable[[], Outputs]) -> Outputs:
    """What `run`, a first pass of `graph`, gives; raises ArtifactError if it fails."""
    try:
        return run()
    except ArtifactError:
        raise
    except Exception as error:  # the binding's exceptions have no common base
        raise ArtifactError(f"{graph.path}: a first pass fails ({type(error).__name__}: {error})") from error


def check_shape(graph: Graph, name: str, array: Array, wanted: tuple[int | str, ...]) -> None:
    """Raises ArtifactError if an output's shape after a first pass is not `wanted`, whose words stand for any size."""
    sizes = array.shape
    if len(sizes) == len(wanted) and all(
        isinstance(want, str) or size == want for size, want in zip(sizes, wanted, strict=True)
    ):
        return
    shown = [each if isinstance(each, str) else str(each) for each in wanted]
    raise ArtifactError(
        f"{graph.path}: {name} has the shape {list(sizes)} after a first pass, instead of [{', '.join(shown)}]"
    )
