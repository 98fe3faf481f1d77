"""The ARI requests of the simulated Asterisk (`pbx`): bridges, music, and the target's leg."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from servers.ari_server import Answer, Asked
from servers.pbx import PERSONAL, Pbx
from servers.pbx_channels import Channel

_GONE: Final = Answer(404, {"message": "Channel not found"})


class PbxAri:
    def __init__(self, pbx: Pbx) -> None:
        self._pbx = pbx

    def __call__(self, asked: Asked) -> Answer | None:
        match [unquote(part) for part in asked.path.strip("/").split("/")]:
            case ["asterisk", "modules"]:
                return Answer(200, [])  # no database
            case ["asterisk", "info"]:
                status = {"startup_time": self._pbx.started}
                return Answer(200, {"system": {"version": "22.10.1"}, "status": status})
            case ["asterisk" | "applications" | "events", *_]:
                return None  # the server's own
            case ["channels"] if asked.method == "POST":
                return self._originate(asked)
            case ["channels"]:
                channels = self._pbx.channels.values()
                return Answer(200, [channel.as_json(self._pbx.app) for channel in channels])
            case ["bridges"]:
                bridges = self._pbx.bridges.items()
                return Answer(200, [{"id": i, "channels": [*inside]} for i, inside in bridges])
            case ["channels", channel, *rest]:
                return self._channel(asked, channel, rest)
            case ["bridges", bridge, *rest]:
                return self._bridge(asked, bridge, rest)
            case ["endpoints", "PJSIP", trunk] if trunk.startswith("avp-node-"):
                state = "offline" if trunk in self._pbx.cut else "online"
                return Answer(200, {"technology": "PJSIP", "resource": trunk, "state": state})
            case ["playbacks", _]:
                return Answer(404, {"message": "Playback not found"})
        return self._unknown(asked)

    def _unknown(self, asked: Asked) -> Answer:
        self._pbx.unknown.append(f"ARI {asked.method} {asked.path}")
        return Answer(501, {"message": "not simulated"})

    def _channel(self, asked: Asked, identifier: str, rest: list[str]) -> Answer:
        pbx = self._pbx
        channel = pbx.channels.get(identifier)
        if channel is None:
            return _GONE
        match asked.method, rest:
            case "POST" | "DELETE", ["moh"]:
                _soon(lambda: pbx.music(channel, on=asked.method == "POST"))
            case "POST" | "DELETE", ["ring"]:
                pass
            case "GET", []:
                return Answer(200, channel.as_json(pbx.app))
            case "DELETE", []:
                _soon(lambda: pbx.hang_up(channel))
            case "GET", ["variable"] if asked.query["variable"] == "CHANNEL(rtp,hold)":
                return Answer(200, {"value": "0"})  # its phones have no hold key
            case "GET", ["variable"]:
                value = channel.variables.get(asked.query["variable"], "")
                if value:
                    return Answer(200, {"value": value})
                return Answer(404, {"message": "Provided variable was not found"})
            case _:
                return self._unknown(asked)
        return Answer(204)

    def _bridge(self, asked: Asked, bridge: str, rest: list[str]) -> Answer:
        pbx = self._pbx
        if asked.method == "POST" and not rest:
            pbx.new_bridge("mixing", bridge)
            return Answer(200, {"id": bridge, "bridge_type": "mixing", "channels": []})
        if bridge not in pbx.bridges:
            return Answer(404, {"message": "Bridge not found"})
        if asked.method == "DELETE" and not rest:
            pbx.destroy(bridge)
            return Answer(204)
        if rest != ["addChannel"]:
            return self._unknown(asked)
        channel = pbx.channels.get(asked.query["channel"])
        if channel is None:
            return Answer(400, {"message": "Channel not found"})
        if not channel.stasis:
            return Answer(422, {"message": "Channel not in Stasis application"})
        pbx.enter(channel, bridge)
        return Answer(204)

    def _originate(self, asked: Asked) -> Answer:
        """A leg through the target's personal queue, answered immediately."""
        agent = asked.query["endpoint"].removeprefix("Local/").partition("@")[0]
        if asked.query["endpoint"] != f"Local/{agent}@avp-agent-queue/m":
            return self._unknown(asked)
        pbx, query = self._pbx, asked.query
        name = f"Local/{agent}@avp-agent-queue-{len(pbx.ari.asked):08x}"
        near = pbx.channel(f"{name};1", id=query["channelId"])
        far = pbx.channel(f"{name};2", id=query["otherChannelId"], linked=near.id)
        near.other, far.other = far, near
        for variable, value in ((asked.body or {}).get("variables") or {}).items():
            near.set(variable, value)
        pbx.emit("LocalBridge", near.headers("LocalOne"), far.headers("LocalTwo"))
        _soon(lambda: self._ring(agent, near, far))
        return Answer(200, near.as_json(pbx.app))

    def _ring(self, agent: str, near: Channel, far: Channel) -> None:
        pbx, member = self._pbx, self._pbx.members[agent]
        queue = PERSONAL + agent
        if not member.personal:
            pbx.unknown.append(f"a leg into {queue}, which has no member")
            return
        pbx.join(far, queue)
        phone = pbx.channel(f"{member.interface}-{len(pbx.ari.asked):08x}", linked=near.id)
        phone.number, phone.member = agent, member
        pbx.ring(member, phone, far, queue)

        def answered() -> None:
            pbx.connect(member, phone, far, queue)
            pbx.stasis("StasisStart", near)

        _soon(answered)


def _soon(step: Callable[[], object]) -> None:
    """Events follow the answer."""
    asyncio.get_running_loop().call_soon(step)
