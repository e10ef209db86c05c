"""Attacks on Lowbit's own rules: what a manifest must never reach, tried in every way that we know."""
