"""The classes and filters of the daemon's AMI user: each class is needed, and no other.

Beside the complete user there is one without each class, one with every class, and one with the
filters; the test compares what they may do, and the events that they receive in a transfer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext

import pytest
import pytest_asyncio
import requests
from bed import ActionFailed, Bed, Probe, backend_named, match

from asterisk_avp.core.pbx.ami_rights import ACTIONS, DANGEROUS, EVENTS, READ, WRITE
from asterisk_avp.install.ami_filters import daemon_lines
from tests.asterisk.conftest import open_scene, world

pytestmark = [pytest.mark.asterisk, pytest.mark.asyncio(loop_scope="session")]

SECRET = "of-these-tests-only"
ALL_READ = (
    "system,call,log,verbose,agent,user,config,dtmf,reporting,cdr,dialplan,cc,agi,security,aoc"
)
HARMLESS: dict[str, dict[str, str]] = {
    "Redirect": {"Channel": "none", "Context": "none", "Exten": "s", "Priority": "1"},
    "Bridge": {"Channel1": "none", "Channel2": "none"},
    "Setvar": {"Channel": "none", "Variable": "X", "Value": "1"},
    "Getvar": {"Variable": "EPOCH"},
    "Hangup": {"Channel": "none"},
    "MixMonitorMute": {"Channel": "none", "Direction": "both", "State": "0"},
    "Status": {"Channel": "none"},
    "CoreStatus": {},
    "CoreShowChannels": {},
    "DBGet": {"Family": "none", "Key": "none"},
    "QueueAdd": {"Queue": "none", "Interface": "Local/none@none"},
    "QueueRemove": {"Queue": "none", "Interface": "Local/none@none"},
    "QueuePause": {"Queue": "none", "Interface": "Local/none@none", "Paused": "true"},
    "QueuePenalty": {"Queue": "none", "Interface": "Local/none@none", "Penalty": "0"},
    "QueueMemberRingInUse": {"Queue": "none", "Interface": "Local/none@none", "RingInUse": "no"},
    "QueueLog": {},
    "QueueWithdrawCaller": {"Queue": "none", "Caller": "none"},
    "QueueStatus": {"Queue": "none"},
    "QueueSummary": {"Queue": "none"},
    "Command": {"Command": "core show version"},
    "Originate": {},
    "UpdateConfig": {},
    "ModuleLoad": {},
}
NEEDED = [("read", name) for name in READ] + [("write", name) for name in WRITE]


def users() -> Iterator[tuple[str, str, str]]:
    """Name, read and write."""
    yield "whole", ",".join(READ), ",".join(WRITE)
    yield "ears", ALL_READ, ""
    yield "filtered", ",".join(READ), "\n".join(("", *daemon_lines()))
    for kind, name in NEEDED:
        less = {"read": set(READ), "write": set(WRITE)}
        less[kind].discard(name)
        yield f"no-{kind}-{name}", ",".join(less["read"]), ",".join(less["write"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Bed]:
    async with Bed(world(), backend=backend_named(None)) as started:
        with (started.directory / "etc" / "manager.conf").open("a") as file:
            for name, read, write in users():
                file.write(f"\n[{name}]\nsecret = {SECRET}\nread = {read}\nwrite = {write}\n")
        await started.ami.action("Command", Command="manager reload")
        await started.start_daemon()
        yield started


async def probe(bed: Bed, user: str) -> Probe:
    found = Probe(bed.ports.ami, SECRET, user)
    hears = "system" in next(read for name, read, _ in users() if name == user)
    # Probe waits for FullyBooted, which not every user here receives.
    with nullcontext() if hears else pytest.raises(AssertionError, match="no such event"):
        await found.connect(10.0 if hears else 0.5)
    return found


async def refused(session: Probe, action: str) -> bool:
    try:
        await session.action(action, **HARMLESS[action])
    except ActionFailed as error:
        return "Permission denied" in str(error)
    return False


async def test_actions(office: Bed) -> None:
    seen = {}
    for kind, missing in [("", ""), *(x for x in NEEDED if x[0] == "write")]:
        session = await probe(office, f"no-{kind}-{missing}" if kind else "whole")
        seen[missing] = {name for name in HARMLESS if await refused(session, name)}
        await session.close()
    # The complete user may send all our actions, and none that give control of Asterisk's host.
    assert seen[""] == set(DANGEROUS)
    for missing in WRITE:
        rest = set(WRITE) - {missing}
        lost = {name for name, classes in ACTIONS.items() if classes and not classes & rest}
        assert seen[missing] == set(DANGEROUS) | lost
        assert lost, f"{missing} is not needed"


async def test_events(office: Bed) -> None:
    reads = ["whole", "ears", "filtered", *(f"no-read-{name}" for name in READ)]
    sessions: dict[str, Probe] = {}
    try:
        for user in reads:
            sessions[user] = await probe(office, user)
        await a_transfer(office)
    finally:
        for session in sessions.values():
            await session.close()
    heard = {
        user: {event.name for event in session.events if event.name in EVENTS}
        for user, session in sessions.items()
    }
    # The events that "ears" receives must not include any of ours that the complete user does not.
    assert heard["whole"] == heard["ears"]
    # The filters keep away everything else, and nothing of ours. Nothing that the daemon has read
    # in this transfer was in vain.
    assert {event.name for event in sessions["filtered"].events} - {"", *EVENTS} == set()
    assert read_of(sessions["filtered"]) == read_of(sessions["ears"])
    counted = await asyncio.to_thread(requests.get, office.url + "/metrics", timeout=5)
    assert 'asterisk_avp_ami_events_total{handled="no"} 0.0' in counted.text
    lost = {name: heard["whole"] - heard[f"no-read-{name}"] for name in READ}
    assert {"MusicOnHoldStart", "MusicOnHoldStop", "BridgeEnter"} <= lost["call"]
    assert {"QueueMemberStatus", "AgentComplete", "QueueCallerJoin"} <= lost["agent"]


def read_of(session: Probe) -> list[tuple[str, str]]:
    """The events that the daemon reads, in order; until the last one that the test waits for."""
    found = [
        (event.name, event.get("Uniqueid") or event.get("Interface", ""))
        for event in session.events
        if event.name in EVENTS and (not EVENTS[event.name] or event.get(EVENTS[event.name]))
    ]
    last = max(at for at, (name, _) in enumerate(found) if name == "AgentComplete")
    return found[: last + 1]


async def a_transfer(office: Bed) -> None:
    async with open_scene(office) as scene:
        await scene.call("caller1", "1001")
        transfer = await scene.transfer("1001", "supervised", "1002")
        await scene.phone("1002").answer()
        await scene.consulting(transfer, "caller1", "1001", "1002")
        await scene.complete(transfer)
        await scene.talking("caller1", "1002")
        await scene.phone("1002").hangup()
        done = match("AgentComplete", Queue="avp-agent-1002")
        await scene.ami.wait(done, within=5, since=scene.since)
