"""The cache of what was seen, and the snapshot of one QuantizedModel and all that belongs to it."""
