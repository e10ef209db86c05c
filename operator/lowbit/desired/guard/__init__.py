"""The guard in front of an engine."""
