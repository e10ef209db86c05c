"""Pure: statistics and verdicts."""
