"""Datasets: which kind a file is of, the texts in it, the calibration set, and what two datasets share."""
