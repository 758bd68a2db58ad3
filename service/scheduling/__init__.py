"""Queues, batches and the worker threads that run them; knows neither HTTP nor ONNX."""
