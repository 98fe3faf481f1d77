"""Read the transfers that an earlier daemon has stored on its callers' channels.

AMI's Status finds the channels with one action. A caller can inject text into its list, so a
transfer is read by Getvar, whose answers nobody can forge. The variables that the list promises are
asked for together, and many channels at a time: one after the other, each answer would have to wait
for Asterisk to be scheduled, for seconds if there are hundreds of transfers. What the dialplan may
have changed meanwhile about who is told the caller is read later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from asterisk_avp.ami.reader import AmiReader
from asterisk_avp.core.engine.resync import Stored
from asterisk_avp.core.messages.facts import CallerPresentation
from asterisk_avp.core.model.caller import PRESENTATION_VARIABLES, Presentation
from asterisk_avp.core.model.world import World
from asterisk_avp.core.transfer import persistence
from asterisk_avp.service.call_groups import presentation_fact

log = structlog.get_logger(__name__)

MARKER: Final = persistence.COMMIT_MARKER

_AT_ONCE: Final = 16
"""Channels that are read at a time, with a few actions each. AMI executes them one after the
other, and each must be answered before its deadline."""

_LATER_AT_ONCE: Final = 4
"""Once transfers are accepted, what agents ask for waits behind these questions."""


async def stored_transfers(
    ami: AmiReader, world: Callable[[], World]
) -> tuple[list[Stored], dict[str, str]]:
    """Every stored transfer of the current configuration, and the Linkedid of each channel.

    Raises `AvpError`.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(channel: str, marker: str) -> Stored | None:
        async with slots:
            return await _read(ami, world(), channel, marker)

    linked, listed = await ami.linked_with(MARKER)
    found = await asyncio.gather(*(one(*each) for each in listed.items()))
    return [stored for stored in found if stored is not None], linked


async def _read(ami: AmiReader, world: World, channel: str, listed: str) -> Stored | None:
    """``listed``: the marker in AMI's list, which anybody may have written."""
    names = persistence.chunk_names(listed) or ()
    values = await ami.variables(channel, (MARKER, *names))
    marker = values.get(MARKER, "")
    if marker != listed:
        names = persistence.chunk_names(marker) or ()
        values |= await ami.variables(channel, names)
    written: Mapping[str, str] = {
        **{name: values.get(name, "") for name in names},
        MARKER: marker,
    }
    session = persistence.read(written, world)
    if session is None:
        log.warning("transfer_restore_failed", call=channel)
        return None
    if session.caller.presentation is Presentation.UNKNOWN:  # an earlier version wrote it
        fact = await _presentation(ami, session.caller.channel)
        if fact is not None:
            caller = replace(session.caller, presentation=fact.presentation)
            session = replace(session, caller=caller)
    log.info("transfer_restored", transfer=session.id, call=channel, state=session.state.value)
    return Stored(session, written)


async def presentations(
    ami: AmiReader, callers: Iterable[str], post: Callable[[CallerPresentation], None]
) -> None:
    """Read anew whether others may be told these callers. Raises `AvpError`."""
    slots = asyncio.Semaphore(_LATER_AT_ONCE)

    async def one(channel: str) -> None:
        async with slots:
            fact = await _presentation(ami, channel)
        if fact is not None:
            post(fact)

    await asyncio.gather(*map(one, callers))


async def _presentation(ami: AmiReader, channel: str) -> CallerPresentation | None:
    return presentation_fact(channel, await ami.variables(channel, PRESENTATION_VARIABLES))
