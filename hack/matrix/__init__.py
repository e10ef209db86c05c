"""What works with which type of model: a tiny random model of each goes through the quantizer and the CPU engine."""
