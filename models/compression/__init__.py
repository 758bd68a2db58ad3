"""A smaller model from a trained one, which teaches it: half of the layers, and what all smaller models go through."""
