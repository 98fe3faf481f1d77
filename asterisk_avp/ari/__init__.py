"""The adapter for the Asterisk REST Interface (ARI)."""
