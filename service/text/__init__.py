"""Text to tokens, sentences and words, and back."""
