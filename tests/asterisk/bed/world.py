"""A test's call centre, and its rendering as Asterisk configuration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

CHECKOUT = Path(__file__).resolve().parents[3]
TEMPLATES = CHECKOUT / "docker" / "asterisk"
DIALPLAN = CHECKOUT / "dialplan"

#: The settings that the demo world enables; the rest is on by default.
FEATURES = (
    "EXTERNAL_TRANSFER",
    "MANUAL_DIAL",
    "PRESETS",
    "CONFERENCE",
    "TOLL_FREE_SERVICE",
    "TOLL_SERVICE",
)

Members = Literal["static", "dynamic"]


@dataclass(frozen=True)
class Agent:
    """A person with a phone of the same name."""

    id: str
    name: str


@dataclass(frozen=True)
class Group:
    """A group queue. `options`: further lines of queues.conf, which override ours."""

    queue: str
    agents: tuple[str, ...]
    number: str | None = None
    strategy: str = "rrmemory"
    timeout: int = 15
    retry: int = 1
    weight: int = 0
    wrapuptime: int | None = None  # None: the world's
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """A call centre: its people, its queues, and its Asterisk settings.

    The default is the demo world. Variants: `replace(World(), wrapuptime=10, members="dynamic")`.
    """

    agents: tuple[Agent, ...] = (
        Agent("1001", "Alice"),
        Agent("1002", "Bob"),
        Agent("1003", "Carol"),
        Agent("1004", "Dave"),
    )
    groups: tuple[Group, ...] = (
        Group("sales", ("1001", "1002"), number="800"),
        Group("support", ("1003", "1004"), number="801"),
    )
    callers: tuple[str, ...] = ("caller1", "caller2", "caller3", "caller4")
    outside: tuple[str, ...] = ("pstn",)
    #: "dynamic": queues start empty; members are added by AMI QueueAdd (see `member_action`).
    members: Members = "static"
    #: Members are Local/<agent>@<member_context>/n with the phone as state interface.
    local_members: bool = False
    #: The context that they dial, and their state interface ("": none); "{}" is the agent's id.
    member_context: str = "agents"
    member_state: str = "PJSIP/{}"
    #: The accounts of phones, where they are not those of agents.
    phones: tuple[str, ...] = ()
    #: Accounts whose phones send key presses by SIP INFO, not in the audio (RFC 4733).
    keys_by_info: tuple[str, ...] = ()
    #: What phones speak, and their endpoints allow, first the preferred: "alaw", "alaw,ulaw".
    #: µ-law only where an account is not named.
    codecs: dict[str, str] = field(default_factory=dict)
    wrapuptime: int = 2
    #: The phones hang up then.
    call_seconds: int = 300
    max_hold_seconds: int = 8
    ringinuse: bool = False
    direct_media: bool = False
    #: After how many seconds without RTP Asterisk ends the call of a phone that has died.
    rtp_timeout: int = 20
    #: How often Asterisk asks phones whether they are there, in seconds; 0: never. Not all phones
    #: of tests answer that, and some die and stay registered.
    qualify_frequency: int = 0
    #: Further text for extensions.conf (after ours), pjsip.conf, queues.conf, [globals], features.
    extensions: str = ""
    pjsip: str = ""
    queues: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    features: str = ""
    #: Further environment of the daemon (AVP_…); wins over ours.
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def demo(cls) -> World:
        """As `docker/up` starts it, with phones that are asked whether they are there."""
        return cls(qualify_frequency=30)  # docs/install.md

    def with_group(self, queue: str, **changes: object) -> World:
        """The same world with one group changed."""
        groups = tuple(replace(g, **changes) if g.queue == queue else g for g in self.groups)  # type: ignore[arg-type]
        return replace(self, groups=groups)

    @property
    def accounts(self) -> tuple[str, ...]:
        agents = self.phones or tuple(a.id for a in self.agents)
        return (*agents, *self.callers, *self.outside)

    def agent(self, agent_id: str) -> Agent:
        return next(a for a in self.agents if a.id == agent_id)

    def groups_of(self, agent_id: str) -> tuple[Group, ...]:
        return tuple(g for g in self.groups if agent_id in g.agents)

    def interface(self, agent_id: str) -> str:
        if not self.local_members:
            return f"PJSIP/{agent_id}"
        return f"Local/{agent_id}@{self.member_context}/n"

    def member_action(self, agent_id: str, queue: str) -> dict[str, str]:
        """The AMI action that logs an agent in to a queue."""
        action = {
            "Action": "QueueAdd",
            "Queue": queue,
            "Interface": self.interface(agent_id),
            "MemberName": self.agent(agent_id).name,
        }
        if self.local_members and self.member_state:
            action["StateInterface"] = self.member_state.format(agent_id)
        return action

    @property
    def _mixed(self) -> bool:
        """Whether phones use other codecs than G.711 (docs/limits.md)."""
        used = {codec for each in self.codecs.values() for codec in each.split(",")}
        return not used <= {"ulaw", "alaw"}

    # Rendering -----------------------------------------------------------------------------

    def _member_line(self, agent_id: str) -> str:
        line = f"member => {self.interface(agent_id)},0,{self.agent(agent_id).name}"
        state = self.member_state.format(agent_id) if self.local_members else ""
        return f"{line},{state}" if state else line

    def _queue(self, name: str, options: dict[str, str], agents: tuple[str, ...]) -> str:
        lines = [f"[{name}]", *(f"{key} = {value}" for key, value in options.items())]
        if self.members == "static":
            lines += [self._member_line(agent) for agent in agents]
        return "\n".join(lines) + "\n"

    def _wrapuptime(self, group: Group) -> int:
        return self.wrapuptime if group.wrapuptime is None else group.wrapuptime

    def render_queues(self) -> str:
        """The group queues."""
        parts = []
        for group in self.groups:
            options = {
                "musicclass": "default",
                "strategy": group.strategy,
                "timeout": str(group.timeout),
                "retry": str(group.retry),
                "wrapuptime": str(self._wrapuptime(group)),
                "weight": str(group.weight),
                "ringinuse": "yes" if self.ringinuse else "no",
                "joinempty": "yes",
                "leavewhenempty": "no",
            }
            options.update(group.options)
            parts.append(self._queue(group.queue, options, group.agents))
        return "\n".join([*parts, self.queues])

    def render_accounts(self) -> str:
        parts = []
        for name in self.accounts:
            kind = "agent" if any(a.id == name for a in self.agents) else "outside"
            shown = next((a.name for a in self.agents if a.id == name), name)
            keys = "dtmf_mode = info\n" if name in self.keys_by_info else ""
            codecs = self.codecs.get(name)
            codecs = f"disallow = all\nallow = {codecs}\n" if codecs else ""
            parts.append(
                f"[{name}]({kind})\naors = {name}\nauth = {name}\ncallerid = {shown} <{name}>\n"
                f"{keys}{codecs}"
                f"[{name}](password)\nusername = {name}\npassword = pw-{name}\n"
                f"[{name}](registration)\n"
            )
        return "\n".join([*parts, self.pjsip])

    def render_numbers(self) -> str:
        lines = []
        for group in self.groups:
            if group.number is None:
                continue
            lines.append(f"exten => {group.number},1,Answer()")
            if group is self.groups[0]:  # one way to give the screen pop: a JSON object …
                pop = f'{{"case":"4711","customer":"Ms Sample","called":"{group.number}"}}'
                lines.append(f" same => n,Set(AVP_POP={pop})")
            else:  # … and the other: one variable per key
                lines.append(" same => n,Set(AVP_POP_CASE=4712)")
                lines.append(" same => n,Set(AVP_POP_CUSTOMER=Mr Example)")
            lines.append(f" same => n,Queue({group.queue},i)")
            lines.append(" same => n,Hangup()")
        return "\n".join(lines)

    def render_agents(self) -> str:
        return "\n".join(
            f"exten => {a.id},1,Dial(PJSIP/{a.id},60,ib(avp-pop-headers^s^1))" for a in self.agents
        )

    def daemon_settings(self) -> dict[str, str]:
        """The daemon's environment, as far as it follows from the world."""
        env = {
            "AVP_ACCOUNTS__ACME__COUNTRY": "US",
            **{f"AVP_ENTERPRISE__{name}": "true" for name in FEATURES},
            # A busy machine, or a test that holds Asterisk's answers back, refuses no transfer.
            "AVP_SESSION__BUSY_ANSWER_SECONDS": "60",
            "AVP_SESSION__BUSY_BEGIN_SECONDS": "60",
        }
        if any(group.queue == "support" for group in self.groups):
            env["AVP_PRESETS__BILLING__NUMBER"] = "+12025550101"
            env["AVP_PRESETS__BILLING__GROUP"] = "support"
            env["AVP_PRESETS__BILLING__CODE"] = "91"
        env["AVP_ENTERPRISE__MAX_HOLD_SECONDS"] = str(self.max_hold_seconds)
        for group in self.groups:
            prefix = f"AVP_GROUPS__{group.queue.upper()}__"
            env[f"{prefix}ACCOUNT"] = "acme"
            env[f"{prefix}QUEUE"] = group.queue
            if group.number is not None:
                env[f"{prefix}EXTENSION"] = group.number
            env[f"{prefix}ACW_SECONDS"] = str(self._wrapuptime(group))
        for agent in self.agents:
            env[f"AVP_AGENTS__{agent.id}__NAME"] = agent.name
            env[f"AVP_AGENTS__{agent.id}__PIN"] = f"pin-{agent.id}"
        return {**env, **self.settings}

    def placeholders(self) -> dict[str, str]:
        """The values of the templates' placeholders that follow from the world."""
        return {
            "ACCOUNTS": self.render_accounts(),
            "QUEUES": self.render_queues(),
            "NUMBERS": self.render_numbers(),
            "AGENTS": self.render_agents(),
            "EXTENSIONS": self.extensions,
            "OPTIONS": "transcode_via_sln = no" if self._mixed else "",
            "FEATURES": self.features,
            "RTP_TIMEOUT": str(self.rtp_timeout),
            "QUALIFY_FREQUENCY": str(self.qualify_frequency),
            "DIRECT_MEDIA": "yes" if self.direct_media else "no",
            "GLOBALS": "\n".join(f"{key} = {value}" for key, value in self.variables.items()),
        }
