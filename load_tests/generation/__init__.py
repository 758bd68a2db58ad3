"""Summaries of ours beside other engines' on the same weights: `make generation`."""
