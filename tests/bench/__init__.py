"""Figures: each script measures one thing and writes it to results/<name>.json; `page` makes docs/benchmarks.md of them.

Nothing here is a test: how long something takes is printed and written down, never asserted.
"""
