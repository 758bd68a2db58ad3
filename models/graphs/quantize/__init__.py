"""int8 whose answers do not depend on the batch: weights per channel, activations per token."""

from models.graphs.quantize.artifact import QuantizationLoss, quantize_artifact
from models.graphs.quantize.rewrite import quantize_graph

__all__ = ["QuantizationLoss", "quantize_artifact", "quantize_graph"]
