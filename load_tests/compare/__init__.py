"""The same int8 classifier behind other servers, measured beside ours: `make compare`."""
