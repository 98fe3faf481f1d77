"""What `asterisk-avp render all` learns from the running Asterisk, beside the files.

Rendering again must give the same files, whoever is logged in meanwhile, and although Asterisk has
our own lines loaded by then. So only what stays is taken from Asterisk: which queues and endpoints
exist, who can be an agent, and which phones an agent has. Agents whom no file names become entries
of the settings, where they stay until the administrator deletes them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from asterisk_avp.core.model.world import (
    AGENT_ID,
    PERSONAL_QUEUE_PREFIX,
    World,
    agent_id_of_interface,
)
from asterisk_avp.install.asterisk_conf import Conf, Place, Section
from asterisk_avp.install.running.ask import endpoints_in
from asterisk_avp.install.running.state import SAID_BY_ASTERISK, RunningPbx

_IN_A_VARIABLE: Final = re.compile(r"\w+", re.ASCII)
"""Ids that can be part of a variable's name; systemd takes no other characters."""
_MOST_NAME: Final = 60


def with_queues(queues: Conf, pbx: RunningPbx | None) -> Conf:
    """queues.conf, and an empty section for each queue of the call centre that no file has."""
    if pbx is None:
        return queues
    there = {section.name.lower() for section in queues.sections if not section.template}
    more = [
        Section(name, Place(SAID_BY_ASTERISK, 0))
        for name in sorted(pbx.queues or {})
        if name.lower() not in there and not name.lower().startswith(PERSONAL_QUEUE_PREFIX)
    ]
    return replace(queues, sections=(*queues.sections, *more), found=queues.found or bool(more))


def people(pbx: RunningPbx, known: Collection[str], world: World) -> dict[str, str]:
    """Agents whom neither a file nor the settings name, with their names: who is logged in to a
    group's queue, and who may log in by the PBX's star codes (AstDB, QPENALTY).
    """
    groups = {group.queue.lower() for group in world.groups.values()}
    found: dict[str, str] = {}
    for queue, member in pbx.members():
        agent = _agent(member.interface, world)
        if agent is not None and queue.name.lower() in groups:
            own = "" if member.name == member.interface else member.name
            found.setdefault(agent, own)
    for key, _ in pbx.family("QPENALTY"):
        if len(key) == 3 and key[1] == "agents" and key[0].lower() in groups:  # noqa: PLR2004
            found.setdefault(key[2], "")
    names = {key[0]: value for key, value in pbx.family("AMPUSER") if key[1:] == ("cidname",)}
    return {
        agent: _name(name or names.get(agent, "")) or agent
        for agent, name in sorted(found.items())
        if agent not in known and AGENT_ID.fullmatch(agent)
    }


def settings_of(found: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The settings for these agents, and the ids that no variable's name can contain."""
    fit = {agent: name for agent, name in found.items() if _IN_A_VARIABLE.fullmatch(agent)}
    variables = {f"AVP_AGENTS__{agent}__NAME": name for agent, name in fit.items()}
    return variables, tuple(agent for agent in found if agent not in fit)


def phones(pbx: RunningPbx | None, agents: Iterable[str], world: World) -> dict[str, set[str]]:
    """The endpoints of each agent, by the members, the hints that these name, and AstDB.

    In device-and-user mode, an agent may log on to any device of the type ``adhoc``.
    """
    found: dict[str, set[str]] = {agent: set() for agent in agents}
    if pbx is None:
        return found
    for agent, text in _texts(pbx, world):
        if agent in found:
            found[agent].update(endpoints_in([text]))
    devices: dict[str, dict[str, str]] = {}
    for key, value in pbx.family("DEVICE"):
        if len(key) == 2:  # noqa: PLR2004 - the device, and what is said of it
            devices.setdefault(key[0], {})[key[1]] = value
    for name, device in devices.items():
        endpoints = set(endpoints_in([device.get("dial", "")])) or {name}
        endpoints &= (pbx.endpoints or {}).keys()
        for agent, own in found.items():
            if device.get("user") == agent or device.get("type") == "adhoc":
                own.update(endpoints)
    return found


def _texts(pbx: RunningPbx, world: World) -> Iterator[tuple[str, str]]:
    """Each agent with a text that may name their phone."""
    hints = pbx.hints or {}
    for _, member in pbx.members():
        agent = _agent(member.interface, world)
        if agent is None:
            continue
        yield agent, member.interface
        yield agent, member.state_interface
        if member.state_interface.lower().startswith("hint:"):
            yield agent, hints.get(member.state_interface[5:], "")
    for place, devices in hints.items():
        extension, _, context = place.partition("@")
        if context == "ext-local":
            yield extension, devices


def _agent(interface: str, world: World) -> str | None:
    for agent in world.agents.values():
        if agent.interface == interface:
            return agent.id
    return agent_id_of_interface(interface)


def _name(text: str) -> str:
    """A name that the settings accept, or an empty string."""
    return text.strip()[:_MOST_NAME] if text.isprintable() else ""
