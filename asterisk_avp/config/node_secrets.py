"""Passwords of a node that follow from its token, so that an administrator writes one secret.

Each serves one purpose: who learns a trunk's password has neither the token nor another password.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping


def trunk_password(token: str) -> str:
    """What a node shows to the trunks of the others (SIP digest)."""
    return _derived(token, "trunk")


def nats_password(token: str) -> str:
    """The password of a node's user at the NATS servers."""
    return _derived(token, "nats")


def routes_password(tokens: Mapping[str, str]) -> str:
    """What NATS servers show to one another. ``tokens``: those of all nodes, by id."""
    together = "\0".join(f"{node}\0{tokens[node]}" for node in sorted(tokens))
    return _derived(together, "nats routes")


def _derived(secret: str, purpose: str) -> str:
    """Hexadecimal, so that every file can hold it without quoting."""
    text = f"asterisk_avp {purpose}"
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()[:40]
