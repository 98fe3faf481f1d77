"""The call centre of the load test: groups of agents with fixed phone addresses, and one trunk."""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass, replace
from typing import Final

from bed import Agent, Backend, Bed, Group, Ports, World, backend_named

from tests.benchmarks.crowd import sipp
from tests.benchmarks.crowd.watch import EVENTS

GROUP_SIZE: Final = 50
ACW_SECONDS: Final = 1
KEPT_SECONDS: Final = 60
"""How long the daemon keeps ended transfers here (600 by default), so that their memory has reached
its final size when the warm-up is over."""


@dataclass(frozen=True)
class CrowdWorld(World):
    """A call centre whose phones need not register. A share of them sends sound all the time and is
    at ``phones_port``; the others are at the next port."""

    phones_port: int = 0
    talk_share: float = 0.0
    packet_ms: int = 20

    def _phone_port(self, index: int) -> int:
        talks = int((index + 1) * self.talk_share) > int(index * self.talk_share)
        return self.phones_port + (0 if talks else 1)

    def render_accounts(self) -> str:
        packets = f"disallow = all\nallow = ulaw:{self.packet_ms}\n"
        agents = [
            f"[{agent.id}](agent)\naors = {agent.id}\ncallerid = {agent.name} <{agent.id}>\n"
            f"{packets}"
            f"[{agent.id}]\ntype = aor\n"
            f"contact = sip:{agent.id}@{sipp.AGENTS}:{self._phone_port(index)}\n"
            for index, agent in enumerate(self.agents)
        ]
        trunk = (
            f"[trunk](outside)\n{packets}\n[trunk]\ntype = identify\nendpoint = trunk\n"
            f"match = {sipp.CALLERS}\n"
        )
        return "\n".join([*agents, trunk, self.pjsip])

    def daemon_settings(self) -> dict[str, str]:
        """Without PINs, and with the product's own bounds of overload."""
        settings = super().daemon_settings()
        left_out = ("__PIN", "__BUSY_ANSWER_SECONDS", "__BUSY_BEGIN_SECONDS")
        return {name: value for name, value in settings.items() if not name.endswith(left_out)}


def crowd(agents: int, talk_share: float, packet_ms: int) -> CrowdWorld:
    """A number of agents in groups of `GROUP_SIZE` or slightly fewer."""
    people = tuple(Agent(str(2000 + i), f"Agent {2000 + i}") for i in range(agents))
    many = math.ceil(agents / GROUP_SIZE)
    groups = tuple(
        Group(
            f"group{number}",
            tuple(agent.id for agent in people[number::many]),
            number=str(800 + number),
            # New calls go to the agent who has been free longest, transfers to the one who has
            # just become free (see `driver`). Otherwise both would often choose the same agent.
            strategy="leastrecent",
        )
        for number in range(many)
    )
    return CrowdWorld(
        agents=people,
        groups=groups,
        callers=(),
        outside=(),
        wrapuptime=ACW_SECONDS,
        max_hold_seconds=120,
        settings={
            "AVP_SESSION__KEEP_ENDED_SECONDS": str(KEPT_SECONDS),
            "AVP_SESSION__RING_SECONDS": "30",
        },
        talk_share=talk_share,
        packet_ms=packet_ms,
    )


class WidePorts(Ports):
    """A block of ports with more RTP ports, outside of other beds' blocks."""

    @property
    def rtp(self) -> tuple[int, int]:
        return 10000, 19998


class CrowdBed(Bed):
    """A test bed without phones of its own, with an AMI user that receives few events.

    Asterisk does not log every dialplan line, as in a real call centre of this size.
    """

    def __init__(self, world: CrowdWorld, **more: object) -> None:
        super().__init__(world, **more)  # type: ignore[arg-type]
        self.ports = WidePorts(self.ports.base)

    def render(self) -> None:
        super().render()
        etc = self.directory / "etc"
        filters = "".join(f"eventfilter(name({name}),action(include)) =\n" for name in EVENTS)
        with (etc / "manager.conf").open("a") as manager:
            manager.write(
                f"\n[watch]\nsecret = {self.secrets.probe}\nread = call,agent\n"
                f"write = call\nwritetimeout = 5000\n{filters}"
            )
        for file, old, new in (
            ("asterisk.conf", "verbose = 3", "verbose = 0"),
            ("logger.conf", "full.log => notice,warning,error,verbose(3)\n", ""),
        ):
            text = (etc / file).read_text()
            assert old in text, f"{old} in {file}"
            (etc / file).write_text(text.replace(old, new))
        self.backend.give(etc)


def bed_and_sipp(
    agents: int, talk_share: float, backend: str | None, packet_ms: int = 20
) -> tuple[CrowdBed, sipp.Sipp]:
    """A call centre and its sipp processes, neither started yet. Raises `Unavailable`."""
    root = sipp.root()
    chosen: Backend = backend_named(backend)
    # Each call has RTP sockets at both of its ends in Asterisk.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    bed = CrowdBed(crowd(agents, talk_share, packet_ms), backend=chosen)
    first = bed.ports.phones.start
    bed.world = replace(bed.world, phones_port=first)
    people = sipp.Sipp(
        name=bed.name,
        asterisk=bed.places.server,
        agents_port=first,
        callers_port=first + 10,
        numbers=tuple(str(group.number) for group in bed.world.groups),
        root=root,
    )
    return bed, people
