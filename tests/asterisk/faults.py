"""The faults of the Asterisk that the tests run on, as far as this project knows them."""

from __future__ import annotations

from bed import Bed

from asterisk_avp.core.pbx.versions import Trouble, support, troubles


async def version(bed: Bed) -> str:
    """Asterisk's version, as it says it itself."""
    return str((await bed.ami.action("CoreSettings"))["AsteriskVersion"])


async def known_faults(bed: Bed) -> tuple[Trouble, ...]:
    """What `check` warns of, and the daemon's log."""
    running = await version(bed)
    unfit = support(running)
    return (*(() if unfit is None else (unfit,)), *troubles(running))
