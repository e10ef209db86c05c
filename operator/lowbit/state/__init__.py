"""Input and output of decisions: snapshots and plans."""
