"""Scores, probes and speed of artifacts, measured through the service's own code."""
