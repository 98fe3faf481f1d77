"""The JSON of the panel's log-in."""

from __future__ import annotations

from typing import Literal

from asterisk_avp.api.schemas import Out, Time


class SessionOut(Out):
    """A log-in at the panel. ``expires``: when the agent has to log in anew.

    ``sign_in``: whether agents log in with their PINs, or are named by a reverse proxy.
    ``sign_out_url``: the proxy's own sign-out. ``frame_ancestors``: the origins of the pages that
    may embed the panel.
    """

    agent: str
    name: str
    expires: Time
    sign_in: Literal["pin", "proxy"]
    sign_out_url: str | None
    frame_ancestors: list[str]
    pause_reasons: list[str]
    """What the panel offers as reasons for a pause."""
    other_pause_reasons: bool
    """Whether the agent may also pause for another reason, or for none."""
