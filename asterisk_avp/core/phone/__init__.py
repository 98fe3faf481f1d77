"""Transfers from the transferor's phone: feature code, Transfer button, key presses."""
