"""Lowbit: quantize a model, prove that it is still good enough, and only then serve it."""

__version__ = "0.1.0"
