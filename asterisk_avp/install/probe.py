"""Collect facts from a running Asterisk for `asterisk-avp check`, as the daemon's own users.

The probe changes nothing and rings nobody. It reads, runs one Local channel through the context
`avp-check` of our dialplan, which dials nothing, and sends a few SIP requests that Asterisk must
refuse (`sip_probe`).
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import requests

from asterisk_avp.ami.link import AmiLink
from asterisk_avp.ari.resources import AsteriskInfo, Channels
from asterisk_avp.ari.rest import AriRest
from asterisk_avp.config.settings import Settings
from asterisk_avp.core.model.errors import AmiError, AriError, AvpError
from asterisk_avp.core.model.world import World, agent_id_of_interface
from asterisk_avp.core.pbx.ami_rights import READ
from asterisk_avp.install.asterisk_conf import Conf
from asterisk_avp.install.checks.agents import agents
from asterisk_avp.install.checks.live import EVENT_OF_CLASS
from asterisk_avp.install.checks.model import Facts, Live, Queue, SelfTest, SipTest
from asterisk_avp.install.checks.parts import EXTENSIONS, OUTSIDE, SOUND_VARIABLES
from asterisk_avp.install.running.ask import ask_pbx, wanted_of
from asterisk_avp.install.running.state import PbxQueue
from asterisk_avp.install.sip_probe import try_replaces

_SELFTEST_SECONDS: Final = 8.0
"""Asterisk itself abandons a FastAGI connection after 5 s."""
_EVENTS_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1
_RESULT: Final = "AVP_CHECK_RESULT"
"""The global variable in which avp-check stores its result."""


async def ask(
    settings: Settings,
    world: World,
    files: Mapping[str, Conf],
    clock: Callable[[], float] = time.time,
) -> tuple[Live, str | None]:
    """The facts from Asterisk, and its version. ``clock``: this machine's, in Unix seconds."""
    heard: set[str] = set()
    link = AmiLink(
        settings.ami.host,
        settings.ami.port,
        on_event=lambda event: heard.add(event.get("Event", "")),
        action_seconds=settings.ami.action_timeout_seconds,
    )
    rest = AriRest(
        settings.ari.url,
        settings.ari.username,
        settings.ari.password.get_secret_value(),
        timeout_seconds=settings.ari.request_timeout_seconds,
    )
    try:
        ami = await _login(link, settings)
        version, ari = await _version(rest)
        facts: dict[str, Any] = {"ami": ami, "ari": ari}
        if not ari:
            facts |= await _by_ari(rest)
        if not ami:
            facts |= await _by_ami(link, clock)
            names = () if ari else await _endpoints(rest)
            facts |= await _pbx(link, settings, world, files, names)
            facts["contacts"] = await _contacts(link, world)
        if not ami and not ari and facts["extensions"].get("avp-check,s"):
            facts["selftest"] = await _selftest(link, rest, heard)
        facts["daemon"] = await asyncio.to_thread(_daemon, settings)
        facts["sip"] = await asyncio.to_thread(_sip, settings, world, files)
        return Live(**facts), version
    finally:
        await link.close()
        await rest.close()


async def _login(link: AmiLink, settings: Settings) -> str:
    """Log in to AMI. Returns the error, or an empty string."""
    user = settings.ami.username
    try:
        await link.open(user, settings.ami.secret.get_secret_value(), ",".join(READ))
    except AmiError:
        return f"AMI at {settings.ami.host}:{settings.ami.port} rejects user {user!r}"
    except AvpError as error:
        return str(error)
    link.start_events()
    return ""


async def _version(rest: AriRest) -> tuple[str | None, str]:
    try:
        return await AsteriskInfo(rest).version(), ""
    except AvpError as error:
        return None, str(error)


async def _by_ami(link: AmiLink, clock: Callable[[], float]) -> dict[str, Any]:
    commands = await link.request("ListCommands")
    actions = {name for name, summary in commands.items() if "(Priv:" in summary}
    found: dict[str, Any] = {"actions": frozenset(actions)}
    if "Getvar" in actions:
        found["clock"] = await _clock(link, clock)
        found["extensions"] = {
            name: await _variable(link, f"DIALPLAN_EXISTS({name},1)") == "1"
            for name in (*EXTENSIONS, OUTSIDE)
        }
        found["variables"] = {name: await _variable(link, name) for name in SOUND_VARIABLES}
    else:
        found["extensions"] = {}
    return found


async def _variable(link: AmiLink, name: str) -> str:
    try:
        return (await link.request("Getvar", {"Variable": name})).get("Value", "")
    except AmiError:
        return ""


async def _contacts(link: AmiLink, world: World) -> dict[str, str]:
    """What Asterisk says of the trunks to the other nodes, by node."""
    found = {}
    for node in world.nodes.values():
        if node.id != world.node:
            aor = await _variable(link, f"PJSIP_ENDPOINT({node.endpoint},aors)")
            contacts = await _variable(link, f"PJSIP_AOR({aor},contact)") if _NAME(aor) else ""
            first = contacts.partition(",")[0]
            status = f"PJSIP_CONTACT({first},status)"
            found[node.id] = await _variable(link, status) if _NAME(first) else ""
    return found


_NAME: Final = re.compile(r"[^\s,;()$&|\"']{1,200}").fullmatch
"""What can be an argument of a dialplan function."""


async def _clock(link: AmiLink, clock: Callable[[], float]) -> float | None:
    """How far Asterisk's clock is ahead, in seconds. Half a second makes up for its rounding."""
    before = clock()
    epoch = await _variable(link, "EPOCH")
    middle = (before + clock()) / 2
    return int(epoch) + 0.5 - middle if epoch.isdecimal() else None


async def _pbx(
    link: AmiLink,
    settings: Settings,
    world: World,
    files: Mapping[str, Conf],
    names: Collection[str],
) -> dict[str, Any]:
    queues = [group.queue for group in world.groups.values()]
    # Of several nodes, an agent of the settings may have the phone elsewhere: asking about it here
    # is a warning in Asterisk's log.
    known = replace(world, agents={}) if world.node else world
    phones = [*agents(Facts(files, world=known)), *names]
    wanted = wanted_of(files["pjsip.conf"], phones, queues)
    pbx = await ask_pbx(link, wanted, settings.ami.username)
    queued = None if pbx.queues is None else _queues(pbx.queues, world)
    return {"pbx": pbx, "queues": queued, "dialplan": pbx.dialplan}


async def _endpoints(rest: AriRest) -> list[str]:
    """The PJSIP endpoints that Asterisk has in memory: not those of a database that are idle."""
    try:
        found = await rest.request("GET", ["endpoints", "PJSIP"])
    except AriError:
        return []  # chan_pjsip is not loaded
    return [item["resource"] for item in found]


def _queues(live: Mapping[str, PbxQueue], world: World) -> dict[str, Queue]:
    interfaces = {agent.interface: agent.id for agent in world.agents.values()}

    def ids(queue: PbxQueue) -> Iterator[str]:
        for member in queue.members:
            agent = interfaces.get(member.interface) or agent_id_of_interface(member.interface)
            if agent is not None:
                yield agent

    return {
        name: Queue(name, queue.maxlen, queue.weight, tuple(ids(queue)))
        for name, queue in live.items()
    }


async def _by_ari(rest: AriRest) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        modules = await rest.request("GET", ["asterisk", "modules"])
        found["modules"] = {x["name"]: x.get("status", "") for x in modules}
    except AriError:
        found["modules"] = None  # without res_ari_asterisk there is no version either
    try:
        sounds = await rest.request("GET", ["sounds"])
        found["sounds"] = {
            x["id"]: frozenset(y["language"] for y in x.get("formats", ())) for x in sounds
        }
    except AriError as error:
        # This message comes from res_ari_sounds and means that there are no sounds
        # (res/ari/resource_sounds.c). Any other error means that the module is missing.
        found["sounds"] = {} if "No sounds found" in error.message else None
    return found


async def _selftest(link: AmiLink, rest: AriRest, heard: set[str]) -> SelfTest:
    run_id = secrets.token_hex(6)
    heard.clear()
    try:
        await Channels(rest).originate(
            "Local/s@avp-check/n",
            context="avp-check",
            extension="answered",
            priority=1,
            channel_id=f"avp-check-{run_id}",
            other_channel_id=f"avp-check-{run_id}-2",
            caller_id="asterisk-avp check <>",
            variables={"__AVP_CHECK": run_id},
            timeout_seconds=int(_SELFTEST_SECONDS),
        )
    except AvpError as error:
        return SelfTest(refused=str(error))
    deadline = time.monotonic() + _SELFTEST_SECONDS
    while True:
        # run_id,AGISTATUS,answer,address
        result = (await _variable(link, _RESULT)).split(",")
        if result[0] == run_id and len(result) == 4:  # noqa: PLR2004 - the four fields
            break
        if time.monotonic() > deadline:
            return SelfTest(heard=frozenset(heard))
        await asyncio.sleep(_POLL_SECONDS)
    deadline = min(deadline, time.monotonic() + _EVENTS_SECONDS)
    # Events may arrive after the response.
    while not heard >= {*EVENT_OF_CLASS.values()} and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)
    return SelfTest(
        ran=True, agi=result[1], answer=result[2], address=result[3], heard=frozenset(heard)
    )


def _sip(settings: Settings, world: World, files: Mapping[str, Conf]) -> SipTest:
    """Send INVITEs with Replaces to the transports in pjsip.conf."""
    pjsip = files["pjsip.conf"]
    if not pjsip.found:
        return SipTest(untried=("pjsip.conf, which has the SIP transports, does not exist",))
    names = agents(Facts(files, world=world))
    return try_replaces(pjsip, files["features.conf"], names, settings.ami.host)


def _daemon(settings: Settings) -> Mapping[str, object] | None:
    """The answer of our API's `/readyz`. None: no answer, or another server's."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared only
    host = everywhere.get(settings.api.host, settings.api.host)
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(f"http://{host}:{settings.api.port}/readyz", timeout=5)
            state = answer.json()
        except (requests.RequestException, ValueError):
            return None
    return state if isinstance(state, dict) and "ready" in state else None
