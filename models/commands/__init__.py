"""The commands of `python -m models`: typed functions, whose heavy imports wait until a command is run."""
