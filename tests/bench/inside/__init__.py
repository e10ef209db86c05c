"""What runs in the root file systems of the images."""
