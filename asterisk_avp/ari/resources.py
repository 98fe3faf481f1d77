"""ARI's nouns, under the names that ari-py has: `client.channels`, `client.bridges`, …

Only the operations that the project uses. The client always chooses the ids of new channels,
bridges and playbacks, so that a lost response leaves no resource with an unknown id.

Every method raises `AriGone` if the party has hung up meanwhile, `AriError` if Asterisk refuses,
and `AsteriskUnavailable` if it does not answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asterisk_avp.ari.rest import AriRest
from asterisk_avp.core.model.errors import AriGone

Json = dict[str, Any]

_NOT_FOUND = 404


class Channels:
    """`/channels`"""

    def __init__(self, rest: AriRest) -> None:
        self._rest = rest

    async def originate(
        self,
        endpoint: str,
        *,
        app: str | None = None,
        context: str | None = None,
        extension: str | None = None,
        priority: int | None = None,
        channel_id: str,
        app_args: str = "",
        other_channel_id: str | None = None,
        caller_id: str | None = None,
        originator: str | None = None,
        variables: Mapping[str, str] | None = None,
        timeout_seconds: int | None = None,
        formats: str | None = None,
    ) -> Json:
        """Call `endpoint`; the answered channel enters `app` with `app_args`, or the dialplan.

        `other_channel_id` is the id of the far end of a Local channel; `originator` the id of the
        channel from which the call takes its account code and format (not with `formats`);
        `timeout_seconds` the ring time, by default Asterisk's 30. An unregistered `app` is not an
        error for Asterisk.
        """
        query = {
            "endpoint": endpoint,
            "app": app,
            "appArgs": app_args or None,
            "context": context,
            "extension": extension,
            "priority": priority,
            "channelId": channel_id,
            "otherChannelId": other_channel_id,
            "callerId": caller_id,
            "originator": originator,
            "timeout": timeout_seconds,
            "formats": formats,
        }
        body = {"variables": dict(variables)} if variables else None
        return _object(await self._rest.request("POST", ["channels"], query, body))

    async def list(self) -> list[Json]:
        return _objects(await self._rest.request("GET", ["channels"]))

    async def get(self, channel_id: str) -> Json:
        return _object(await self._rest.request("GET", ["channels", channel_id]))

    async def hangup(self, channel_id: str, reason_code: int | None = None) -> None:
        """End a channel; `reason_code` is a Q.850 cause, 16 (normal clearing) if not given."""
        await self._rest.request("DELETE", ["channels", channel_id], {"reason_code": reason_code})

    async def continue_in_dialplan(
        self,
        channel_id: str,
        *,
        context: str | None = None,
        extension: str | None = None,
        priority: int | None = None,
    ) -> None:
        """Leave Stasis; without a destination, to the priority after the one that entered it."""
        query = {"context": context, "extension": extension, "priority": priority}
        await self._rest.request("POST", ["channels", channel_id, "continue"], query)

    async def answer(self, channel_id: str) -> None:
        await self._rest.request("POST", ["channels", channel_id, "answer"])

    async def ring(self, channel_id: str) -> None:
        """Indicate ringing to the channel."""
        await self._rest.request("POST", ["channels", channel_id, "ring"])

    async def ring_stop(self, channel_id: str) -> None:
        await self._rest.request("DELETE", ["channels", channel_id, "ring"])

    async def start_moh(self, channel_id: str, moh_class: str = "") -> None:
        """Start music on hold; an empty class means the channel's own, or the default."""
        query = {"mohClass": moh_class or None}
        await self._rest.request("POST", ["channels", channel_id, "moh"], query)

    async def stop_moh(self, channel_id: str) -> None:
        await self._rest.request("DELETE", ["channels", channel_id, "moh"])

    async def hold(self, channel_id: str) -> None:
        """Tell the channel that the other party is on hold; it plays music."""
        await self._rest.request("POST", ["channels", channel_id, "hold"])

    async def unhold(self, channel_id: str) -> None:
        await self._rest.request("DELETE", ["channels", channel_id, "hold"])

    async def play(
        self, channel_id: str, media: str | Sequence[str], playback_id: str | None = None
    ) -> Json:
        """Play media such as `sound:tt-monkeys`, one after the other."""
        query = {"media": media if isinstance(media, str) else ",".join(media)}
        segments = ["channels", channel_id, "play"]
        if playback_id is not None:
            segments.append(playback_id)
        return _object(await self._rest.request("POST", segments, query))

    async def snoop(self, channel_id: str, snoop_id: str, app: str, *, whispers: bool) -> Json:
        """Have what the channel is sent enter `app` as a channel, or speak to it by one."""
        query = {"app": app, **({"whisper": "out"} if whispers else {"spy": "out"})}
        segments = ["channels", channel_id, "snoop", snoop_id]
        return _object(await self._rest.request("POST", segments, query))

    async def send_dtmf(self, channel_id: str, keys: str) -> None:
        """Send DTMF to the channel."""
        await self._rest.request("POST", ["channels", channel_id, "dtmf"], {"dtmf": keys})

    async def set_variable(self, channel_id: str, name: str, value: str) -> None:
        """Set a channel variable, or a function such as `CALLERID(num)`."""
        query = {"variable": name, "value": value}
        await self._rest.request("POST", ["channels", channel_id, "variable"], query)

    async def get_variable(self, channel_id: str, name: str) -> str | None:
        """A variable's value; None: not set. Raises `AriGone` only if the channel has ended."""
        segments = ["channels", channel_id, "variable"]
        try:
            answer = _object(await self._rest.request("GET", segments, {"variable": name}))
        except AriGone as error:
            # Only the message distinguishes a missing variable from a missing channel; both are
            # 404 (res/ari/resource_channels.c, ast_ari_channels_get_channel_var).
            if error.status == _NOT_FOUND and "variable was not found" in error.message:
                return None
            raise
        return str(answer.get("value", ""))

    async def transfer_progress(self, channel_id: str, states: str) -> None:
        """Notify a phone that sent a REFER of the progress of the transfer.

        `states` is one of `channel_progress`, `channel_answered`, `channel_unavailable` and
        `channel_declined`. The channel must be in Stasis. Needs Asterisk 22.3.
        """
        segments = ["channels", channel_id, "transfer_progress"]
        await self._rest.request("POST", segments, {"states": states})


class Bridges:
    """`/bridges`"""

    def __init__(self, rest: AriRest) -> None:
        self._rest = rest

    async def create(self, bridge_id: str, *, type: str = "mixing", name: str = "") -> Json:  # noqa: A002 - ARI's name
        query = {"type": type, "name": name or None}
        return _object(await self._rest.request("POST", ["bridges", bridge_id], query))

    async def list(self) -> list[Json]:
        return _objects(await self._rest.request("GET", ["bridges"]))

    async def get(self, bridge_id: str) -> Json:
        return _object(await self._rest.request("GET", ["bridges", bridge_id]))

    async def add_channel(
        self, bridge_id: str, *channel_ids: str, absorb_dtmf: bool = False
    ) -> None:
        """Add channels that are in Stasis to the bridge, all of them or none.

        With ``absorb_dtmf``, their DTMF is not passed on to the other channels.
        """
        query = {"channel": _ids(channel_ids), "absorbDTMF": "true" if absorb_dtmf else None}
        await self._rest.request("POST", ["bridges", bridge_id, "addChannel"], query)

    async def destroy(self, bridge_id: str) -> None:
        """End the bridge; its channels stay in Stasis."""
        await self._rest.request("DELETE", ["bridges", bridge_id])


class Applications:
    """`/applications`"""

    def __init__(self, rest: AriRest) -> None:
        self._rest = rest

    async def list(self) -> list[Json]:
        return _objects(await self._rest.request("GET", ["applications"]))

    async def get(self, app: str, *, seconds: float | None = None) -> Json:
        segments = ["applications", app]
        return _object(await self._rest.request("GET", segments, seconds=seconds))

    async def subscribe(self, app: str, sources: Sequence[str]) -> Json:
        """Subscribe to event sources: `channel:` for all channels, `channel:<id>` for one."""
        query = {"eventSource": ",".join(sources)}
        segments = ["applications", app, "subscription"]
        return _object(await self._rest.request("POST", segments, query))

    async def set_event_filter(self, app: str, allowed: Sequence[str]) -> Json:
        """Allow only these types of event; an empty list allows all.

        The filter belongs to the application and outlives the WebSocket.
        """
        body = {"allowed": [{"type": name} for name in allowed]} if allowed else {}
        segments = ["applications", app, "eventFilter"]
        return _object(await self._rest.request("PUT", segments, body=body))


class Endpoints:
    """`/endpoints`"""

    def __init__(self, rest: AriRest) -> None:
        self._rest = rest

    async def state(self, endpoint: str, *, seconds: float | None = None) -> str:
        """``online`` where Asterisk reaches a contact of this PJSIP endpoint, else ``offline``.

        Raises `AriGone` if there is no such endpoint.
        """
        segments = ["endpoints", "PJSIP", endpoint]
        answer = _object(await self._rest.request("GET", segments, seconds=seconds))
        return str(answer.get("state", ""))


class AsteriskInfo:
    """`/asterisk`"""

    def __init__(self, rest: AriRest) -> None:
        self._rest = rest

    async def info(self) -> Json:
        """Asterisk's build, system (with the version), configuration and status."""
        return _object(await self._rest.request("GET", ["asterisk", "info"]))

    async def version(self) -> str:
        """Asterisk's version, such as ``22.10.1``; empty: not reported."""
        system = (await self.info()).get("system")
        return str(system.get("version", "")) if isinstance(system, dict) else ""

    async def started(self) -> str:
        """When this Asterisk was started, as digits that no other start has."""
        status = (await self.info()).get("status")
        found = str(status.get("startup_time", "")) if isinstance(status, dict) else ""
        return "".join(filter(str.isdecimal, found))

    async def modules(self) -> frozenset[str]:
        """The names of the modules that run."""
        found = _objects(await self._rest.request("GET", ["asterisk", "modules"]))
        return frozenset(str(one.get("name")) for one in found if one.get("status") == "Running")

    async def ping(self) -> Json:
        return _object(await self._rest.request("GET", ["asterisk", "ping"]))

    async def get_variable(self, name: str) -> str:
        """A global variable's value; empty: not set."""
        answer = await self._rest.request("GET", ["asterisk", "variable"], {"variable": name})
        return str(_object(answer).get("value", ""))

    async def set_variable(self, name: str, value: str) -> None:
        """Set a global variable, which is lost when Asterisk restarts."""
        query = {"variable": name, "value": value}
        await self._rest.request("POST", ["asterisk", "variable"], query)


class Events:
    """`/events`"""

    def __init__(self, rest: AriRest) -> None:
        self._rest = rest

    async def user(
        self, app: str, name: str, variables: Mapping[str, str], *, seconds: float | None = None
    ) -> None:
        """Send an event to the WebSocket of `app`, where it arrives as a `ChannelUserevent`.

        Asterisk queues the event and answers at once. Raises `AriGone` if there is no such
        application. `seconds` overrides the request timeout.
        """
        segments = ["events", "user", name]
        body = {"variables": dict(variables)}
        query = {"application": app}
        await self._rest.request("POST", segments, query, body, seconds=seconds)


class Playbacks:
    """`/playbacks`"""

    def __init__(self, rest: AriRest) -> None:
        self._rest = rest

    async def get(self, playback_id: str) -> Json:
        return _object(await self._rest.request("GET", ["playbacks", playback_id]))

    async def stop(self, playback_id: str) -> None:
        await self._rest.request("DELETE", ["playbacks", playback_id])


def _ids(channel_ids: Sequence[str]) -> str:
    if not channel_ids or not all(channel_ids):
        raise ValueError("no channel id")
    return ",".join(channel_ids)


def _object(answer: Any) -> Json:
    return answer if isinstance(answer, dict) else {}


def _objects(answer: Any) -> list[Json]:
    return [item for item in answer if isinstance(item, dict)] if isinstance(answer, list) else []
