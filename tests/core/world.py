"""A small call centre for the core tests, and the facts that Asterisk would send."""

from __future__ import annotations

import itertools

from asterisk_avp.core.engine.engine import TransferEngine
from asterisk_avp.core.messages import facts as ev
from asterisk_avp.core.model.features import Features
from asterisk_avp.core.model.world import (
    ConfiguredAgent,
    Group,
    Mode,
    Target,
    TargetKind,
    TransferRequest,
)
from asterisk_avp.core.model.world import World as Configured

WORLD = Configured(
    groups={
        "sales": Group("sales", "sales", "Sales", acw_seconds=10, max_hold_seconds=8),
        "support": Group("support", "q-support", "Support", acw_seconds=2),
    },
    agents={
        "1001": ConfiguredAgent("1001", "Alice", groups=("sales",)),
        "1009": ConfiguredAgent("1009", "Ivy", interface="Local/ivy@agents/n"),
    },
)
NOW = 1_000_000.0
ALL_ON = Features(
    external_transfer=True, manual_dial=True, presets=True, conference=True, country="US"
)


def engine() -> TransferEngine:
    """An engine with Alice, Bob (sales) and Carol (support), all free, without calls."""
    numbers = itertools.count(1)
    made = TransferEngine(WORLD, new_id=lambda: f"t{next(numbers)}")
    for agent, queue in (("1001", "sales"), ("1002", "sales"), ("1003", "q-support")):
        made.fact(member(agent, queue), NOW)
    return made


def member(
    agent: str,
    queue: str = "sales",
    *,
    interface: str = "",
    status: int = 1,
    paused: bool = False,
    in_call: bool = False,
    last_call: float = 0.0,
    wrapup_seconds: int = 0,
    dynamic: bool = False,
) -> ev.MemberSeen:
    return ev.MemberSeen(
        queue=queue,
        interface=interface or f"PJSIP/{agent}",
        state_interface="",
        name=f"name of {agent}",
        status=status,
        paused=paused,
        in_call=in_call,
        last_call=last_call,
        wrapup_seconds=wrapup_seconds,
        now=NOW,
        dynamic=dynamic,
    )


def call(
    made: TransferEngine, agent: str = "1001", caller: str = "caller1", queue: str = "sales"
) -> None:
    """``caller`` talks to ``agent``, through ``queue``."""
    made.fact(ev.ChannelSeen(f"u-{caller}", f"PJSIP/{caller}-00000001", caller), NOW)
    made.fact(ev.QueueJoined(queue, f"u-{caller}"), NOW)
    seen = ev.ChannelSeen(f"u-{caller}", f"PJSIP/{caller}-00000001", queue=queue, created=False)
    made.fact(seen, NOW)
    made.fact(ev.ChannelSeen(f"u-{agent}", f"PJSIP/{agent}-00000002"), NOW)
    made.fact(ev.QueueLeft(queue, f"u-{caller}"), NOW)
    made.fact(ev.BridgeEntered(f"u-{agent}", f"b-{agent}"), NOW)
    made.fact(ev.BridgeEntered(f"u-{caller}", f"b-{agent}"), NOW)
    made.fact(member(agent, status=2, in_call=True), NOW)


def talk(made: TransferEngine, agent: str, caller: str, queue: str, group: str = "") -> None:
    """``caller`` talks to ``agent``, through ``queue``; ``group``: the call's AVP_GROUP."""
    name = f"PJSIP/{caller}-00000001"
    made.fact(ev.ChannelSeen(f"u-{caller}", name, caller, queue=queue), NOW)
    made.fact(ev.QueueJoined(queue, f"u-{caller}"), NOW)
    made.fact(ev.ChannelSeen(f"u-{agent}", f"PJSIP/{agent}-00000002"), NOW)
    made.fact(ev.QueueLeft(queue, f"u-{caller}"), NOW)
    made.fact(ev.BridgeEntered(f"u-{agent}", f"b-{agent}"), NOW)
    made.fact(ev.BridgeEntered(f"u-{caller}", f"b-{agent}"), NOW)
    if group:
        made.fact(ev.CallGroup(f"u-{caller}", group), NOW)


def request(
    agent: str = "1001",
    target: str = "1002",
    *,
    mode: Mode = Mode.SUPERVISED,
    kind: TargetKind = TargetKind.AGENT,
    call: str | None = None,
) -> TransferRequest:
    return TransferRequest(agent, mode, Target(kind, target), call=call)
