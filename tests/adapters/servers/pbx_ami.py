"""The answers of the simulated Asterisk (`pbx`) to AMI actions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from asterisk_avp.core.pbx import ami_rights
from servers.ami_server import Action, Answer, error, success
from servers.pbx import PERSONAL, Pbx
from servers.pbx_channels import NOT_IN_USE, Member

_FUNCTIONS = {
    "QUEUE_MEMBER(": "1",  # ringinuse, app_queue's default
    "PJSIP_ENDPOINT(": "false",  # allow_transfer: no phone's button does anything
}
_STARTED = {
    "CoreStartupDate": "2026-11-01",
    "CoreStartupTime": "08:00:00",
    "CoreReloadDate": "2026-11-01",
    "CoreReloadTime": "08:00:00",
}
_DIALPLAN_STASIS = "avp-stasis"


class PbxAmi:
    def __init__(self, pbx: Pbx) -> None:
        self._pbx = pbx
        # The server would say Success to what is not simulated, and the daemon wait for a list.
        refused: dict[str, Answer] = dict.fromkeys(ami_rights.ACTIONS, self._refused)
        self.answers: dict[str, Answer] = refused | {
            "ListCommands": lambda action: success(
                action, **dict.fromkeys(ami_rights.ACTIONS, "(Priv: …)")
            ),
            "Login": self._login,
            "QueueStatus": self._queue_status,
            "CoreShowChannels": self._core_show_channels,
            "CoreStatus": lambda action: success(action, **_STARTED),
            "Status": self._status,
            "Getvar": self._getvar,
            "Setvar": self._setvar,
            "Redirect": self._redirect,
            "Bridge": self._bridge,
            "Hangup": self._hangup,
            "MixMonitorMute": lambda action: error(action, "Cannot set mute flag"),  # no recording
            "QueueLog": lambda action: success(action, Message="Event added successfully"),
            "QueueAdd": self._queue_add,
            "QueuePause": self._queue_pause,
            "QueueRemove": self._queue_remove,
            "QueueSummary": self._queue_summary,
        }

    def _soon(self, *steps: object) -> None:
        """Events follow the answer."""
        loop = asyncio.get_running_loop()
        function, *arguments = steps
        loop.call_soon(function, *arguments)  # type: ignore[arg-type]

    def _login(self, action: Action) -> bytes:
        self._pbx.logged_in_at = time.monotonic()
        return self._pbx.ami._answer(action)

    def _refused(self, action: Action) -> bytes:
        self._pbx.unknown.append(f"AMI {action}")
        return error(action, "not simulated")

    def _list(self, action: Action, items: Iterable[str], end: str) -> bytes:
        of = f"ActionID: {action['ActionID']}\r\n"
        texts = [f"{item}{of}\r\n" for item in items]
        last = f"Event: {end}\r\n{of}EventList: Complete\r\nListItems: {len(texts)}\r\n\r\n"
        return success(action, EventList="start") + "".join((*texts, last)).encode()

    def _queue_status(self, action: Action) -> bytes:
        pbx, wanted, interface = self._pbx, action.get("Queue"), action.get("Member")
        by_queue: dict[str, list[Member]] = {}
        if interface:
            some = [m for m in pbx.members.values() if m.interface == interface]
        elif wanted and wanted.startswith(PERSONAL):
            some = [m for m in (pbx.members.get(wanted.removeprefix(PERSONAL)),) if m]
        else:
            some = list(pbx.members.values())
        for member in some:
            for queue in member.everywhere:
                by_queue.setdefault(queue, []).append(member)

        def items() -> Iterator[str]:
            personal = [PERSONAL + agent for agent in pbx.members]
            for queue in (wanted,) if wanted else (*pbx.queues, *personal):
                yield (
                    f"Event: QueueParams\r\nQueue: {queue}\r\nMax: 0\r\nStrategy: rrmemory\r\n"
                    "Calls: 0\r\nHoldtime: 0\r\nTalkTime: 0\r\nCompleted: 0\r\nAbandoned: 0\r\n"
                    "ServiceLevel: 0\r\nServicelevelPerf: 0.0\r\nServicelevelPerf2: 0.0\r\n"
                    "Weight: 0\r\n"
                )
                for member in by_queue.get(queue, ()):
                    yield "Event: QueueMember\r\n" + member.headers(queue, listed=True)
                waiting = (c for c in pbx.channels.values() if c.queue == queue) if wanted else ()
                for place, channel in enumerate(waiting, 1):
                    yield (
                        f"Event: QueueEntry\r\nQueue: {queue}\r\nPosition: {place}\r\n"
                        f"Channel: {channel.name}\r\nUniqueid: {channel.id}\r\n"
                        f"CallerIDNum: {channel.number}\r\nCallerIDName: unknown\r\n"
                        "ConnectedLineNum: unknown\r\nConnectedLineName: unknown\r\n"
                        "Wait: 1\r\nPriority: 0\r\n"
                    )

        return self._list(action, items(), "QueueStatusComplete")

    def _queue_summary(self, action: Action) -> bytes:
        queue = action["Queue"]
        members = [m for m in self._pbx.members.values() if queue in m.everywhere]
        free = sum(1 for m in members if m.status == NOT_IN_USE and not m.paused)
        waiting = sum(1 for channel in self._pbx.channels.values() if channel.queue == queue)
        item = (
            f"Event: QueueSummary\r\nQueue: {queue}\r\nLoggedIn: {len(members)}\r\n"
            f"Available: {free}\r\nCallers: {waiting}\r\nHoldTime: 0\r\nTalkTime: 0\r\n"
            f"LongestHoldTime: {min(waiting, 1)}\r\n"
        )
        return self._list(action, (item,), "QueueSummaryComplete")

    def _core_show_channels(self, action: Action) -> bytes:
        items = (
            f"Event: CoreShowChannel\r\n{channel.headers()}BridgeId: {channel.bridge or ''}\r\n"
            f"Application: {'Queue' if channel.queue else ''}\r\n"
            f"ApplicationData: {channel.queue}\r\nDuration: 00:00:07\r\n"
            for channel in self._pbx.channels.values()
        )
        return self._list(action, items, "CoreShowChannelsComplete")

    def _status(self, action: Action) -> bytes:
        if "Channel" not in action:
            name = action["Variables"]
            found = [
                (c, {name: c.variables.get(name, "(null)")}) for c in self._pbx.channels.values()
            ]
        else:
            channel = self._pbx.find(action["Channel"])
            if channel is None:
                return error(action, "No such channel")
            found = [(channel, channel.variables)]
        items = (
            "Event: Status\r\nPrivilege: Call\r\n"
            + channel.headers()
            + "".join(f"Variable: {name}={value}\r\n" for name, value in variables.items())
            for channel, variables in found
        )
        return self._list(action, items, "StatusComplete")

    def _getvar(self, action: Action) -> bytes:
        if "Channel" not in action:
            name = action["Variable"]
            known = (value for text, value in _FUNCTIONS.items() if name.startswith(text))
            if name.startswith("GLOBAL("):
                known = iter([self._pbx.globals.get(name[7:-1], "")])
            value = next(known, None)
            return (
                self._refused(action)
                if value is None
                else success(action, Variable=name, Value=value)
            )
        channel = self._pbx.find(action["Channel"])
        if channel is None:
            return error(action, "No such channel")
        name = action["Variable"]
        self._pbx.asked("Getvar", action["Channel"])
        return success(action, Variable=name, Value=channel.variables.get(name, ""))

    def _setvar(self, action: Action) -> bytes:
        if "Channel" not in action:
            self._pbx.globals[action["Variable"]] = action.get("Value", "")
            return success(action, Message="Variable Set")
        channel = self._pbx.find(action["Channel"])
        if channel is None:
            return error(action, "No such channel")
        name, value = action["Variable"], action.get("Value", "")
        if name.startswith("ARRAY("):  # of plain values, which stand for themselves
            names = name.removeprefix("ARRAY(").removesuffix(")").split(",")
            for each, its in zip(names, value.split(","), strict=True):
                channel.set(each, its)
        else:
            channel.set(name, value)
        return success(action, Message="Variable Set")

    def _redirect(self, action: Action) -> bytes:
        wanted = [action["Channel"], action.get("ExtraChannel", "")]
        found = [channel for name in wanted if (channel := self._pbx.find(name)) is not None]
        if action["Context"] != _DIALPLAN_STASIS or len(found) < len(wanted):
            return self._refused(action)
        self._soon(self._pbx.into_stasis, found)
        return success(action, Message="Dual Redirect successful")

    def _bridge(self, action: Action) -> bytes:
        first, second = self._pbx.find(action["Channel1"]), self._pbx.find(action["Channel2"])
        if first is None or second is None or first.bridge is None or second.bridge is None:
            return error(action, "Channel does not exist, or is in no bridge")
        self._soon(self._pbx.bridge_pair, first, second)
        return success(action, Message="Channels have been bridged")

    def _hangup(self, action: Action) -> bytes:
        channel = self._pbx.find(action["Channel"])
        if channel is None:
            return error(action, "No such channel")
        self._soon(self._pbx.hang_up, channel)
        return success(action, Message="Channel Hungup")

    # --- personal queues -------------------------------------------------------------------------

    def _personal_member(self, action: Action) -> Member | None:
        return self._pbx.members.get(action["Queue"].removeprefix(PERSONAL))

    def _queue_add(self, action: Action) -> bytes:
        member = self._personal_member(action)
        if member is None:
            return error(action, "Unable to add interface to queue: No such queue")
        member.personal, member.personal_paused = True, action.get("Paused") == "true"
        self._soon(self._pbx.told_of_member, "QueueMemberAdded", member)
        return success(action, Message="Added interface to queue")

    def _queue_remove(self, action: Action) -> bytes:
        agent = self._pbx.members.get(action["Interface"].partition("/")[2])
        if agent is not None and action["Queue"] in agent.queues:
            self._soon(self._pbx.log_out, agent.agent, action["Queue"])
            return success(action, Message="Removed interface from queue")
        member = self._personal_member(action)
        if member is None or not member.personal:
            return error(action, "Unable to remove interface: Not there")
        # The event tells the member as it was.
        self._soon(self._pbx.told_of_member, "QueueMemberRemoved", replace(member))
        member.personal = False
        return success(action, Message="Removed interface from queue")

    def _queue_pause(self, action: Action) -> bytes:
        self._pbx.asked("QueuePause", action["Queue"])
        member = self._personal_member(action)
        if member is None:
            return error(action, "Interface not found")
        member.personal_paused = action["Paused"] == "true"
        self._soon(self._pbx.told_of_member, "QueueMemberPause", member)
        return success(action, Message="Interface paused successfully")
