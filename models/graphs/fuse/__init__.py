"""Rewrites that keep what a float graph computes and make it cheaper for onnxruntime on a CPU."""

from models.graphs.fuse.attention import fuse_attention
from models.graphs.fuse.biases import drop_attention_biases, move_residual_biases
from models.graphs.fuse.first_token import keep_first_token
from models.graphs.fuse.gelu import fuse_gelus
from models.graphs.fuse.inputs import drop_zeros, shorten_masks, slice_positions
from models.graphs.graph import Graph

__all__ = ["fuse"]

_STEPS = (
    drop_zeros,
    fuse_gelus,
    fuse_attention,
    drop_attention_biases,
    move_residual_biases,
    shorten_masks,
    slice_positions,
    keep_first_token,
)


def fuse(graph: Graph) -> None:
    """Rewrite a graph of opset 23 or newer. Its outputs change by no more than the order of float additions does."""
    for step in _STEPS:
        step(graph)
        graph.nodes = graph.needed()  # A step asks who reads a tensor: what the last one left behind doesn't count.
