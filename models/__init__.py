"""The workshop: fine-tune, export, quantize and evaluate what the service serves."""

import service  # noqa: F401 - sets the environment that onnxruntime and tokenizers read when they are imported
