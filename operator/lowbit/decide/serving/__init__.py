"""What is served, and how it changes."""
