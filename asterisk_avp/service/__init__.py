"""The daemon: its parts, and the composition root."""
