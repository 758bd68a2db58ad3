"""Encoder-decoder generation, a step at a time."""
