"""One file a task: preprocess → forward → postprocess."""
