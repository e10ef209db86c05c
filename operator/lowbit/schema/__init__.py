"""CRDs, CEL rules, their reference, and the same rules offline."""
