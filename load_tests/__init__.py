"""Benchmarks: what the machine could do, what the server does, what others do. Run from the repository's root."""
