"""Session transfer for the agents of an Asterisk call centre."""

__version__ = "0.1.0"
