"""From a manifest and what prepare found to immutable specs, and the checks on the way."""
