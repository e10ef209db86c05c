"""Carries out a plan: apply, create, delete, status, events."""
