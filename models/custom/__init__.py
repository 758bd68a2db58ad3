"""A classifier of somebody's own from a file of texts and labels, by one command."""
