"""Translate events of AMI and ARI, and post them to the inbox."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from asterisk_avp.ami import translate as from_ami
from asterisk_avp.ari import translate as from_ari
from asterisk_avp.core.model.nodes import Node, node_of
from asterisk_avp.observe.metrics import Metrics
from asterisk_avp.service.inbox import HINTS, Hint, Inbox, Replaced


class Intake:
    """``connected`` is called when a connection was established or lost."""

    def __init__(
        self,
        inbox: Inbox,
        metrics: Metrics,
        app: str,
        connected: Callable[[], None],
        nodes: Mapping[str, Node],
    ) -> None:
        self._inbox = inbox
        self._metrics = metrics
        self._app = app
        self._connected = connected
        self._from_ari = from_ari.Translator(partial(node_of, nodes))

    def ami(self, event: Mapping[str, str]) -> None:
        fact = from_ami.translate(event, time.time())
        self._metrics.ami_event(handled=fact is not None)
        if fact is not None:
            self._inbox.post(Hint(fact) if isinstance(fact, HINTS) else fact)

    def ari(self, event: Mapping[str, Any]) -> None:
        if event.get("type") == "ApplicationReplaced" and event.get("application") == self._app:
            self._inbox.post(Replaced())
        for fact in self._from_ari.translate(event):
            self._inbox.post(fact)

    def connection(self, _connected: bool) -> None:  # noqa: FBT001 - the clients' signature
        """A connection was established or lost; the clients have the current state."""
        self._from_ari.forget()
        self._connected()
