"""Hashes, names and labels."""
