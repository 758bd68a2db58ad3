"""Data: recipes, their rows, what is made of them before training, and the cards of what was trained."""
