"""A caller who withholds number and name, and whether somebody is told them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from bed import Bed, match, party

from tests.asterisk.listening import Listener, Message, listening
from tests.asterisk.scene import Scene
from tests.asterisk.sip_trace import sent_to_others

ACCOUNT, SECRET, NAME = "+12025550199", "+12025550177", "Secret Person"


def tells(something: object) -> bool:
    """Whether number or name is in it, in any notation."""
    text = json.dumps(something, ensure_ascii=False, default=str)
    digits = "".join(filter(str.isdigit, text))
    return NAME in text or "2025550177" in text or "2025550177" in digits


def watched(outside: str = "pstn") -> str:
    """For pjsip.conf: all SIP is logged, and the outside line is told what Asterisk tells whom
    it trusts."""
    return f"""
[global](+)
debug = yes
[{outside}](+)
trust_id_outbound = yes
"""


def withholding(phone: str, outside: str = "pstn") -> str:
    """The same, and calls from this phone withhold number and name."""
    return f"""{watched(outside)}
[{phone}](+)
callerid = {NAME} <{SECRET}>
callerid_privacy = prohib
"""


class Told:
    """All that the daemon tells, and what Asterisk sends to other phones than the caller's."""

    def __init__(self, bed: Bed, phone: str, *trunks: int) -> None:
        """``trunks``: the ports of other nodes, which know the caller like this one."""
        self._bed, self._phone, self._trunks = bed, phone, trunks
        self._log = bed.directory / "log" / "full.log"
        self._mark = 0
        self._before: list[Message] = []
        """The events of daemons that have ended."""
        self._listener = Listener()
        self._open = AsyncExitStack()
        self.looked_at = 0
        """How many events and SIP messages have been looked at."""
        self.calls = 0
        """How many calls withheld it."""

    async def listen(self) -> None:
        """To the events of a daemon that has started."""
        self._listener = await self._open.enter_async_context(listening(self._bed))

    async def stop(self) -> None:
        await self._open.aclose()
        self._before += self._listener.messages

    def begin(self) -> None:
        self._forget()
        self._mark = self._log.stat().st_size

    async def found(self, scene: Scene, daemon_log: str) -> list[str]:
        """What has told, since the beginning, who the caller is."""
        events = [*self._before, *self._listener.messages]
        self._forget()
        with self._log.open("rb") as file:
            file.seek(self._mark)
            log = file.read().decode(errors="replace")
        own = self._bed.phones.get(self._phone)
        sip = sent_to_others(log, *self._trunks, *([own.ports.sip] if own is not None else []))
        self.looked_at += len(events) + len(sip)
        if own is not None:
            self._known(scene)
        found = [f"event {event}" for event in events if tells(event)]
        found += [f"SIP {message}" for message in sip if tells(message)]
        found += [f"log {line}" for line in daemon_log.splitlines() if tells(line)]
        return found + [answer async for answer in _answers(scene)]

    def _forget(self) -> None:
        self._before.clear()
        self._listener.messages.clear()

    def _known(self, scene: Scene) -> None:
        """Asterisk itself knows them; or that nobody is told would say nothing."""
        told = [
            event["CallerIDNum"]
            for event in scene.ami.seen(match("Newchannel"), scene.since)
            if party(event["Channel"]) == self._phone
        ]
        self.calls += len(told)
        assert {*told} <= {SECRET}, told


async def _answers(scene: Scene) -> AsyncIterator[str]:
    for path in ("", *(f"/{agent.id}{x}" for agent in scene.bed.world.agents for x in _OF_AGENT)):
        answer = await scene.api("GET", f"/v1/agents{path}")
        if tells(answer.body):
            yield f"{path} {answer}"


_OF_AGENT = ("", "/history")
