"""Figures: each script measures one thing, and writes results/<name>.json; `page` makes docs/benchmarks.md from those.

Nothing here is a test: how long something takes is printed and written down, never asserted.
"""
