"""Tell sessions whose phones are on hold, and their channels after Asterisk has moved them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from asterisk_avp.core.engine.sessions import Outcome, SessionStore
from asterisk_avp.core.messages.facts import HoldChanged
from asterisk_avp.core.pbx.calls import Calls
from asterisk_avp.core.pbx.holds import hold_again, holds, in_front_of


class HoldKeys:
    def __init__(
        self, calls: Calls, store: SessionStore, changed: Callable[[str, Outcome], None]
    ) -> None:
        """``changed``: notes that the call of a channel looks different to its agents now."""
        self._calls = calls
        self._store = store
        self._changed = changed
        store.holds = partial(holds, calls)

    def pressed(self, fact: HoldChanged, now: float, outcome: Outcome, *, note: bool) -> None:
        """``note``: whether sessions are told. A resync tells them at its end (`take_over`)."""
        self._calls.hold(fact.channel, on_hold=fact.on_hold)
        self._changed(fact.channel, outcome)
        channels = in_front_of(self._calls, fact.channel) if note else ()
        for session, _ in filter(None, map(self._store.role_of, channels)):
            self._store.hold_changed(session.id, now, outcome)

    def moved(self, bridge: str, outcome: Outcome) -> None:
        """A channel has entered the bridge, or left it."""
        outcome.effects += hold_again(self._calls, bridge)
