"""Datasets, and the token ids of their texts."""
