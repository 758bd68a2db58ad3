"""MLServer's Hugging Face runtime, made to import.

The Optimum that it wants (1.x) looks for names of torch's old ONNX exporter that are gone. A stand-in gives them: they
serve exporting only, which does not happen here.
"""

import sys
from unittest.mock import MagicMock

sys.modules["torch.onnx.symbolic_opset14"] = MagicMock()

from mlserver_huggingface import HuggingFaceRuntime  # noqa: E402

__all__ = ["HuggingFaceRuntime"]
