"""One model, measured in the engine beside this process."""
