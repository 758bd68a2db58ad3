"""Shoal: an inference server for fine-tuned transformers on CPUs."""

__version__ = "0.1.0"
