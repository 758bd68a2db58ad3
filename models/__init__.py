"""The workshop: fine-tune, export, quantize and evaluate what the service serves."""
