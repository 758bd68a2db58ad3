"""A folder a server: what to install, start, try and ask as plain data; `app.py` is what its user would write."""
