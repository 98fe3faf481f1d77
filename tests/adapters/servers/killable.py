"""A daemon that can be killed, beside a simulated Asterisk with many agents (`pbx`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.world import (
    Mode,
    Target,
    TargetKind,
    TransferRequest,
    TransferState,
)
from asterisk_avp.service.daemon import Daemon
from servers.pbx import Pbx
from servers.pbx_channels import Channel
from servers.waiting import eventually
from tests.ports import free_port

WITHIN = 20.0
MANY = 24
"""Agents with a call; as many more are targets."""
GROUPS = 4
CONSULTING = TransferState.CONSULTING


class Killable:
    """A daemon that ends without a chance to do anything about its transfers."""

    def __init__(self, pbx: Pbx, **more: str) -> None:
        groups = {f"AVP_GROUPS__GROUP{number}__ACCOUNT": "acme" for number in range(GROUPS)}
        environ = {
            "AVP_ARI__URL": pbx.ari.url,
            "AVP_ARI__USERNAME": "avp",
            "AVP_ARI__PASSWORD": "s3cret",
            "AVP_AMI__PORT": str(pbx.ami.port),
            "AVP_AMI__USERNAME": "avp",
            "AVP_AMI__SECRET": "s3cret",
            "AVP_API__PORT": "0",
            "AVP_AGI__PORT": str(free_port()),
            "AVP_ACCOUNTS__ACME__COUNTRY": "US",
            **groups,
            **more,
        }
        self.daemon = Daemon(Settings.load(environ, Path("/nonexistent")))
        self.service = self.daemon.transfer_service
        self._running = asyncio.create_task(self.daemon.run(asyncio.Event()))

    async def ready(self) -> None:
        await eventually(lambda: self.daemon.readiness().ready, WITHIN)

    async def kill(self) -> None:
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    def metrics(self) -> dict[str, float]:
        """The daemon's gauges and counters that have no labels."""
        lines = self.daemon._metrics.text().decode().splitlines()
        pairs = (line.split(" ") for line in lines if line[:1] != "#" and "{" not in line)
        return {name: float(value) for name, value in pairs}

    def states(self) -> dict[str, TransferState]:
        return {view.id: view.state for view in self.service.transfers()}


Start = Callable[..., Awaitable[Killable]]


def members() -> dict[str, list[str]]:
    """Agents with their queues."""
    return {str(1000 + n): [f"group{n % GROUPS}"] for n in range(2 * MANY)}


def wish(agent: str) -> TransferRequest:
    """A supervised transfer to a colleague of the same group."""
    target = Target(TargetKind.AGENT, str(int(agent) + MANY))
    return TransferRequest(agent, Mode.SUPERVISED, target)


async def consulting(first: Killable, pbx: Pbx, many: int = MANY) -> dict[str, Channel]:
    """Begin supervised transfers, each from one agent to another; their callers."""
    callers: dict[str, Channel] = {}

    async def begin(number: int) -> None:
        agent = str(1000 + number)
        call = pbx.offer(agent, f"group{number % GROUPS}")
        pbx.answer(call)
        await eventually(lambda: first.service.agent(agent).call is not None, WITHIN)
        transfer = (await first.service.request(wish(agent))).id
        await eventually(lambda: first.states()[transfer] is CONSULTING, WITHIN)
        callers[transfer] = call.caller

    for number in range(many):
        await begin(number)
    return callers
