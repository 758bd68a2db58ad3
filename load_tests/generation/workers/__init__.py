"""The processes that write summaries, one module an engine; each runs in an environment of its own."""
