"""Fine-tuning, one module a task; `finetune` runs a recipe's stages in order."""
