"""The settings of a standby daemon (`asterisk-avp run --standby`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asterisk_avp.config.node_addresses import NodeUrl
from asterisk_avp.config.sections import Section
from asterisk_avp.config.types import AgiUrl


class StandbySettings(Section):
    """A daemon that waits until the active one is gone (`asterisk-avp run --standby`)."""

    active_url: NodeUrl | None = None
    """Address of the active daemon's API, if that runs on another machine. Without it, the address
    where this daemon's own API will listen."""
    agi_url: AgiUrl | None = None
    """Where Asterisk reaches this daemon's FastAGI, if the two daemons have different addresses:
    `agi://b.example:4583`. The one that serves writes it into Asterisk's variable `AVP_AGI`."""
    poll_seconds: Annotated[float, Field(ge=0.05, le=5.0, allow_inf_nan=False)] = 0.2
    """How often the standby looks whether a daemon serves."""
    frozen_seconds: Annotated[float, Field(ge=0.5, le=60.0, allow_inf_nan=False)] = 1.0
    """How long the active daemon has to answer when the standby asks it through Asterisk whether it
    lives. It asks when the API has been silent for half that time."""
