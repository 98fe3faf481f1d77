"""Keeps the search for reference cycles from delaying calls in a large call centre."""

from __future__ import annotations

import gc


def settle() -> None:
    """Exclude what there is now from later searches for cycles; reference counts still free it.

    Call it once what stays for good is there: the settings, the agents of all nodes. With 10,000
    agents a full search takes a third of a second, during which nothing else is done, and it comes
    again and again as their states change.
    """
    gc.freeze()


def unsettle() -> None:
    """Include all of it again: some has become garbage, and nothing else frees cycles of it."""
    gc.unfreeze()
