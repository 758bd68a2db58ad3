"""ONNX graphs: export from transformers, rewriting, fusing and quantization."""
