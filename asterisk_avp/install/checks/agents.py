"""Which endpoints of pjsip.conf are agents' phones?"""

from __future__ import annotations

from collections.abc import Iterator

from asterisk_avp.core.model.world import agent_id_of_interface
from asterisk_avp.core.pbx.member_phones import PhoneSearch
from asterisk_avp.install.asterisk_conf import Conf, Section, members
from asterisk_avp.install.checks.model import Facts, Finding, Severity
from asterisk_avp.install.running.state import RunningPbx

_CONTEXT = "avp-agents"


def endpoints(conf: Conf) -> dict[str, Section]:
    """The endpoints of pjsip.conf by name."""
    return {
        section.name: section
        for section in conf.sections
        if not section.template and section.last("type").lower() == "endpoint"
    }


def agents(facts: Facts) -> list[str]:
    """The endpoint names of all known agents, whether or not pjsip.conf has them.

    Agents come from the settings, from the members of the groups' queues in queues.conf, and from
    endpoints whose context is avp-agents.
    """
    found = dict.fromkeys(_of_settings(facts))
    found |= dict.fromkeys(_of_queues(facts))
    found |= {
        name: None
        for name, section in endpoints(facts.file("pjsip.conf")).items()
        if section.last("context") == _CONTEXT
    }
    return list(found)


def queue_members(facts: Facts) -> dict[str, tuple[str, ...]]:
    """The agent ids of each queue's static members."""
    found = {}
    for queue, static in members(facts.file("queues.conf")).items():
        ids = [agent_of(facts, member.interface) for member in static]
        found[queue] = tuple(dict.fromkeys(filter(None, ids)))
    return found


def ids(facts: Facts) -> Iterator[Finding]:
    """Does the case of an agent's id differ between the settings and the queues?

    Agent ids are names in Asterisk, which is case-sensitive: `anna` and `ANNA` are two agents.
    """
    known = {x for found in queue_members(facts).values() for x in found}
    by_letters = {member.lower(): member for member in known}
    for agent in facts.world.agents.values() if facts.world is not None else ():
        meant = by_letters.get(agent.id.lower())
        if agent.interface is None and agent.id not in known and meant is not None:
            yield Finding(
                "agents",
                Severity.WARNING,
                f"the settings name an agent {agent.id}, the queues a member {meant}",
                "Ids are case-sensitive: what is set for one, such as a PIN, does not apply to the"
                " other.",
                "the settings",
                (f"AVP_AGENTS__{meant}__… in place of AVP_AGENTS__{agent.id}__…",),
            )


def agent_of(facts: Facts, interface: str) -> str | None:
    """The agent with this interface: from the settings, or from the part after the technology."""
    for agent in facts.world.agents.values() if facts.world is not None else ():
        if agent.interface == interface:
            return agent.id
    return agent_id_of_interface(interface)


def _of_settings(facts: Facts) -> Iterator[str]:
    for agent in facts.world.agents.values() if facts.world is not None else ():
        if facts.world is not None and agent.node not in (None, facts.world.node or agent.node):
            continue  # the phone is at another node
        phones = phones_of(facts, agent.interface or "", "")
        found = list(filter(None, map(_endpoint, (*phones, *agent.phones))))
        yield from found or [agent.id]


def _of_queues(facts: Facts) -> Iterator[str]:
    groups = facts.world.groups.values() if facts.world is not None else ()
    queues = {group.queue.lower() for group in groups}
    for queue, static in members(facts.file("queues.conf")).items():
        if queue.lower() not in queues:
            continue
        for member in static:
            agent = agent_of(facts, member.interface)
            configured = facts.world.agents.get(agent or "") if facts.world is not None else None
            further = configured.phones if configured is not None else ()
            phones = [*phones_of(facts, member.interface, member.state_interface), *further]
            found = list(filter(None, map(_endpoint, phones)))
            if found:
                yield from found
            elif identifier := agent_id_of_interface(member.interface):
                yield identifier


def phones_of(facts: Facts, interface: str, state_interface: str) -> tuple[str, ...]:
    """The phones of a member, such as ``PJSIP/1001``, also behind its hint or FreePBX's devices."""
    search = PhoneSearch(interface, state_interface)
    pbx = facts.live.pbx if facts.live is not None else None
    while questions := search.questions():
        search.learn({x: _answer(pbx, x) for x in questions} if pbx is not None else {})
    return search.phones()


def _answer(pbx: RunningPbx, question: str) -> str:
    """What HINT(1001@ext-local) or DB(AMPUSER/1001/device) would return."""
    function, _, argument = question.removesuffix(")").partition("(")
    if function == "HINT":
        return (pbx.hints or {}).get(argument, "")
    return (pbx.database or {}).get(f"/{argument}", "")


def _endpoint(interface: str) -> str:
    """``PJSIP/1001`` -> ``1001``; an empty string for other technologies."""
    technology, _, rest = interface.partition("/")
    return rest.partition("/")[0].rpartition("@")[2] if technology.upper() == "PJSIP" else ""
