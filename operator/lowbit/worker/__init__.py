"""The program inside Jobs: sources, calibration, quantize, evaluate, report, fetch."""
