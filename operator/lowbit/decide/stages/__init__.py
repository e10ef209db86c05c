"""The way of one generation, stage by stage."""
