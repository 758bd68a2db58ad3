"""Fine-tuning: one module a task; `stages` runs a recipe's stages in order."""
