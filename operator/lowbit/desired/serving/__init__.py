"""Objects that serve a model."""
