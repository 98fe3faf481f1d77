"""Tests of several nodes over a line with delay and loss: `tests/run nodes-network`."""
