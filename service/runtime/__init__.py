"""ONNX sessions and encoder passes."""
