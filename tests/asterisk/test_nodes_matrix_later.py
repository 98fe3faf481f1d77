"""The cells of `nodes_matrix`: later. In a file of their own, for a process of their own."""

from tests.asterisk.nodes_wave import pytest_generate_tests, pytestmark, test_cell, wave

__all__ = ["pytest_generate_tests", "pytestmark", "test_cell", "wave"]

WAVE = "later"
