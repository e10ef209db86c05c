"""Container images: how they are built, loaded into a cluster, and what they hold. See `python -m images --help`."""
