"""Models of a user's own: a classifier trained on a table, or a transformers model that is added."""
