"""The state of the simulated Asterisk (`pbx`): channels, queue members, calls; and event headers.

The headers of each event are those of the recorded traces (``tests/adapters/traces``), in their
order, so that they cost as much to parse as Asterisk's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DOWN, RINGING, UP = 0, 5, 6
_STATES = {DOWN: "Down", RINGING: "Ringing", UP: "Up"}

NOT_IN_USE, IN_USE, DEVICE_RINGING = 1, 2, 6
_DEVICE_STATES = {NOT_IN_USE: "NOT_INUSE", IN_USE: "INUSE", DEVICE_RINGING: "RINGING"}


@dataclass(slots=True)
class Channel:
    id: str
    name: str
    number: str = "<unknown>"
    caller: str = "<unknown>"
    connected: str = "<unknown>"
    context: str = "from-trunk"
    exten: str = "800"
    state: int = DOWN
    linked: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    bridge: str | None = None
    queue: str = ""
    """The queue in which it waits."""
    queue_app: str = ""
    """The queue whose Queue() it executes, while it waits and while it talks."""
    music: bool = False
    stasis: bool = False
    other: Channel | None = None
    """The other half of a Local channel."""
    member: Member | None = None
    """The agent whose phone it is."""
    served: str = ""
    """The queue from which a member's phone received its call."""

    def headers(self, prefix: str = "") -> str:
        marks = "".join(
            f"{prefix}ChanVariable: {name}={self.variables.get(name, '')}\r\n"
            for name in ("AVP_STATE", "AVP_GROUP")
        )
        p = prefix
        return (
            f"{p}Channel: {self.name}\r\n{p}ChannelState: {self.state}\r\n"
            f"{p}ChannelStateDesc: {_STATES[self.state]}\r\n{p}CallerIDNum: {self.number}\r\n"
            f"{p}CallerIDName: {self.caller}\r\n{p}ConnectedLineNum: {self.connected}\r\n"
            f"{p}ConnectedLineName: <unknown>\r\n{p}Language: en\r\n{p}AccountCode: \r\n"
            f"{p}Context: {self.context}\r\n{p}Exten: {self.exten}\r\n{p}Priority: 1\r\n"
            f"{p}Uniqueid: {self.id}\r\n{p}Linkedid: {self.linked or self.id}\r\n{marks}"
        )

    def set(self, name: str, value: str) -> None:
        names, values = [name], [value]
        if name.startswith("ARRAY("):
            names, values = name[len("ARRAY(") : -1].split(","), value.split(",")
        for one, text in zip(names, values, strict=True):
            self.variables[one.lstrip("_")] = text

    def as_json(self, app: str) -> dict[str, object]:
        name, data = ("Queue", f"{self.queue_app},ib") if self.queue_app else ("", "")
        if self.stasis:
            name, data = "Stasis", app
        dialplan: dict[str, object] = {
            "context": self.context,
            "exten": self.exten,
            "priority": 2,
            "app_name": name,
            "app_data": data,
        }
        return {
            "id": self.id,
            "name": self.name,
            "state": _STATES[self.state],
            "protocol_id": "",
            "caller": {"name": _known(self.caller), "number": _known(self.number)},
            "connected": {"name": "", "number": _known(self.connected)},
            "accountcode": "",
            "dialplan": dialplan,
            "creationtime": "2026-01-31T09:05:07.250+0000",
            "language": "en",
        }


@dataclass(slots=True)
class Member:
    agent: str
    queues: tuple[str, ...]
    status: int = NOT_IN_USE
    in_call: bool = False
    last_call: int = 0
    paused: bool = False
    personal: bool = False
    """Whether they are a member of their personal queue."""
    personal_paused: bool = False
    personal_static: bool = False
    """Whether Asterisk's configuration makes them one, so that nobody can end it."""

    @property
    def interface(self) -> str:
        return f"PJSIP/{self.agent}"

    @property
    def device_state(self) -> str:
        return f"Device: {self.interface}\r\nState: {_DEVICE_STATES[self.status]}\r\n"

    @property
    def everywhere(self) -> tuple[str, ...]:
        return (*self.queues, f"avp-agent-{self.agent}") if self.personal else self.queues

    def headers(self, queue: str, *, listed: bool = False) -> str:
        """In an event, or in an item of QueueStatus, where some have another name."""
        name, interface = ("Name", "Location") if listed else ("MemberName", "Interface")
        own = queue.startswith("avp-agent-")
        paused = self.personal_paused if own else self.paused
        kind = "static" if own and self.personal_static else "dynamic"
        return (
            f"Queue: {queue}\r\n{name}: Agent {self.agent}\r\n{interface}: {self.interface}\r\n"
            f"StateInterface: {self.interface}\r\nMembership: {kind}\r\nPenalty: 0\r\n"
            f"CallsTaken: 0\r\nLastCall: {self.last_call}\r\nLastPause: 0\r\n"
            f"LoginTime: 1795371582\r\nInCall: {int(self.in_call)}\r\nStatus: {self.status}\r\n"
            f"Paused: {int(paused)}\r\nPausedReason: \r\n"
            + ("" if listed else "Ringinuse: 0\r\n")
            + "Wrapuptime: 0\r\n"
        )


@dataclass(frozen=True, slots=True)
class Call:
    """A caller whom a queue has connected to a member."""

    caller: Channel
    phone: Channel
    member: Member
    queue: str


def _known(value: str) -> str:
    """AMI has ``<unknown>`` for an unknown value, ARI an empty string."""
    return "" if value == "<unknown>" else value
