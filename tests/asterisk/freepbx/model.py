"""What an administrator enters in the GUI. *Apply Config* writes all files from this."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

#: Feature codes as FreePBX 17 has them after its installation.
CODES = {
    "blindxfer": "##",
    "atxfer": "*2",
    "automon": "*1",
    "disconnect": "**",
    "pickupexten": "*8",
    "queue_toggle": "*45",
    "queue_pause": "*46",
    "forward": "*72",
    "forward_off": "*73",
    "log_on": "*11",
    "log_off": "*12",
}


@dataclass(frozen=True)
class User:
    """An extension: a person with a number. Their phones are devices."""

    number: str
    name: str
    voicemail: bool = True
    ring_seconds: int = 15
    #: Follow-me: rings the own phone for `pre_ring` seconds, then these, for 20.
    follow_me: tuple[str, ...] = ()
    pre_ring: int = 7


@dataclass(frozen=True)
class Device:
    """A phone. `kind`: fixed, or adhoc (somebody logs on to it). `user`: whose it is at first."""

    id: str
    user: str
    kind: str = "fixed"


@dataclass(frozen=True)
class Queue:
    """A queue. `context`: 0 agents are called as if dialled, 1 without follow-me, 2 phones only."""

    number: str
    name: str
    static: tuple[str, ...] = ()
    #: Who may log in by star code.
    dynamic: tuple[str, ...] = ()
    strategy: str = "rrmemory"
    timeout: int = 15
    retry: int = 1
    wrapuptime: int = 2
    recording: str = "dontcare"
    context: int = 0
    #: Where a caller goes whom nobody answered within `max_wait` seconds.
    max_wait: str = ""
    fallback: str = "app-blackhole,hangup,1"


@dataclass(frozen=True)
class RingGroup:
    number: str
    members: tuple[str, ...]
    seconds: int = 20


@dataclass(frozen=True)
class Pbx:
    """Everything in the GUI."""

    users: tuple[User, ...]
    devices: tuple[Device, ...]
    queues: tuple[Queue, ...]
    ring_groups: tuple[RingGroup, ...] = ()
    #: Trunks that register with this PBX; the first one carries outbound calls.
    trunks: tuple[str, ...] = ()
    #: Inbound routes: the number that was called, and an extension of ours.
    routes: dict[str, str] = field(default_factory=dict)
    #: The outbound route: patterns whose calls leave by the trunk.
    outbound: tuple[str, ...] = ("_NXXNXXXXXX", "_1NXXNXXXXXX", "_+X.", "911")
    codes: dict[str, str] = field(default_factory=lambda: dict(CODES))
    #: Advanced Settings > Enable the mini-HTTP Server, and the Asterisk REST Interface.
    http: bool = False
    ari: bool = False
    dial_options: str = "HhTtr"
    shared_lastcall: bool = True
    persistent_members: bool = True
    #: Feature Codes → those that are switched off.
    disabled_codes: frozenset[str] = frozenset()
    #: The pattern of [from-queue]: `_X.` since module queues 17.0.1, before `_.`, as on Issabel.
    queue_pattern: str = "_X."

    def code(self, name: str) -> str:
        """The active code of a feature; empty where it is switched off."""
        return "" if name in self.disabled_codes else self.codes.get(name, "")

    def user(self, number: str) -> User:
        return next(user for user in self.users if user.number == number)

    def devices_of(self, user: str) -> tuple[str, ...]:
        return tuple(device.id for device in self.devices if device.user == user)

    def changed(self, **changes: object) -> Pbx:
        return replace(self, **changes)  # type: ignore[arg-type]

    def with_queue(self, number: str, **changes: object) -> Pbx:
        """The same PBX with one queue changed, or added."""
        if not any(queue.number == number for queue in self.queues):
            added = Queue(number, **changes)  # type: ignore[arg-type]
            return replace(self, queues=(*self.queues, added))
        queues = tuple(
            replace(queue, **changes) if queue.number == number else queue  # type: ignore[arg-type]
            for queue in self.queues
        )
        return replace(self, queues=queues)

    def with_user(self, number: str, **changes: object) -> Pbx:
        users = tuple(
            replace(user, **changes) if user.number == number else user  # type: ignore[arg-type]
            for user in self.users
        )
        return replace(self, users=users)

    def without_user(self, number: str) -> Pbx:
        """The extension was deleted, and with it its device and its places in queues."""
        return replace(
            self,
            users=tuple(user for user in self.users if user.number != number),
            devices=tuple(device for device in self.devices if device.user != number),
            queues=tuple(
                replace(
                    queue,
                    static=tuple(x for x in queue.static if x != number),
                    dynamic=tuple(x for x in queue.dynamic if x != number),
                )
                for queue in self.queues
            ),
        )
