"""What runs inside Jobs: sources, calibration, quantize, evaluate, report, fetch."""
