"""Find the phones of a queue's member: pure, with what Asterisk answers.

A member's interface is its phone (``PJSIP/1001``), or a place in the dialplan
(``Local/1001@from-queue/n``) behind which are phones that only Asterisk knows. They are

* the state interface, if it is a phone;
* the devices of the hint that the state interface names (``hint:1001@ext-local``), or that the
  place itself has;
* FreePBX's devices of the user: ``AMPUSER/<user>/device`` in AstDB, and ``DEVICE/<device>/dial`` of
  each. Where devices and users are kept apart, both change when the user logs in elsewhere.

`PhoneSearch.questions` are a hint or an entry of AstDB each, written as the dialplan functions
HINT() and DB() that would read them. Each round of answers may lead to further questions; after two
rounds there are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from asterisk_avp.core.model.world import ConfiguredAgent
from asterisk_avp.core.pbx.channel import resource_of_interface

PHONE: Final = re.compile(r"[A-Za-z0-9]+/[A-Za-z0-9_.+-]{1,80}")
"""The interface of a phone, such as PJSIP/1001; its channels' names begin with it and a hyphen."""

MAX_DEVICES: Final = 16
"""Phones of one member that are asked about. FreePBX allows more; nobody has as many on a desk."""

_PLACE = re.compile(r"[A-Za-z0-9_.+-]{1,80}@[A-Za-z0-9_.-]{1,80}")
_USER = re.compile(r"[A-Za-z0-9_.+-]{1,80}")
_NO_PHONES: Final = frozenset({"local", "custom", "queue", "agent", "park", "confbridge", "stasis"})
"""What looks like a technology in an interface or a hint, and is no phone."""


def is_phone(interface: str) -> bool:
    """Whether an interface names a phone, and not a place in the dialplan."""
    technology = interface.partition("/")[0].lower()
    return PHONE.fullmatch(interface) is not None and technology not in _NO_PHONES


def place_of(interface: str) -> str:
    """``1001@from-queue`` of ``Local/1001@from-queue/n``; empty: not such an interface."""
    technology, _, rest = interface.partition("/")
    place = rest.partition("/")[0]
    return place if technology.lower() == "local" and _PLACE.fullmatch(place) else ""


@dataclass(slots=True)
class PhoneSearch:
    """The search for the phones of a member."""

    interface: str
    state_interface: str = ""
    _answers: dict[str, str] = field(default_factory=dict)

    def questions(self) -> tuple[str, ...]:
        """The functions that Asterisk must still be asked about; none: `phones` is complete."""
        return tuple(x for x in self._wanted() if x not in self._answers)

    def learn(self, answers: Mapping[str, str]) -> None:
        """Take over answers; what has none counts as empty."""
        self._answers |= {question: answers.get(question, "") for question in self.questions()}

    def phones(self) -> tuple[str, ...]:
        """The phones as far as they are known, each once."""
        if is_phone(self.interface):
            return (self.interface,)
        return tuple(dict.fromkeys(self._phones()))

    # --- what is asked, and what follows -------------------------------------------------------

    def _wanted(self) -> Iterator[str]:
        if is_phone(self.interface):
            return
        for place in self._hints():
            yield f"HINT({place})"
        for user in self._users():
            yield _devices_of(user)
            for device in self._devices(user):
                yield f"DB(DEVICE/{device}/dial)"
                yield f"DB(DEVICE/{device}/user)"

    def _phones(self) -> Iterator[str]:
        if is_phone(self.state_interface):
            yield self.state_interface
        for place in self._hints():
            yield from _of_hint(self._answers.get(f"HINT({place})", ""))
        for user in self._users():
            for device in self._devices(user):
                at_it = self._answers.get(f"DB(DEVICE/{device}/user)", "")
                dialled = self._answers.get(f"DB(DEVICE/{device}/dial)", "")
                if at_it in ("", user) and is_phone(dialled):
                    yield dialled

    def _hints(self) -> tuple[str, ...]:
        """The state interface is ``hint:1001@ext-local``; some write the place itself."""
        kind, _, named = self.state_interface.partition(":")
        hint = named if kind.lower() == "hint" and _PLACE.fullmatch(named) else ""
        return tuple(dict.fromkeys(x for x in (hint, place_of(self.interface)) if x))

    def _users(self) -> tuple[str, ...]:
        extensions = (place.partition("@")[0] for place in reversed(self._hints()))
        return tuple(dict.fromkeys(x for x in extensions if _USER.fullmatch(x)))

    def _devices(self, user: str) -> tuple[str, ...]:
        listed = self._answers.get(_devices_of(user), "").split("&")
        return tuple(dict.fromkeys(x for x in listed if _USER.fullmatch(x)))[:MAX_DEVICES]


def _devices_of(user: str) -> str:
    return f"DB(AMPUSER/{user}/device)"


def _of_hint(hint: str) -> Iterator[str]:
    """The phones of ``PJSIP/1001&Custom:DND1001,CustomPresence:1001``."""
    for device in hint.partition(",")[0].split("&")[:MAX_DEVICES]:
        if is_phone(device.strip()):
            yield device.strip()


@dataclass(slots=True)
class PhoneIndex:
    """Which agent a channel belongs to, by the resource in its name (`core.pbx.channel`).

    What the administrator configures comes first, then the members' interfaces as app_queue
    reports them, then the phones found behind those. Of two agents with the same phone, the last
    one counts.
    """

    _configured: dict[str, str] = field(default_factory=dict)
    _interfaces: dict[str, frozenset[str]] = field(default_factory=dict)
    """Agent to the interfaces and phones that are configured."""
    _members: dict[str, str] = field(default_factory=dict)
    _found: dict[str, str] = field(default_factory=dict)
    _phones: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Agent to phones, as last found."""

    def configure(self, agents: Iterable[ConfiguredAgent]) -> None:
        self._interfaces = {
            agent.id: frozenset({agent.interface or "", *agent.phones} - {""}) for agent in agents
        }
        self._configured = {
            resource_of_interface(interface): agent
            for agent, interfaces in self._interfaces.items()
            for interface in interfaces
        }

    def member(self, resource: str, agent: str) -> None:
        self._members[resource] = agent

    def found(self, agent: str, phones: tuple[str, ...]) -> bool:
        """Note the agent's phones; return whether they have changed."""
        before = self._phones.get(agent, ())
        if before == phones:
            return False
        for phone in before:
            if self._found.get(phone) == agent:
                del self._found[phone]
        self._phones[agent] = phones
        self._found |= dict.fromkeys(phones, agent)
        return True

    def interfaces_of(self, agent: str) -> frozenset[str]:
        """What is configured of the agent, and the phones as last found."""
        return self._interfaces.get(agent, frozenset()).union(self._phones.get(agent, ()))

    def agent_of(self, resource: str) -> str:
        """The agent's id; empty: nobody's."""
        for known in (self._configured, self._members, self._found):
            if (agent := known.get(resource)) is not None:
                return agent
        return ""
