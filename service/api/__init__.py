"""HTTP: endpoints, one file a dialect, errors as clients read them."""
