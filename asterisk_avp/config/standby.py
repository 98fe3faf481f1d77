"""The settings of a standby daemon (`asterisk-avp run --standby`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asterisk_avp.config.sections import Section
from asterisk_avp.config.types import NodeUrl


class StandbySettings(Section):
    """A daemon that waits until the active one is gone (`asterisk-avp run --standby`)."""

    active_url: NodeUrl | None = None
    """Address of the active daemon's API, if that runs on another machine. Without it, the address
    where this daemon's own API will listen."""
    poll_seconds: Annotated[float, Field(ge=0.05, le=5.0, allow_inf_nan=False)] = 0.2
    """How often the standby asks Asterisk whether a daemon serves."""
    frozen_seconds: Annotated[float, Field(ge=0.5, le=60.0, allow_inf_nan=False)] = 1.0
    """How long the active daemon's API may not answer, before the standby asks it by Asterisk
    whether it lives; and how long it then has to answer."""
