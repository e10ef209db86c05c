"""What became of a Job."""
