"""The settings: their model, their sources, and their checks."""
