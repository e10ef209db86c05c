"""Watches by kopf, with Lowbit's HTTP session, and comparisons with LISTs."""
