"""Smaller models from trained ones: fewer layers (`distil`), or fewer heads and columns (`prune`)."""
