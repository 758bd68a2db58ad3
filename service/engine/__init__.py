"""Requests: from inputs to answers, with the models that are loaded."""
