"""int8 whose answers do not depend on the batch: weights per channel, activations per token."""

from models.quantize.artifact import QuantizationLoss, quantize_artifact
from models.quantize.rewrite import quantize_graph

__all__ = ["QuantizationLoss", "quantize_artifact", "quantize_graph"]
