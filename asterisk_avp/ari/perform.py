"""Perform effects by ARI."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from asterisk_avp.ari.client import AriClient
from asterisk_avp.ari.translate import channel_seen, located
from asterisk_avp.core.messages import clean
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.messages.effects import (
    AddToBridge,
    AriEffect,
    CreateBridge,
    Destination,
    DestroyBridge,
    DialLeg,
    EndHold,
    LeaveStasis,
    NotifyPhone,
    Play,
    SendKeys,
    Snoop,
    StartHold,
    StartMusic,
    StartRingback,
    StopMusic,
    StopPlaying,
    StopRingback,
    StopSnoop,
)
from asterisk_avp.core.model.errors import AriError, AriGone, AsteriskUnavailable
from asterisk_avp.core.transfer.events import EventType, SessionEvent
from asterisk_avp.core.transfer.session import is_bridge, is_leg, is_snoop

log = structlog.get_logger(__name__)

_NO_TIMEOUT = -1

_BRIDGE_TYPE = "mixing,dtmf_events"
"""Never native RTP (res_stasis.c, ``bridge_create``): the phones' DTMF would bypass Asterisk, be
audible to the other side, and not be reported to us."""

_HOLD = "CHANNEL(rtp,hold)"
"""Whether a phone's last offer was sendonly or inactive (dialplan_functions.c of chan_pjsip)."""

_HOLD_PASSES = "/m"
"""Option of a Local channel: a hold of the target's phone reaches the bridge. Without it, the
channel plays music itself, and in a conference all hear it (core_unreal.c,
``ast_unreal_indicate``)."""

_TOLD_SECONDS = 0.1
"""Time for Asterisk to send the NOTIFY, which it does after its response to us; an earlier BYE
would leave the phone without the outcome of its REFER."""

_HOLDS_AT_ONCE = 8
"""Phones that are asked at a time. Asterisk asks the task that serves the phone."""

_STOP_TRIES = 5
_STOP_SECONDS = 0.1
"""Number of requests to stop music, and the time between them."""

Report = Callable[[SessionEvent], None]


class AriPerformer:
    def __init__(
        self,
        client: AriClient,
        app: str,
        music_stopped: Callable[[str, float], Awaitable[bool]],
    ) -> None:
        """``music_stopped`` waits up to a number of seconds until no music plays on a channel."""
        self._music_stopped = music_stopped
        self._client = client
        self._app = app

    async def perform(self, effect: AriEffect, report: Report) -> None:
        """Perform one effect; a leg that cannot be dialled is reported to ``report``.

        Raises `AsteriskUnavailable` and `AriError` if it may not have been performed although its
        channel still exists.
        """
        channels, bridges = self._client.channels, self._client.bridges
        match effect:
            case DialLeg():
                await self._dial(effect, report)
            case CreateBridge(bridge, name):
                await self._try(effect, bridges.create(bridge, type=_BRIDGE_TYPE, name=name))
            case DestroyBridge(bridge):
                await self._try(effect, bridges.destroy(bridge))
            case AddToBridge(bridge, channel, absorb_dtmf):
                await self._try(
                    effect, bridges.add_channel(bridge, channel, absorb_dtmf=absorb_dtmf)
                )
            case StartMusic(channel, music_class):
                await self._try(effect, channels.start_moh(channel, music_class))
            case StopMusic(channel):
                await self._stop_music(effect)
            case StartHold(channel):
                await self._try(effect, channels.hold(channel))
            case EndHold(channel):
                await self._try(effect, channels.unhold(channel))
                await self._stop_music(StopMusic(channel))
            case StartRingback(channel):
                await self._try(effect, channels.ring(channel))
            case StopRingback(channel):
                await self._try(effect, channels.ring_stop(channel))
            case Play(channel, media, playback):
                await self._try(effect, channels.play(channel, media, playback))
            case StopPlaying(playback):
                await self._try(effect, self._client.playbacks.stop(playback))
            case Snoop(channel, snoop, whispers):
                await self._snoop(channel, snoop, whispers=whispers)
            case StopSnoop(channel):
                await self._try(effect, channels.hangup(channel))
            case SendKeys(channel, keys):
                await self._try(effect, channels.send_dtmf(channel, keys))
            case NotifyPhone(channel, done):
                state = "channel_answered" if done else "channel_declined"
                await self._try(effect, channels.transfer_progress(channel, state))
                await asyncio.sleep(_TOLD_SECONDS)
            case LeaveStasis(channel, to):
                await self._try(effect, self._leave(channel, to))
            case _:
                raise TypeError(f"not an ARI effect: {effect!r}")

    async def read_state(
        self, linked: Mapping[str, str]
    ) -> tuple[list[ev.ChannelSeen], set[str], set[str]]:
        """All channels with their bridges, the ids of those in our application, and of all bridges.

        Channels that were bridged out of it still report that they are in it. ``linked``: Linkedids
        by channel id. Raises `AsteriskUnavailable` or `AriError`.
        """
        bridges = await self._client.bridges.list()
        inside = {channel: bridge["id"] for bridge in bridges for channel in bridge["channels"]}
        channels = await self._channels(linked)
        facts = [
            channel_seen(channel, inside.get(channel["id"]), linked.get(channel["id"], ""))
            for channel in channels
        ]
        ours = {channel["id"] for channel in channels if self._is_ours(channel)}
        return facts, ours, {bridge["id"] for bridge in bridges}

    async def read_holds(self, channels: Iterable[str]) -> dict[str, bool]:
        """Which of these phones have put their calls on hold; without those that do not answer.

        Events say when it changes, and the SDP of the phone's last offer, whose state Asterisk
        keeps, how it is.
        """
        slots = asyncio.Semaphore(_HOLDS_AT_ONCE)
        found: dict[str, bool] = {}

        async def ask(channel: str) -> None:
            async with slots:
                with contextlib.suppress(AriError, AsteriskUnavailable):
                    answer = await self._client.channels.get_variable(channel, _HOLD)
                    found[channel] = answer == "1"

        await asyncio.gather(*map(ask, channels))
        return found

    async def exists(self, channel: str) -> bool:
        """Whether Asterisk still has the channel. Raises `AsteriskUnavailable`."""
        try:
            await self._client.channels.get(channel)
        except AriGone:
            return False
        except AriError:
            return True  # but it cannot be encoded as JSON: see `_channels`
        return True

    async def locate(self, channel: str) -> ev.ChannelLocated:
        """Where a channel is. Raises `AriGone`, `AriError` or `AsteriskUnavailable`."""
        seen = located(await self._client.channels.get(channel), self._app)
        if seen.in_our_app:
            return seen
        abandoned = await self._client.channels.get_variable(channel, "ABANDONED")
        return replace(seen, id=channel, abandoned=abandoned == "TRUE")

    async def _channels(self, known: Iterable[str]) -> Sequence[Mapping[str, Any]]:
        """All channels, read individually if necessary.

        Asterisk returns no list while one of the channels cannot be encoded as JSON, for example
        with a dialled extension that is not UTF-8 (main/json.c, ``ast_json_dialplan_cep_app``),
        which any caller can send. That channel remains unknown.
        """
        try:
            return [*await self._client.channels.list()]
        except AriError as error:
            if isinstance(error, AriGone):
                raise
            log.warning("channel_list_failed", error=str(error), hint="asked for one by one")
        found = await asyncio.gather(
            *(self._client.channels.get(channel) for channel in known), return_exceptions=True
        )
        channels = []
        for channel in found:
            if isinstance(channel, AriError):
                continue
            if isinstance(channel, BaseException):
                raise channel
            # For a channel that it cannot encode, Asterisk answers 200 with an empty body.
            if channel.get("id"):
                channels.append(channel)
        return channels

    def _is_ours(self, channel: Mapping[str, Any]) -> bool:
        dialplan = channel.get("dialplan", {})
        if dialplan.get("app_name") != "Stasis":
            return False
        return str(dialplan.get("app_data", "")).split(",")[0] == self._app

    async def reap(self, wanted: Callable[[str], bool], kept: Callable[[str], bool]) -> bool:
        """Send orphaned channels in our bridges back to the dialplan, and destroy the bridges.

        ``wanted`` returns whether a channel belongs to a running transfer, ``kept`` whether a
        bridge does: it may be empty, because its parties are on their way. The dialplan's fallback
        sends the caller to the head of their group. Returns False if something could not be done.
        """
        try:
            for bridge in await self._client.bridges.list():
                if not is_bridge(bridge["id"]) or any(map(wanted, bridge["channels"])):
                    continue
                for channel in bridge["channels"]:
                    log.warning("orphaned_channel_released", channel=channel, bridge=bridge["id"])
                    with contextlib.suppress(AriGone):
                        # The prefix alone is not enough: Asterisk's own ids begin with the system
                        # name (asterisk.conf, systemname), which may begin with avp-.
                        if is_leg(channel) or is_snoop(channel):
                            await self._client.channels.hangup(channel)
                        else:
                            await self._client.channels.continue_in_dialplan(channel)
                if not kept(bridge["id"]):
                    with contextlib.suppress(AriGone):
                        await self._client.bridges.destroy(bridge["id"])
        except (AriError, AsteriskUnavailable) as error:
            log.warning("orphan_cleanup_failed", error=str(error))
            return False
        return True

    async def _leave(self, channel: str, to: Destination | None) -> None:
        leave = self._client.channels.continue_in_dialplan
        if to is None:
            await leave(channel)
        else:
            await leave(channel, context=to.context, extension=to.extension, priority=to.priority)

    async def _dial(self, effect: DialLeg, report: Report) -> None:
        failed = EventType.FOURTH_FAILED if effect.fourth else EventType.LEG_FAILED
        first = effect.first
        endpoint = clean.location(effect.permission.endpoint) or "(not clean)"
        variables, unclean = clean.variables(effect.variables)
        for variable in unclean:
            log.error("unclean_value", channel=effect.channel, variable=variable)
        try:
            await self._client.channels.originate(
                effect.permission.endpoint + _HOLD_PASSES,
                app=None if first else self._app,
                context=first.context if first else None,
                extension=first.extension if first else None,
                priority=first.priority if first else None,
                channel_id=effect.channel,
                other_channel_id=effect.other_channel,
                originator=effect.originator,
                caller_id=effect.caller_id or None,
                variables=variables,
                # ARI's default is 30 s, which the wait in a queue can exceed.
                timeout_seconds=effect.timeout_seconds or _NO_TIMEOUT,
            )
        except AriError as error:
            log.warning("dial_failed", endpoint=endpoint, error=str(error))
            report(SessionEvent(failed, "target_unreachable"))
        except AsteriskUnavailable as error:
            log.warning("dial_failed", endpoint=endpoint, error=str(error))
            report(SessionEvent(failed, "asterisk_unavailable"))
            # It may ring all the same; the resync finds it.
            raise

    async def _snoop(self, channel: str, snoop: str, *, whispers: bool) -> None:
        """Without early media, the transferor hears ringback: no reason for a resync."""
        try:
            await self._client.channels.snoop(channel, snoop, self._app, whispers=whispers)
        except AriGone as error:
            log.debug("ari_resource_gone", effect="Snoop", error=str(error))
        except AriError as error:
            log.warning("early_media_not_heard", channel=channel, error=str(error))

    async def _stop_music(self, effect: StopMusic) -> None:
        """Stop music; repeat the request, because Asterisk sometimes loses it (`ari.music`).

        An error of a request propagates and ends the attempts.
        """
        for _ in range(_STOP_TRIES):
            await self._try(effect, self._client.channels.stop_moh(effect.channel))
            if await self._music_stopped(effect.channel, _STOP_SECONDS):
                return
        log.warning("music_stop_failed", channel=effect.channel)

    async def _try(self, effect: AriEffect, request: Awaitable[object]) -> None:
        try:
            await request
        except AriGone as error:
            log.debug("ari_resource_gone", effect=repr(effect), error=str(error))
            if isinstance(effect, AddToBridge):
                # The party has hung up, which an event reports, or the bridge is missing.
                raise
