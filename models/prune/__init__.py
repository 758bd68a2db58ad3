"""A smaller model from a trained one: the attention heads and feed-forward columns that matter least taken out."""
