"""What a model is: its configuration as transformers reads it, its layers, and what is known of its type."""
